"""COLMAP models in: pixels move by half a pixel, once; what is broken is named; nothing stops the interpreter."""

import math
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import SMALL, random_rigid, rigid_of

from deviloc_ros.camera import Camera
from deviloc_ros.sources.base import PosedImage, SourceError
from deviloc_ros.sources.colmap import (
    build_reconstruction,
    camera_from_colmap,
    camera_to_colmap,
    parse_camera_words,
    pixels_from_colmap,
    pixels_to_colmap,
    read_model,
)

POSES = [random_rigid(np.random.default_rng(seed)) for seed in range(3)]
FILES = ("cameras", "images", "points3D")


def reconstruction(points: bool = True) -> pycolmap.Reconstruction:
    """Three images of one radial camera; the first two observe one point."""
    camera = pycolmap.Camera(model="SIMPLE_RADIAL", width=320, height=240, params=[250, 160, 120, 0.01], camera_id=1)
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(camera)
    for number, pose in enumerate(POSES, 1):
        keypoints = pycolmap.Point2DList([pycolmap.Point2D(np.array([10.5 * number, 20.5]))])
        image = pycolmap.Image(name=f"{4 - number}.png", camera_id=1, image_id=number, points2D=keypoints)
        model.add_image_with_trivial_frame(image, pose)
    if points:
        track = pycolmap.Track([pycolmap.TrackElement(1, 0), pycolmap.TrackElement(2, 0)])
        model.add_point3D(np.array([1.0, 2.0, 3.0]), track)
    return model


@pytest.fixture
def text_model(tmp_path) -> Path:
    reconstruction().write_text(str(tmp_path))
    for name in ("rigs", "frames"):  # models before COLMAP 3.12 have none, and images.txt then speaks
        (tmp_path / f"{name}.txt").unlink()
    return tmp_path


@pytest.fixture
def binary_model(tmp_path) -> Path:
    reconstruction().write_binary(str(tmp_path))
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("points", [True, False], ids=["with points", "without points"])
@pytest.mark.parametrize("write", ["write_text", "write_binary"])
def test_a_model_is_read_in_order_of_names(tmp_path, write, points):
    getattr(reconstruction(points), write)(str(tmp_path))
    source = read_model(tmp_path, Path("images"))
    assert [image.path for image in source.images] == [Path(f"images/{number}.png") for number in (1, 2, 3)]
    assert not source.skipped
    for image, pose in zip(source.images, reversed(POSES), strict=True):
        np.testing.assert_allclose(image.cam_from_world.matrix(), pose.matrix(), atol=1e-9)
        assert image.camera == Camera("SIMPLE_RADIAL", 320, 240, (250.0, 159.5, 119.5, 0.01))
    if not points:
        assert all(image.landmarks is None for image in source.images)
        return
    assert [len(image.landmarks) for image in source.images] == [0, 1, 1]
    np.testing.assert_allclose(source.images[2].landmarks.points_in_world, [[1, 2, 3]])
    np.testing.assert_allclose(source.images[2].landmarks.keypoints, [[10, 20]])  # 10.5, 20.5 in COLMAP's pixels


@pytest.mark.parametrize("model", sorted({"PINHOLE", "SIMPLE_RADIAL", "OPENCV", "OPENCV_FISHEYE", "FULL_OPENCV"}))
def test_cameras_keep_their_rays_both_ways(model):
    camera = camera_from_colmap(pycolmap.Camera.create_from_model_name(1, model, 250.0, 320, 240))
    colmap = camera_to_colmap(camera, 7)
    assert (colmap.camera_id, camera_from_colmap(colmap)) == (7, camera)
    keypoints = np.random.default_rng(0).uniform(0, 240, (20, 2))
    np.testing.assert_allclose(camera.rays(keypoints)[:, :2], colmap.cam_from_img(pixels_to_colmap(keypoints)))


@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), min_size=1))
def test_pixels_move_half_a_pixel_there_and_back(pixels):
    pixels = np.array(pixels)
    np.testing.assert_allclose(pixels_to_colmap(pixels), pixels + 0.5)
    np.testing.assert_allclose(pixels_from_colmap(pixels_to_colmap(pixels)), pixels, atol=1e-9)


def test_posed_images_make_a_model_and_come_back(tmp_path):
    cameras = [SMALL, SMALL, Camera("OPENCV", 640, 480, (520.0, 530.0, 310.0, 250.0, -0.2, 0.05, 1e-3, -1e-3))]
    images = [
        PosedImage(f"{n}.png", Path(f"{n}.png"), c, p) for n, (c, p) in enumerate(zip(cameras, POSES, strict=True))
    ]
    model = build_reconstruction(images)
    assert model.num_cameras() == 2 and model.num_points3D() == 0
    model.write_text(str(tmp_path))
    for image, again in zip(images, read_model(tmp_path, Path()).images, strict=True):
        assert (again.name, again.camera) == (image.name, image.camera)
        np.testing.assert_allclose(again.cam_from_world.matrix(), image.cam_from_world.matrix(), atol=1e-9)


def test_images_that_are_not_registered_are_left_out(tmp_path):
    model = reconstruction()
    model.deregister_frame(3)
    model.write_binary(str(tmp_path))
    assert [image.name for image in read_model(tmp_path, Path()).images] == ["2.png", "3.png"]


def test_poses_that_are_not_finite_are_skipped_by_name(tmp_path):
    model = reconstruction()
    model.frame(2).rig_from_world = rigid_of([0, 0, 0], [np.nan, 0, 0])
    model.write_binary(str(tmp_path))
    source = read_model(tmp_path, Path())
    assert [image.name for image in source.images] == ["1.png", "3.png"]
    assert [skipped.name for skipped in source.skipped] == ["2.png"] and "is not valid" in source.skipped[0].why


@pytest.mark.parametrize("suffix", [".txt", ".bin"])
@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path, name, suffix):
    getattr(reconstruction(), "write_text" if suffix == ".txt" else "write_binary")(str(tmp_path))
    (tmp_path / f"{name}{suffix}").unlink()
    with pytest.raises(SourceError, match=rf"{tmp_path}: not a COLMAP model; {name}{suffix} not found"):
        read_model(tmp_path, Path())


@pytest.mark.parametrize("suffix", [".txt", ".bin"])
@pytest.mark.parametrize(("name", "other"), [("rigs", "frames"), ("frames", "rigs")])
def test_frames_without_rigs_and_the_reverse_are_named(tmp_path, name, other, suffix):
    getattr(reconstruction(), "write_text" if suffix == ".txt" else "write_binary")(str(tmp_path))
    (tmp_path / f"{name}{suffix}").unlink()
    with pytest.raises(SourceError, match=f"{other}{suffix} is there without {name}{suffix}: they go together"):
        read_model(tmp_path, Path())


def test_files_whose_numbers_do_not_go_together_are_said_in_words(tmp_path):
    reconstruction().write_text(str(tmp_path))
    lines = (tmp_path / "images.txt").read_text().splitlines()
    changed = [f"9{line}" if line.endswith(".png") else line for line in lines]
    (tmp_path / "images.txt").write_text("\n".join(changed) + "\n")
    with pytest.raises(SourceError, match="its files do not go together"):
        read_model(tmp_path, Path())


@pytest.mark.parametrize("name", FILES)
def test_a_byte_order_mark_is_named(text_model, name):
    path = text_model / f"{name}.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    with pytest.raises(SourceError, match=rf"{name}\.txt: it begins with a byte order mark"):
        read_model(text_model, Path())


def test_no_folder_is_no_model(tmp_path):
    with pytest.raises(SourceError, match=r"nowhere: not a COLMAP model; cameras\.txt"):
        read_model(tmp_path / "nowhere", Path())


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("cameras", "SIMPLE_RADIAL", "FISH_EYE_9", "camera 1: camera model 'FISH_EYE_9' is unknown"),
        ("cameras", "250 160", "160", "camera 1: camera model SIMPLE_RADIAL takes"),
        ("cameras", "250 160", "nan 160", "must be finite"),
        ("cameras", "250 160", "-250 160", "focal length must be positive"),
        ("cameras", "320 240", "wide 240", "WIDTH is not a number: 'wide'"),
        ("cameras", "320 240", "-320 240", "size -320 x 240"),
        ("cameras", "1 SIMPLE_RADIAL 320 240 250 160 120 0.01", "1 SIMPLE_RADIAL", "expected CAMERA_ID"),
        ("images", " 1 3.png", " 1 2.png", "image name '2.png' occurs more than once"),
        ("images", " 1 3.png", " 1", "expected 10 fields, got 9"),
        ("images", " 1 3.png", " 1 my 3.png", "no name may hold a space"),
        ("images", " 1 3.png", " x 3.png", "CAMERA_ID is not a number: 'x'"),
        ("images", "10.5 20.5", "10.5 up", "POINTS2D of '3.png': .*'up'"),
        ("images", "10.5 20.5", "10.5 nan", "POINTS2D of '3.png': a value is not finite"),
        ("images", "10.5 20.5 1", "10.5 20.5", "expected X, Y, POINT3D_ID"),
        ("points3D", "1 1 2 3 ", "1 1 2 x ", "Z is not a number"),
        ("points3D", "1 1 2 3 ", "1 1 2 inf ", "Z is not finite"),
        ("points3D", "1 1 2 3 ", "1 2 3 ", "expected 8 fields"),
    ],
)
def test_a_malformed_line_is_named_with_its_field(text_model, file, old, new, message):
    change(text_model / f"{file}.txt", old, new)
    with pytest.raises(SourceError, match=rf"{file}\.txt: line \d+: .*{message}"):
        read_model(text_model, Path())


@pytest.mark.parametrize("value", ["nan", "inf", "north", "1e999"])
@pytest.mark.parametrize(("column", "field"), [(1, "QW"), (4, "QZ"), (5, "TX"), (7, "TZ")])
def test_a_pose_that_is_none_is_named(text_model, column, field, value):
    path = text_model / "images.txt"
    lines = path.read_text().splitlines()
    row = next(number for number, line in enumerate(lines) if line.endswith("3.png"))
    parts = lines[row].split()
    parts[column] = value
    path.write_text("\n".join([*lines[:row], " ".join(parts), *lines[row + 1 :], ""]))
    with pytest.raises(SourceError, match=rf"images\.txt: line {row + 1}: {field} is not"):
        read_model(text_model, Path())


def test_zeros_are_not_a_rotation(text_model):
    (text_model / "images.txt").write_text("1 0 0 0 0 1 2 3 1 a.png\n\n")
    with pytest.raises(SourceError, match=r"images\.txt: line 1: QW QX QY QZ of 'a\.png' are all zero"):
        read_model(text_model, Path())


def test_the_last_image_needs_its_second_line_too(text_model):
    (text_model / "images.txt").write_text("1 1 0 0 0 1 2 3 1 a.png\n\n2 1 0 0 0 1 2 3 1 b.png")
    with pytest.raises(SourceError, match=r"images\.txt: ends after line 3: image 'b\.png'"):
        read_model(text_model, Path())


def test_comments_and_empty_lines_do_not_matter(text_model):
    (text_model / "points3D.txt").write_text("# nothing\n")
    (text_model / "images.txt").write_text("# by hand\n\n1 1 0 0 0 1 2 3 1 a.png\n\n\n# b\n2 1 0 0 0 1 2 3 1 b.png\n\n")
    assert [image.name for image in read_model(text_model, Path()).images] == ["a.png", "b.png"]


@pytest.mark.parametrize("length", [0.5, 0.9, 0.9995, 1.0005, 1.1, 2, 1e6])
def test_a_quaternion_comes_to_unit_length_or_its_image_is_left_out(text_model, length):
    (text_model / "points3D.txt").write_text("# nothing\n")
    turned = f"{0.6 * length!r} 0 0 {0.8 * length!r}"
    (text_model / "images.txt").write_text(f"1 1 0 0 0 1 2 3 1 a.png\n\n2 {turned} 1 2 3 1 b.png\n\n")
    source = read_model(text_model, Path())
    if 0.98 < length < 1.02:
        np.testing.assert_allclose(source.images[1].cam_from_world.rotation.quat, [0, 0, 0.8, 0.6], atol=1e-12)
    else:
        assert [image.name for image in source.images] == ["a.png"]
        assert source.skipped[0].name == "b.png" and "is not valid" in source.skipped[0].why


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_binary_file_is_named_not_filled_up(binary_model, name, share):
    path = binary_model / f"{name}.bin"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(SourceError, match=rf"{name}\.bin: truncated"):
        read_model(binary_model, Path())


def test_binary_files_with_too_much_or_the_unknown_are_named(binary_model):
    cameras = binary_model / "cameras.bin"
    good = cameras.read_bytes()
    cameras.write_bytes(good + b"more")
    with pytest.raises(SourceError, match=r"cameras\.bin: 4 bytes too many"):
        read_model(binary_model, Path())
    cameras.write_bytes(good[:12] + struct.pack("<i", 77) + good[16:])
    with pytest.raises(SourceError, match=r"cameras\.bin: camera 1: MODEL_ID 77 is unknown"):
        read_model(binary_model, Path())


@pytest.mark.parametrize(("file", "at", "form", "value", "message"), [
    ("images", 8 + 4, "<4d", (0.0,) * 4, "images.bin: QW QX QY QZ of image 1 are all zero"),
    ("images", 8 + 64 + len("3.png") + 1 + 8, "<d", (math.nan,), "images.bin: POINTS2D of image 1: a value is not fin"),
    ("points3D", 8 + 8, "<d", (math.inf,), "points3D.bin: X Y Z of point 1 are not finite"),
    ("frames", 8 + 8, "<4d", (0.0,) * 4, "frames.bin: QW QX QY QZ of frame 1 are all zero"),
    ("frames", 8 + 64, "<I", (2**32 - 1,), "frames.bin: truncated"),
    ("rigs", 8 + 4, "<I", (2**32 - 1,), "rigs.bin: truncated"),
])  # fmt: skip
def test_what_a_binary_model_cannot_mean_is_named(binary_model, file, at, form, value, message):
    path = binary_model / f"{file}.bin"
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, at, *value)
    path.write_bytes(data)
    with pytest.raises(SourceError, match=message):
        read_model(binary_model, Path())


def test_an_observed_point_that_is_not_there_is_named(tmp_path):
    reconstruction().write_text(str(tmp_path))
    images = tmp_path / "images.txt"
    images.write_text(images.read_text().replace("31.5 20.5 -1", "31.5 20.5 77"))
    with pytest.raises(SourceError, match=r"image '1\.png' observes point 77, which points3D does not have"):
        read_model(tmp_path, Path())


def test_a_frame_without_a_rotation_is_named(tmp_path):
    reconstruction().write_text(str(tmp_path))
    frames = tmp_path / "frames.txt"
    words = [line.split() for line in frames.read_text().splitlines()]
    frames.write_text("\n".join(" ".join([*w[:2], *"0000", *w[6:]]) if w[0] != "#" else " ".join(w) for w in words))
    with pytest.raises(SourceError, match=r"frames\.txt: line 4: QW QX QY QZ of frame 1 are all zero"):
        read_model(tmp_path, Path())


READ_ALL = """
import pathlib, sys
from deviloc_ros.sources.colmap import read_model
from deviloc_ros.sources.base import SourceError
for folder in sys.argv[1:]:
    try:
        read_model(pathlib.Path(folder), pathlib.Path())
    except SourceError:
        pass
print("survived")
"""


def test_no_damage_stops_the_interpreter(tmp_path):
    """In a process of its own: what COLMAP's C++ does with files that contradict each other is not ours to know."""
    rng, folders = np.random.default_rng(0), []
    for suffix, write in ((".txt", "write_text"), (".bin", "write_binary")):
        good = tmp_path / f"good{suffix}"
        good.mkdir()
        getattr(reconstruction(), write)(str(good))
        for number in range(30):
            folder = tmp_path / f"{number}{suffix}"
            shutil.copytree(good, folder)
            victim = folder / f"{rng.choice([*FILES, 'frames', 'rigs'])}{suffix}"
            data = bytearray(victim.read_bytes())
            for at in rng.integers(0, len(data), 3):
                data[at] = rng.integers(0, 256) if suffix == ".bin" else rng.choice(list(b"0123 -.nx\n"))
            victim.write_bytes(data)
            folders.append(str(folder))
    result = subprocess.run([sys.executable, "-c", READ_ALL, *folders], capture_output=True, text=True)
    assert result.stdout.endswith("survived\n"), result.stderr[-2000:]


@pytest.mark.parametrize("below", ["", "0", "sparse", "sparse/0", "colmap/sparse/0"])
def test_a_model_is_found_where_colmap_puts_it(tmp_path, below):
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    reconstruction().write_binary(str(tmp_path / below))
    assert len(read_model(tmp_path, tmp_path).images) == 3


@pytest.mark.parametrize("suffix", [".png", ".JPG"])
@pytest.mark.parametrize("scale", [2, 4])
def test_images_of_a_scaled_folder_have_scaled_cameras_and_landmarks(text_model, tmp_path, scale, suffix):
    full = read_model(text_model, tmp_path / "images").images
    folder = tmp_path / f"images_{scale}"
    folder.mkdir()
    for image in full:
        pixels = np.zeros((240 // scale, 320 // scale), np.uint8)
        (folder / image.name).with_suffix(suffix).write_bytes(cv2.imencode(suffix, pixels)[1].tobytes())
    for scaled, original in zip(read_model(text_model, folder).images, full, strict=True):
        assert (scaled.camera.width, scaled.camera.height) == (320 // scale, 240 // scale)
        assert scaled.path.is_file() and scaled.name == original.name
        seen, seen_full = (image.landmarks.keypoints for image in (scaled, original))
        np.testing.assert_allclose((seen + 0.5) * scale, seen_full + 0.5, atol=1e-9)
        direction = np.array([[0.1, -0.1, 1.0]])
        np.testing.assert_allclose(
            (scaled.camera.project(direction) + 0.5) * scale, original.camera.project(direction) + 0.5, atol=1e-9
        )


def test_an_image_of_another_size_than_its_folder_says_keeps_its_camera(text_model, tmp_path):
    folder = tmp_path / "images_2"
    folder.mkdir()
    for number in (1, 2, 3):
        cv2.imwrite(str(folder / f"{number}.png"), np.zeros((100, 100), np.uint8))
    assert {image.camera.width for image in read_model(text_model, folder).images} == {320}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("ace.png", "camera model 'ace.png' is unknown"),
        ("PINHOLE 64 48", "expected MODEL WIDTH HEIGHT"),
        ("PINHOLE -64 48 60 60 32 24", "camera size -64 x 48"),
        ("PINHOLE 0 48 60 60 32 24", "camera size 0 x 48"),
        ("PINHOLE 64 99999999999 60 60 32 24", "camera size 64 x 99999999999"),
        ("PINHOLE 64 48 60 60 32", "takes fx, fy, cx, cy, got 3 values"),
        ("PINHOLE 64 48 60 60 32 24 1", "got 5 values"),
        ("PINHOLE 64 48 60 60 nan 24", "must be finite"),
        ("INVALID 64 48 1", "model"),
        ("PINHOLE 64 48 60 60 x 24", "'x'"),
    ],
)
def test_words_that_are_no_camera_are_named(words, says):
    with pytest.raises(ValueError, match=says):
        parse_camera_words(words.split())
