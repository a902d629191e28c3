"""Images in, tensors out, and pixels back exactly where they came from."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from worlds import SMALL, textured_image

from deviloc_ros.camera import Camera
from deviloc_ros.imaging import (
    ImageError,
    PixelMapping,
    mirror_image,
    read_gray,
    sample_feature_map,
    sample_unit_features,
    to_gray,
    to_tensor,
    turn_image,
    turn_pixels_back,
)
from deviloc_ros.types import Features

CPU = torch.device("cpu")


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_a_mapping_keeps_edges_on_edges(scale_x, scale_y, x, y):
    pixels = PixelMapping(scale_x, scale_y).to_original(torch.tensor([[x, y], [-0.5, -0.5]], dtype=torch.float64))
    np.testing.assert_allclose(pixels, [[(x + 0.5) * scale_x - 0.5, (y + 0.5) * scale_y - 0.5], [-0.5, -0.5]])


@pytest.mark.parametrize(("width", "height"), [(320, 240), (333, 251), (97, 640)])
@pytest.mark.parametrize("scale", [0.6, 1.0, 1.3])
def test_pixels_of_a_scaled_image_lead_back_to_what_they_show(width, height, scale):
    gray = np.tile(np.rint(np.linspace(20, 235, width)).astype(np.uint8), (height, 1))
    tensor, mapping = to_tensor(gray, scale, 32, CPU)
    h, w = tensor.shape[-2:]
    assert w % 32 == 0 and h % 32 == 0
    columns = torch.arange(4, w - 4)
    original = mapping.to_original(torch.stack([columns, torch.full_like(columns, h // 2)], 1).float())
    shown = 20 + original[:, 0].numpy() * 215 / (width - 1)
    np.testing.assert_allclose(tensor[0, 0, h // 2, 4 : w - 4] * 255, shown, atol=1.01)
    np.testing.assert_allclose(
        mapping.to_original(torch.tensor([[w - 0.5, h - 0.5]])), [[width - 0.5, height - 0.5]], atol=1e-3
    )


def test_an_image_of_fitting_size_is_left_as_it_is():
    gray = textured_image(np.random.default_rng(0))[:224]
    tensor, mapping = to_tensor(gray, 1.0, 32, CPU)
    np.testing.assert_allclose(tensor[0, 0] * 255, gray, atol=1e-4)
    assert mapping == PixelMapping(1.0, 1.0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (31, 33)])
def test_tiny_images_become_one_multiple_at_least(shape):
    tensor, _ = to_tensor(np.zeros(shape, np.uint8), 1.0, 32, CPU)
    assert min(tensor.shape[-2:]) >= 32


@given(vector=st.lists(st.tuples(st.floats(8, 311), st.floats(8, 231)), min_size=1, max_size=9))
def test_sampling_a_linear_map_is_exact(vector):
    cells_x, cells_y = torch.meshgrid(torch.arange(40.0), torch.arange(30.0), indexing="xy")
    linear = torch.stack([8 * cells_x + 3.5, 8 * cells_y + 3.5])  # its own pixel, at the centre of each cell of 8
    keypoints = torch.tensor(vector)
    np.testing.assert_allclose(sample_feature_map(linear, keypoints, (320, 240)), keypoints, atol=1e-3)


def test_sampled_features_have_unit_length_and_none_are_made_up():
    dense = torch.randn(16, 30, 40, generator=torch.Generator().manual_seed(0))
    empty = torch.zeros(0, 2)
    features = Features(empty, torch.zeros(0, 16), empty[:, 0], empty, (320, 240), dense)
    keypoints = np.random.default_rng(0).uniform(0, 239, (20, 2))
    np.testing.assert_allclose(np.linalg.norm(sample_unit_features(features, keypoints), axis=1), 1, rtol=1e-5)
    without = Features(empty, torch.zeros(0, 16), empty[:, 0], empty, (320, 240))
    assert sample_unit_features(without, keypoints).shape == (20, 0)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_an_image_file_is_read_as_gray(tmp_path, suffix):
    image = textured_image(np.random.default_rng(1))
    path = tmp_path / f"image{suffix}"
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    assert np.abs(read_gray(path).astype(int) - image).mean() < (0.01 if suffix == ".png" else 3)


@pytest.mark.parametrize("content", [b"", b"\x00", b"not an image at all", b"\xff\xd8\xff\xe0"], ids=len)
def test_what_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        read_gray(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_a_truncated_image_is_an_error_not_half_an_image(tmp_path, suffix, share):
    _, data = cv2.imencode(suffix, textured_image(np.random.default_rng(2)))
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data.tobytes()[: int(len(data) * share)])
    with pytest.raises(ImageError, match=rf"cut\{suffix}"):
        read_gray(path)


def test_an_image_is_read_as_it_is_stored(tmp_path):
    """As COLMAP reads it, and a camera driver sends it: its keypoints are those of the stored rows and columns."""
    pixels = np.tile(np.arange(0, 240, 10, np.uint8), (16, 1))
    _, data = cv2.imencode(".jpg", pixels)
    orientation_6 = bytes.fromhex("ffe1 0022 457869660000 4d4d002a 00000008 0001 0112 0003 00000001 0006 0000 00000000")
    path = tmp_path / "turned.jpg"
    path.write_bytes(data.tobytes()[:2] + orientation_6 + data.tobytes()[2:])
    assert cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).shape == (24, 16)  # what a viewer shows
    assert read_gray(str(path)).shape == (16, 24)


def test_a_missing_image_is_named(tmp_path):
    for path in (tmp_path / "nowhere.png", tmp_path):
        with pytest.raises(ImageError, match="no such image"):
            read_gray(path)


def test_gray_and_bgr_agree_with_their_camera():
    gray = textured_image(np.random.default_rng(3))
    np.testing.assert_array_equal(to_gray(gray, SMALL), gray)
    np.testing.assert_array_equal(to_gray(gray[..., None], SMALL), gray)
    np.testing.assert_array_equal(to_gray(np.repeat(gray[..., None], 3, 2), SMALL), gray)
    assert to_gray(np.asfortranarray(gray), SMALL).flags.c_contiguous


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((240, 321), np.uint8), "321 x 240 px, its camera says 320 x 240"),
        (np.zeros((320, 240), np.uint8), "240 x 320"),
        (np.zeros((240, 320), np.float32), "float32"),
        (np.zeros((240, 320), np.uint16), "uint16"),
        (np.zeros((240, 320, 4), np.uint8), "4"),
        (np.zeros((240, 320, 2), np.uint8), "2"),
        (np.zeros((0, 0), np.uint8), "0 x 0"),
        (np.zeros(240 * 320, np.uint8), "76800"),
        (np.zeros((1, 240, 320, 3), np.uint8), "1, 240"),
    ],
)
def test_other_images_are_refused_with_their_size(image, message):
    with pytest.raises(ImageError, match=message):
        to_gray(image, SMALL)


@pytest.mark.parametrize("quarter_turns", range(4))
@pytest.mark.parametrize("size", [(7, 4), (1, 5), (6, 6)], ids=str)
def test_pixels_of_a_turned_image_find_back(size, quarter_turns):
    """Each pixel holds its own number, so the turned image says which came where."""
    numbers = np.arange(size[0] * size[1], dtype=np.uint8).reshape(size[::-1])
    turned = turn_image(numbers, quarter_turns)
    y, x = np.indices(turned.shape).reshape(2, -1)
    back = turn_pixels_back(np.stack([x, y], 1), quarter_turns, size)
    np.testing.assert_array_equal(numbers[back[:, 1], back[:, 0]], turned.ravel())


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 3), st.booleans(), st.booleans())
def test_images_of_any_size_turned_and_mirrored_any_way_are_tensors(width, height, quarter_turns, mirrored, backwards):
    given_image = np.arange(width * height, dtype=np.uint8).reshape(height, width)[:: -1 if backwards else 1]
    gray = to_gray(given_image, Camera("PINHOLE", width, height, (1.0, 1.0, 0.0, 0.0)))
    turned = turn_image(mirror_image(gray) if mirrored else gray, quarter_turns)
    expected = np.rot90(given_image[:, ::-1] if mirrored else given_image, quarter_turns)
    np.testing.assert_array_equal(torch.from_numpy(turned).numpy(), expected)


def test_a_mirrored_image_is_that_of_a_mirrored_camera():
    """What is seen in a pixel is seen mirrored in the pixel that comes to lie there."""
    camera = Camera("OPENCV", 7, 4, (5.0, 6.0, 2.5, 1.0, 0.1, 0.01, 0.0, 0.0))
    numbers = np.arange(28, dtype=np.uint8).reshape(4, 7)
    points = np.random.default_rng(0).uniform([-0.3, -0.2, 1], [0.3, 0.2, 2], (20, 3))
    pixels, mirrored = camera.project(points), camera.mirror().project(points * [-1, 1, 1])
    np.testing.assert_allclose(mirrored, [6, 0] + pixels * [-1, 1], atol=1e-9)
    rounded = pixels.round().astype(int)
    seen = mirror_image(numbers)[rounded[:, 1], 6 - rounded[:, 0]]
    np.testing.assert_array_equal(seen, numbers[rounded[:, 1], rounded[:, 0]])
