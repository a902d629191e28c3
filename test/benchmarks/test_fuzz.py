"""What the fuzzer begins with: files that the readers take, so that what it makes of them reaches far."""

import pytest

from benchmarks.fuzz import PARTING, READERS, encode_picture, load_reader


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_the_seed_of_each_reader_is_read(reader, tmp_path):
    (tmp_path / "a.png").write_bytes(encode_picture())
    for name, content in reader.split(reader.seed).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    found = load_reader(reader)(tmp_path / reader.given, *(tmp_path / path for path in reader.also))
    assert not getattr(found, "skipped", [])
    assert found is not None


def test_a_file_that_an_input_does_not_tell_of_is_empty():
    reader = READERS["tum"]
    assert list(reader.split(b"1 a.png").values()) == [b"1 a.png", b""]
    assert list(reader.split(b"a" + PARTING + b"b" + PARTING + b"c").values()) == [b"a", b"b"]
