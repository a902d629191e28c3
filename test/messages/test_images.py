"""Pictures in every encoding that drivers send: decoded alike in bags and on the robot, or refused by name."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from deviloc_ros.messages.images import pixels_of

PICTURE = cv2.resize(
    np.random.default_rng(0).integers(40, 200, (6, 8, 3), np.uint8), (64, 48), None, 0, 0, cv2.INTER_CUBIC
)
GRAY = cv2.cvtColor(PICTURE, cv2.COLOR_BGR2GRAY)


def raw(encoding: str, rows: np.ndarray, padding: int = 0, height: int = 48) -> SimpleNamespace:
    """An Image; `rows` are (N, bytes a row) or (H, W, C)."""
    rows = rows.reshape(len(rows), -1).view(np.uint8)
    step = rows.shape[1] + padding
    data = np.pad(rows, ((0, 0), (0, padding))).reshape(-1)
    return SimpleNamespace(encoding=encoding, height=height, width=64, step=step, is_bigendian=0, data=data.tobytes())


def semi_planar(swap: bool) -> np.ndarray:
    """(72, 64): brightness, then colour pairs, of PICTURE."""
    planar = cv2.cvtColor(PICTURE, cv2.COLOR_BGR2YUV_I420).reshape(-1)
    u, v = planar[48 * 64 :].reshape(2, -1)
    pairs = np.stack([v, u] if swap else [u, v], axis=1)
    return np.concatenate([planar[: 48 * 64], pairs.reshape(-1)]).reshape(72, 64)


@pytest.mark.parametrize("padding", [0, 5, 64])
@pytest.mark.parametrize(("encoding", "swap"), [("nv12", False), ("nv21", True)])
def test_brightness_with_colours_at_a_quarter(encoding, swap, padding):
    pixels = pixels_of(raw(encoding, semi_planar(swap), padding))
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels.astype(int) - PICTURE).mean() < 8  # colours are shared by four pixels
    short = raw(encoding, semi_planar(swap)[:48], padding)
    with pytest.raises(ValueError, match="72 rows"):
        pixels_of(short)


@pytest.mark.parametrize(("encoding", "like"), [("8UC3", "bgr8"), ("8UC4", "bgra8")])
@pytest.mark.parametrize("padding", [0, 7])
def test_colours_that_are_not_named_are_taken_in_the_order_of_opencv(encoding, like, padding):
    rows = PICTURE if encoding == "8UC3" else cv2.cvtColor(PICTURE, cv2.COLOR_BGR2BGRA)
    np.testing.assert_array_equal(pixels_of(raw(encoding, rows, padding)), PICTURE)
    np.testing.assert_array_equal(pixels_of(raw(like, rows, padding)), PICTURE)


@pytest.mark.parametrize("encoding", ["32FC3", "32FC1", "64FC1", "16UC3", "16SC1", "8SC3", "8UC2", "8UC12", "32SC1"])
def test_what_is_no_picture_is_refused_by_name(encoding):
    with pytest.raises(ValueError, match=rf"encoding '{encoding}' does not say .*publish mono8"):
        pixels_of(raw(encoding, np.zeros((48, 64 * 96), np.uint8)))


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize(("encoding", "rows"), [("mono8", GRAY), ("8UC1", GRAY)])
def test_gray_stays_gray(encoding, rows, padding):
    np.testing.assert_array_equal(pixels_of(raw(encoding, rows, padding)), GRAY)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_of_16_bits_and_with_alpha(deep, channels):
    expected = GRAY if channels == 1 else PICTURE
    pixels = expected if channels < 4 else cv2.cvtColor(PICTURE, cv2.COLOR_BGR2BGRA)
    data = cv2.imencode(".png", pixels.astype(np.uint16) * 257 if deep else pixels)[1].tobytes()
    decoded = pixels_of(SimpleNamespace(format="png", data=data))
    assert decoded.shape == expected.shape and np.abs(decoded.astype(int) - expected).max() <= 1


def test_what_is_no_encoded_picture_is_said_with_what_its_sender_calls_it():
    with pytest.raises(
        ValueError, match=r"image cannot be decoded: not an image, or truncated \(its format is 'h264'\)"
    ):
        pixels_of(SimpleNamespace(format="h264", data=b"\0\0\0\1\x67abc"))


@pytest.mark.parametrize("encoding", ["16UC1; compressedDepth png", "16UC1; png compressed "])
def test_depth_is_no_picture(encoding):
    data = cv2.imencode(".png", np.full((48, 64), 1000, np.uint16))[1].tobytes()
    with pytest.raises(ValueError, match="16UC1"):
        pixels_of(SimpleNamespace(format=encoding, data=data))
