"""The size of an encoded picture is known before it is decoded."""

import resource
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("PIL")

from pictures import bomb, png_of_size

from deviloc_ros.io.encoded_images import MAX_PIXELS, decode_image, read_encoded_size

KINDS = (".png", ".jpg", ".webp", ".bmp", ".tiff", ".pgm")


def encoded(kind: str, width: int, height: int) -> bytes:
    shape = (height, width) if kind == ".pgm" else (height, width, 3)
    return cv2.imencode(kind, np.full(shape, 90, np.uint8))[1].tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (64, 48), (300, 20)])
def test_the_header_tells_the_size(kind, size):
    data = encoded(kind, *size)
    assert read_encoded_size(data) == size
    assert decode_image(data, size=size).shape[:2] == size[::-1]
    with pytest.raises(ValueError, match="expected"):
        decode_image(data, size=(size[0] + 1, size[1]))


@pytest.mark.parametrize(
    "size", [(2**31 - 1, 2**31 - 1), (2**31 - 1, 1), (1, 2**31 - 1), (MAX_PIXELS, 2), (12700, 12700)]
)
def test_a_size_beyond_any_camera_is_refused_by_the_header_alone(size):
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"too large|not an image"):
        decode_image(png_of_size(*size))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 50_000


def test_a_megabyte_that_would_become_a_gigabyte_does_not():
    data = bomb()
    assert len(data) < 2_000_000 and read_encoded_size(data) == (12_000, 12_000)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="12000 x 12000 px, 640 x 480 expected"):
        decode_image(data, size=(640, 480))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 50_000


@given(st.sampled_from(KINDS), st.data())
def test_damaged_pictures_are_decoded_or_refused(kind, data):
    whole = bytearray(encoded(kind, 24, 16))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[place] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        pixels = decode_image(cut)
    except ValueError:
        return
    assert pixels.size <= 4 * MAX_PIXELS


def numbers_put_everywhere(whole: bytes):
    """Yield the bytes with large numbers, of either order of bytes, at each place."""
    for place in range(len(whole) - 3):
        for number in (0x7FFFFFFF, 0xFFFFFFFF, 0x3FFFFFFF, 0x00FFFFFF):
            for order in ("big", "little"):
                yield whole[:place] + number.to_bytes(4, order) + whole[place + 4 :]


@pytest.mark.parametrize("kind", KINDS)
def test_no_number_in_a_few_bytes_takes_memory(kind):
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in numbers_put_everywhere(encoded(kind, 8, 6)):
        with suppress(ValueError):
            decode_image(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 200_000


@pytest.mark.parametrize("length", [100, 2**31 - 1, 2**32 - 1])
@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3), (6, 8, 4)])
def test_a_png_chunk_longer_than_the_file_is_refused_before_it_is_decoded(shape, length, monkeypatch):
    data = cv2.imencode(".png", np.zeros(shape, np.uint8))[1].tobytes()
    place = data.index(b"IDAT")
    np.testing.assert_array_equal(decode_image(data + b"what follows the end"), np.zeros(shape))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("OpenCV is asked, which takes that much memory"))
    with pytest.raises(ValueError, match="not an image, or truncated"):
        decode_image(data[: place - 4] + length.to_bytes(4, "big") + data[place:])
