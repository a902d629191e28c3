"""Folders of posed images: 7-Scenes and KITTI, whole and broken."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import random_rigid

from deviloc_ros.bags.truth import read_truth_file
from deviloc_ros.camera import Camera
from deviloc_ros.cli import main
from deviloc_ros.sources.base import Skipped, SourceError, count_reasons, read_numbers
from deviloc_ros.sources.kitti import read_kitti
from deviloc_ros.sources.nerfstudio import read_transforms
from deviloc_ros.sources.sevenscenes import read_seven_scenes

POSES = [random_rigid(np.random.default_rng(seed)) for seed in range(3)]  # cam_from_world


def as_text(transform) -> str:
    return "\n".join(" ".join(f"{value:.9e}" for value in row) for row in np.vstack([transform.matrix(), [0, 0, 0, 1]]))


@pytest.fixture
def seven_scenes(tmp_path):
    """Two sequences of which the first is for training; the data set's own layout."""
    (tmp_path / "TrainSplit.txt").write_text("sequence1\n")
    for sequence in ("seq-01", "seq-02"):
        (tmp_path / sequence).mkdir()
        for number, pose in enumerate(POSES):
            frame = tmp_path / sequence / f"frame-{number:06d}"
            frame.with_suffix(".color.png").write_bytes(b"")
            frame.with_suffix(".depth.png").write_bytes(b"")
            frame.with_suffix(".pose.txt").write_text(as_text(pose.inverse()))
    return tmp_path


@pytest.fixture
def kitti(tmp_path):
    (tmp_path / "calib.txt").write_text("P0: 718.8 0 607.1 0 0 718.5 185.2 0 0 0 1 0\nP1: 1 0 0 0 0 1 0 0 0 0 1 0\n")
    lines = [" ".join(f"{value:.9e}" for value in pose.inverse().matrix().reshape(-1)) for pose in POSES]
    (tmp_path / "poses.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "image_0").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"image_0/{number:06d}.png"), np.zeros((37, 124), np.uint8))
    return tmp_path


def assert_poses(images):
    for image, pose in zip(images, POSES, strict=True):
        np.testing.assert_allclose(image.cam_from_world.matrix(), pose.matrix(), atol=1e-6)


def test_seven_scenes_reads_the_training_sequences_inverted(seven_scenes):
    source = read_seven_scenes(seven_scenes)
    assert [image.name for image in source.images] == [f"seq-01/frame-{n:06d}.color.png" for n in range(3)]
    assert_poses(source.images)
    assert source.images[0].camera.focal_px == 525 and not source.skipped  # 585 is the depth camera's
    assert [i.name[:6] for i in read_seven_scenes(seven_scenes, ("seq-02", "seq-01")).images] == ["seq-02"] * 3 + [
        "seq-01"
    ] * 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 2 3", "reshape"),
        ("", "reshape"),
        ("one " * 16, "one"),
        ("nan " * 16, "not finite"),
        ("2 0 0 0 0 2 0 0 0 0 2 0 0 0 0 1", "not a rotation"),
        (None, "not found"),
    ],
)
def test_a_frame_with_a_bad_pose_is_skipped_with_its_file(seven_scenes, text, why):
    path = seven_scenes / "seq-01/frame-000001.pose.txt"
    path.unlink() if text is None else path.write_text(text)
    source = read_seven_scenes(seven_scenes)
    assert len(source.images) == 2
    (skipped,) = source.skipped
    assert skipped.name == "seq-01/frame-000001.color.png"
    assert "frame-000001.pose.txt" in skipped.why and why in skipped.why


def test_seven_scenes_without_what_it_needs_says_what(seven_scenes):
    with pytest.raises(SourceError, match="seq-09: no frame"):
        read_seven_scenes(seven_scenes, ("seq-09",))
    (seven_scenes / "TrainSplit.txt").write_text("first one\n")
    with pytest.raises(SourceError, match=r"TrainSplit\.txt"):
        read_seven_scenes(seven_scenes)
    (seven_scenes / "TrainSplit.txt").unlink()
    with pytest.raises(SourceError, match=r"TrainSplit\.txt: not found"):
        read_seven_scenes(seven_scenes)


def test_kitti_reads_poses_inverted_and_the_camera_of_its_first_line(kitti):
    source = read_kitti(kitti)
    assert_poses(source.images)
    assert source.images[0].camera == Camera("PINHOLE", 124, 37, (718.8, 718.5, 607.1, 185.2))


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(("folder", "camera"), [("image_0", 0), ("image_1", 1), ("image_2", 2), ("image_3", 3)])
def test_every_camera_of_kitti_has_its_own_projection_and_place(kitti, folder, camera, named):
    """A point seen by the projection of the data set's page, x = P (R|t) X, is seen at the same pixel by ours."""
    shifts = (0.0, -386.1, 45.4, -337.3)  # P[0, 3]
    lines = [f"{700 + c} 0 607.1 {shift} 0 718.5 185.2 0.1 0 0 1 0.002" for c, shift in enumerate(shifts)]
    (kitti / "calib.txt").write_text("\n".join(f"P{c}: {line}" if named else line for c, line in enumerate(lines)))
    (kitti / "image_0").rename(kitti / folder)
    projection = np.array(lines[camera].split(), float).reshape(3, 4)
    point = np.array([1.0, -2.0, 30.0])  # in the frame of camera 0
    for image, pose in zip(read_kitti(kitti).images, POSES, strict=True):
        in_image = projection @ [*point, 1.0]
        seen = image.camera.project(image.cam_from_world * (pose.inverse() * point))
        np.testing.assert_allclose(seen, [in_image[:2] / in_image[2]], atol=1e-4)


def test_a_calibration_without_the_camera_of_the_images_is_refused(kitti):
    (kitti / "image_0").rename(kitti / "image_2")
    with pytest.raises(SourceError, match=r"calib\.txt: no P2 in it, only P0, P1"):
        read_kitti(kitti)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("calib.txt", "P0: 1 2 3", r"calib\.txt: P0 is not"),
        ("calib.txt", "", r"calib\.txt"),
        ("calib.txt", "P0: " + "x " * 12, r"calib\.txt: P0 is not"),
        ("calib.txt", "P0: " + "nan " * 12, "calib.txt"),
        ("calib.txt", "P0: " + "0 " * 12, "calib.txt"),
        ("poses.txt", "", r"poses\.txt: 0 poses for 3 images"),
        ("poses.txt", "1 2 3 4 5", r"poses\.txt"),
        ("poses.txt", "a " * 36, r"poses\.txt"),
        ("image_0/000000.png", "not an image", r"000000\.png: not an image"),
        ("image_0/000000.png", "", r"000000\.png: not an image"),
        ("image_0/000003.png", "", r"poses\.txt: 3 poses for 4 images in image_0"),
    ],
)
def test_a_broken_kitti_folder_names_the_file(kitti, file, text, message):
    (kitti / file).write_text(text)
    with pytest.raises(SourceError, match=message):
        read_kitti(kitti)


@pytest.mark.parametrize("file", ["calib.txt", "poses.txt"])
def test_a_missing_kitti_file_is_named(kitti, file):
    (kitti / file).unlink()
    with pytest.raises(SourceError, match=f"{file}: not found"):
        read_kitti(kitti)


def test_a_kitti_pose_that_is_none_is_skipped(kitti):
    lines = (kitti / "poses.txt").read_text().splitlines()
    (kitti / "poses.txt").write_text("\n".join([lines[0], " ".join(["nan"] * 12), lines[2]]))
    source = read_kitti(kitti)
    assert [image.name for image in source.images] == ["000000.png", "000002.png"]
    assert [skipped.name for skipped in source.skipped] == ["000001.png"] and "poses.txt" in source.skipped[0].why


@pytest.mark.parametrize(
    "fields",
    [
        {"w": 1e400, "h": 48, "fl_x": 60.0},
        {"camera_angle_x": 0.0},
        {"camera_angle_x": 4.0},
        {"camera_angle_x": "wide"},
        {"fl_x": 1e400},
        {"fl_x": [60.0]},
        {"fl_x": 60.0, "cx": None},
        {"fl_x": 60.0, "transform_matrix": (1e300 * np.eye(4)).tolist()},
        {"fl_x": 60.0, "transform_matrix": "identity"},
        {"fl_x": 60.0, "transform_matrix": [[1, 0, 0, 1e300], [0, 1, 0, 0], [0, 0, 1, 0]]},
        {"fl_x": 60.0, "camera_model": ["OPENCV"]},
        {"fl_x": 60.0, "k1": "much"},
        {"fl_x": 60.0, "file_path": 7},
        {"fl_x": 60.0, "file_path": "./a.png"},
        {"fl_x": 60.0, "is_fisheye": "false"},
        {"fl_x": 60.0, "transform_matrix": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 2, 3, 1]]},
    ],
)
def test_a_frame_with_impossible_numbers_is_skipped_by_name(tmp_path, fields):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((48, 64), np.uint8))
    good = {"file_path": "a.png", "fl_x": 60.0, "transform_matrix": np.eye(4).tolist()}
    odd = {name: value for name, value in good.items() if name != "fl_x"} | fields
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": [good, odd]}))
    source = read_transforms(tmp_path)
    assert len(source.images) == 1 and len(source.skipped) == 1 and source.skipped[0].why


def test_no_folder_is_an_error_by_name(tmp_path):
    with pytest.raises(SourceError, match="no image folder"):
        read_kitti(tmp_path / "nowhere")


@given(st.text(max_size=200))
def test_any_text_is_numbers_or_an_error_that_names_the_file(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.pose.txt"
    path.write_text(text, errors="replace")
    try:
        assert read_numbers(path, (-1, 12)).shape[1] == 12
    except SourceError as error:
        assert "any.pose.txt" in str(error)


def empty_model(folder):
    for name in ("cameras", "images", "points3D"):
        (folder / f"{name}.txt").touch()
    return ["--colmap", folder, "--images", folder]


def empty_file(name, flag):
    def make(folder):
        (folder / name).touch()
        return [flag, folder / name]

    return make


NOTHING = {
    "a COLMAP model": (empty_model, "there are no images in it"),
    "a folder for a COLMAP model": (lambda folder: ["--colmap", folder, "--images", folder], "not a COLMAP model"),
    "transforms": (empty_file("t.json", "--nerfstudio"), "not JSON"),
    "a folder of images": (lambda folder: ["--images", folder], r"no images \(.*\) in it"),
    "an image for a folder": (empty_file("a.jpg", "--images"), "a file, not a folder"),
    "a folder of KITTI": (lambda folder: ["--kitti", folder], "no image folder"),
    "a folder of 7-Scenes": (lambda folder: ["--sevenscenes", folder], "not found"),
    "a folder of TUM": (lambda folder: ["--tum", folder], "no such file of poses"),
    "a folder of kapture": (lambda folder: ["--kapture", folder], "not found"),
    "a folder for a bag": (lambda folder: ["--bag", folder, "--pose-topic", "/odom"], "not a bag"),
    "a file for a bag": (lambda folder: [*empty_file("a.mcap", "--bag")(folder), "--pose-topic", "/odom"], "empty"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_empty_files_and_folders_are_named(tmp_path, name, capsys):
    make, says = NOTHING[name]
    arguments = [str(word) for word in make(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main(["build-map", *arguments, "--output", str(tmp_path / "a.map")])
    assert ended.value.code == 2 and re.search(says, capsys.readouterr().err)
    assert not (tmp_path / "a.map").exists()


@pytest.mark.parametrize(
    ("make", "says"), [(Path.touch, "there are no poses in it"), (Path.mkdir, "a folder, not a file")]
)
def test_a_file_of_poses_without_poses_is_named(tmp_path, make, says):
    make(tmp_path / "poses.tum")
    with pytest.raises(ValueError, match=rf"poses\.tum: {says}"):
        read_truth_file(tmp_path / "poses.tum")


def test_why_images_were_left_out_is_said_once_a_reason():
    skipped = [Skipped(f"{number}.png", "no pose" if number % 3 else "empty file") for number in range(7)]
    assert count_reasons(skipped) == "no pose (4: 1.png …); empty file (3: 0.png …)"
    assert count_reasons(skipped[:1]) == "empty file (1: 0.png)"


def test_reasons_that_name_their_image_are_one_reason_and_many_are_cut():
    unreadable = [Skipped(f"{number}.png", f"/photos/{number}.png: not an image") for number in range(5)]
    assert count_reasons(unreadable) == "not an image (5: 0.png …)"
    assert count_reasons([Skipped("a", f"reason {number}") for number in range(9)]).endswith("; and 6 more reasons")
