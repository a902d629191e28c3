"""A message that is compressed becomes what it was, and never more than memory bears."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deviloc_ros.bags import reader
from deviloc_ros.bags.reader import decompress_message, zstd


@given(st.binary(max_size=300))
def test_a_message_becomes_what_it_was_and_one_that_is_not_compressed_stays(content):
    assert decompress_message(zstd.compress(content)) == content
    assert decompress_message(b"\0" + content) == b"\0" + content


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_damaged_message_raises_nothing(content, data):
    packed = bytearray(zstd.compress(content))
    packed[data.draw(st.integers(4, len(packed) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(packed[: data.draw(st.integers(4, len(packed)))])
    assert isinstance(decompress_message(cut), bytes)


@pytest.mark.parametrize("size", [1000, 1001, 100_000])
def test_a_message_that_becomes_too_large_stays_as_it_is(size, monkeypatch):
    monkeypatch.setattr(reader, "MAX_MESSAGE_BYTES", 1000)
    packed = zstd.compress(bytes(size))
    assert decompress_message(packed) == (bytes(size) if size <= 1000 else packed)
