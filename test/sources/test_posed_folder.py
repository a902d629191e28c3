"""Images in a folder, their poses in a file: by name as hloc's, by time as TUM's and EuRoC's."""

import cv2
import numpy as np
import pytest
from worlds import random_rigid

from deviloc_ros.camera import Camera
from deviloc_ros.io.named_poses import write_named_poses
from deviloc_ros.io.tum_trajectory import write_tum
from deviloc_ros.sources.base import SourceError
from deviloc_ros.sources.posed_folder import read_posed_folder

CAMERA = Camera("PINHOLE", 40, 30, (40.0, 40.0, 19.5, 14.5))
POSES = [random_rigid(np.random.default_rng(seed)) for seed in range(4)]  # cam_from_world
TIMES_NS = [1_403_636_579_000_000_000 + 50_000_000 * number for number in range(4)]
EUROC = "#timestamp, p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m], q_RS_w [], q_RS_x [], q_RS_y [], q_RS_z []\n"


def write_images(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((30, 40), np.uint8))
    return folder


def write_euroc(path, poses):
    lines = []
    for time_ns, pose in zip(TIMES_NS, poses, strict=True):
        x, y, z, w = pose.rotation.quat
        lines.append(",".join(map(repr, [time_ns, *map(float, (*pose.translation, w, x, y, z))])))
    path.write_text(EUROC + "\n".join(lines) + "\n")


def assert_poses(source, poses):
    for image, pose in zip(source.images, poses, strict=True):
        np.testing.assert_allclose(image.cam_from_world.matrix(), pose.matrix(), atol=1e-9)
        assert image.camera == CAMERA and image.path.is_file()


def test_poses_by_name(tmp_path):
    names = ["a/0.png", "a/1.png", "b/0.png", "b/left out.png"]
    folder = write_images(tmp_path / "images", [*names, "b/unknown.png"])
    write_named_poses(tmp_path / "poses.txt", dict(zip(names, POSES, strict=True)))
    source = read_posed_folder(folder, tmp_path / "poses.txt", CAMERA)
    assert [image.name for image in source.images] == names
    assert_poses(source, POSES)
    (skipped,) = source.skipped
    assert skipped.name == "b/unknown.png" and "poses.txt does not name it" in skipped.why


@pytest.mark.parametrize("named_in", ["seconds", "nanoseconds"])
@pytest.mark.parametrize("written_as", ["tum", "euroc"])
def test_poses_by_time_of_a_body_that_carries_the_camera(tmp_path, named_in, written_as):
    name = {"seconds": lambda t: f"{t // 10**9}.{t % 10**9:09d}.png", "nanoseconds": lambda t: f"{t}.png"}[named_in]
    folder = write_images(tmp_path / "images", [*map(name, TIMES_NS), name(TIMES_NS[-1] + 10**9), "other.png"])
    body_from_cam = random_rigid(np.random.default_rng(9))
    world_from_body = [pose.inverse() * body_from_cam.inverse() for pose in POSES]
    path = tmp_path / "poses.csv"
    if written_as == "tum":
        write_tum(path, zip(TIMES_NS, world_from_body, strict=True))
    else:
        write_euroc(path, world_from_body)
    source = read_posed_folder(folder, path, CAMERA, body_from_cam)
    assert_poses(source, POSES)
    assert [skipped.why[:20] for skipped in source.skipped] == ["no pose around its t", "poses.csv has poses "]


def test_names_of_camera_and_number_are_no_times(tmp_path):
    folder = write_images(tmp_path / "images", ["1.png", "1_1.png", "1e1.png", "inf.png", "nan.png"])
    write_tum(tmp_path / "poses.txt", [(10**9 * second, POSES[0].inverse()) for second in (1, 10, 11)])
    source = read_posed_folder(folder, tmp_path / "poses.txt", CAMERA)
    assert [image.name for image in source.images] == ["1.png"] and len(source.skipped) == 4


def test_nothing_in_common_is_an_error_that_says_why(tmp_path):
    folder = write_images(tmp_path / "images", ["a.png"])
    write_named_poses(tmp_path / "poses.txt", {"b.png": POSES[0]})
    with pytest.raises(
        SourceError, match=r"has the pose of none of 1 images; a.png: .*the first that it names is 'b.png'"
    ):
        read_posed_folder(folder, tmp_path / "poses.txt", CAMERA)
    with pytest.raises(SourceError, match="absent: no such folder"):
        read_posed_folder(tmp_path / "absent", tmp_path / "poses.txt", CAMERA)
    with pytest.raises(SourceError, match=r"absent.txt: no such file of poses"):
        read_posed_folder(folder, tmp_path / "absent.txt", CAMERA)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="there are no images in it"):
        read_posed_folder(tmp_path / "empty", tmp_path / "poses.txt", CAMERA)
