"""Photographs as phones keep them are read where a library is there, and a word says what to do where none is."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deviloc_ros.imaging import ImageError, read_gray
from deviloc_ros.io.encoded_images import FORMAT_BY_SUFFIX, can_decode, read_picture_file
from deviloc_ros.sources.base import read_image_size
from deviloc_ros.sources.photographs import find_photographs, read_lens

SUFFIXES = [suffix for suffix in FORMAT_BY_SUFFIX if can_decode(suffix)]


def encode(suffix: str, pixels: np.ndarray) -> bytes:
    """A picture of (H, W, 3) RGB pixels; its library must be there."""
    if not can_decode(suffix):
        pytest.skip(f"no library that reads {suffix} is installed")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=FORMAT_BY_SUFFIX[suffix], quality=95)
    return file.getvalue()


def waves(width: int, height: int) -> np.ndarray:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([120 + 80 * np.sin(x / 9), 120 + 80 * np.cos(y / 7), 0 * x + 60], -1).astype(np.uint8)


@pytest.mark.parametrize("suffix", FORMAT_BY_SUFFIX)
def test_pixels_are_those_of_the_picture(suffix, tmp_path):
    pixels = waves(96, 64)
    path = tmp_path / f"a{suffix.upper()}"
    path.write_bytes(encode(suffix, pixels))
    assert find_photographs(tmp_path) == ([path], {}) and read_image_size(path) == (96, 64)
    expected = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    assert np.abs(read_gray(path).astype(float) - expected).mean() < 2
    assert np.abs(read_picture_file(path).astype(float) - pixels[..., ::-1]).mean() < 4


@pytest.mark.parametrize("suffix", FORMAT_BY_SUFFIX)
def test_without_a_library_it_is_said_what_to_install(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"something")
    for module in ("deviloc_ros.io.encoded_images", "deviloc_ros.sources.photographs"):
        monkeypatch.setattr(f"{module}.can_decode", lambda suffix: False)
    photographs, unread = find_photographs(tmp_path)
    assert photographs == [] and f"{suffix} is not read: install" in unread[path]
    with pytest.raises(ImageError, match="no installed package decodes"):
        read_gray(path)


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "a.jpg").symlink_to(tmp_path / "moved.jpg")
    (tmp_path / "notes.txt").symlink_to(tmp_path / "moved.txt")
    assert find_photographs(tmp_path) == ([], {tmp_path / "a.jpg": "a link to a file that is not there"})


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(data=st.data())
def test_damaged_ones_are_read_or_refused(suffix, data, tmp_path_factory):
    whole = bytearray(encode(suffix, waves(24, 16)))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / f"a{suffix}"
    path.write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    assert isinstance(read_lens(path), str)
    try:
        assert read_gray(path).ndim == 2
    except ImageError as error:
        assert str(path) in str(error)
