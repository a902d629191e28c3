"""Files of poses of other programs, compared with the truth: whatever the form, the same poses have the same error."""

import json

import numpy as np
import pycolmap
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import assert_one_line, status_of
from worlds import random_rigid

from deviloc_ros.camera import Camera
from deviloc_ros.evaluation.pose_files import end_alike, pair_names, read_pose_file
from deviloc_ros.io.named_poses import write_named_poses
from deviloc_ros.io.tum_trajectory import write_tum
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.sources.colmap import build_reconstruction

NAMES = [f"query/{1_400_000_000_000_000_000 + 100_000_000 * number}.png" for number in range(8)]
POSES = {name: random_rigid(np.random.default_rng(number)) for number, name in enumerate(NAMES)}
CAMERA = Camera("PINHOLE", 40, 30, (40.0, 40.0, 19.5, 14.5))
OFF_M = 0.03


def moved(pose: pycolmap.Rigid3d, by_m: float = OFF_M) -> pycolmap.Rigid3d:
    """The pose of a camera that stands so far to the side."""
    return pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([by_m, 0, 0])) * pose


def write_colmap(path, poses):
    path.mkdir()
    build_reconstruction([PosedImage(name, path, CAMERA, pose) for name, pose in poses.items()]).write_text(str(path))


def write_times(path, poses):
    write_tum(path, ((int(name.partition("/")[2].partition(".")[0]), pose.inverse()) for name, pose in poses.items()))


def write_results(path, poses, lost=()):
    records = [{"image": name, "localized": False, "reason": "few_inliers"} for name in lost]
    for name, pose in poses.items():
        inverse = pose.inverse()
        values = {"translation_m": inverse.translation.tolist(), "rotation_xyzw": inverse.rotation.quat.tolist()}
        records.append({"image": f"/somewhere/else/{name}", "localized": True, "world_from_cam": values})
    path.write_text(json.dumps(records))


def write_transforms(path, poses):
    frames = []
    for name, pose in poses.items():
        matrix = np.vstack([pose.inverse().matrix(), [0, 0, 0, 1]]) @ np.diag([1, -1, -1, 1])
        frames.append({"file_path": name, "transform_matrix": matrix.tolist()})
    lens = {"w": 40, "h": 30, "fl_x": 40, "fl_y": 40, "cx": 20, "cy": 15}
    path.write_text(json.dumps({**lens, "frames": frames}))


FORMS = {
    "poses.txt": write_named_poses,
    "model": write_colmap,
    "poses.tum": write_times,
    "results.json": write_results,
    "transforms.json": write_transforms,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("truth", FORMS)
def test_every_form_is_compared_with_every_other(tmp_path, truth, form, capsys):
    (tmp_path / "truth").mkdir()
    FORMS[truth](tmp_path / "truth" / truth, POSES)
    FORMS[form](tmp_path / form, {name: moved(pose) for name, pose in POSES.items()})
    report = tmp_path / "report.json"
    assert status_of("compare-poses", tmp_path / "truth" / truth, tmp_path / form, "--json", report) == 0
    (figures,) = json.loads(report.read_text()).values()
    assert figures["images"] == figures["given"] == len(POSES) and figures["wrong"] == 0
    assert figures["median_translation"] == pytest.approx(OFF_M, abs=1e-6)
    assert figures["median_rotation_deg"] == pytest.approx(0, abs=1e-4)
    assert (figures["recall"]["2cm_2deg"], figures["recall"]["5cm_5deg"]) == (0, 1)
    assert f"8 / 8 | {OFF_M * 100:.2f} cm, 0.00 deg" in capsys.readouterr().out


@pytest.mark.parametrize("truth", ["poses.tum", "poses.txt"])
@pytest.mark.parametrize("form", ["numbers", "matrix", "EuRoC", "Kalibr"])
def test_a_truth_of_the_body_that_carries_the_camera(tmp_path, truth, form):
    body_from_cam = random_rigid(np.random.default_rng(5))
    matrix = np.vstack([body_from_cam.matrix(), [0, 0, 0, 1]])
    texts = {
        "numbers": " ".join(map(str, [*body_from_cam.translation, *body_from_cam.rotation.quat])),
        "matrix": " ".join(map(str, matrix.ravel())),
        "EuRoC": yaml.safe_dump({"T_BS": {"data": matrix.ravel().tolist()}, "intrinsics": [1, 1, 1, 1]}),
        "Kalibr": yaml.safe_dump({"cam0": {"intrinsics": [1], "T_cam_imu": np.linalg.inv(matrix).tolist()}}),
    }
    (tmp_path / "mount.yaml").write_text(texts[form])
    FORMS[truth](tmp_path / truth, {name: body_from_cam * pose for name, pose in POSES.items()})
    write_results(tmp_path / "camera.json", POSES)
    mount = texts[form] if form in ("numbers", "matrix") else tmp_path / "mount.yaml"
    arguments = (tmp_path / truth, tmp_path / "camera.json", f"--extrinsic={mount}", "--json", tmp_path / "report.json")
    assert status_of("compare-poses", *arguments) == 0
    (figures,) = json.loads((tmp_path / "report.json").read_text()).values()
    assert figures["median_translation"] == pytest.approx(0, abs=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**60), st.integers(10**6, 4 * 10**8), st.integers(2, 6), st.booleans())
def test_poses_by_time_are_those_of_any_clock(tmp_path_factory, first_ns, step_ns, count, listed):
    """Of a simulation that begins at 0 as well as of today: both files say their unit, and no name is to be guessed."""
    folder = tmp_path_factory.mktemp("times")
    poses = {first_ns + step_ns * number: pose for number, pose in enumerate(list(POSES.values())[:count])}
    write_tum(folder / "truth.tum", [(time_ns, pose.inverse()) for time_ns, pose in poses.items()])
    write_tum(folder / "other.tum", [(time_ns, moved(pose).inverse()) for time_ns, pose in poses.items()])
    (folder / "list.txt").write_text("".join(f"{time_ns}\n" for time_ns in poses))
    more = ("--queries", folder / "list.txt") if listed else ()
    arguments = (folder / "truth.tum", folder / "other.tum", "--json", folder / "report.json", *more)
    assert status_of("compare-poses", *arguments) == 0
    (figures,) = json.loads((folder / "report.json").read_text()).values()
    assert figures["images"] == figures["given"] == count
    assert figures["median_translation"] == pytest.approx(OFF_M, abs=1e-6)


def test_poses_by_number_are_those_of_kitti(tmp_path, capsys):
    lines = [" ".join(map(str, pose.inverse().matrix().ravel())) for pose in POSES.values()]
    (tmp_path / "poses.txt").write_text("\n".join(lines))
    estimates = {f"image_0/{number:06d}.png": moved(pose) for number, pose in enumerate(POSES.values())}
    write_named_poses(tmp_path / "estimates.txt", estimates)
    assert status_of("compare-poses", tmp_path / "poses.txt", tmp_path / "estimates.txt") == 0
    assert "8 / 8 | 3.00 cm" in capsys.readouterr().out
    (tmp_path / "poses.txt").write_text(lines[0] + "\n1 2 3\n")
    assert status_of("compare-poses", tmp_path / "poses.txt", tmp_path / "estimates.txt") == 2
    assert_one_line(capsys, "poses.txt:2: ")


def test_images_without_a_pose_count_as_misses(tmp_path, capsys):
    write_colmap(tmp_path / "model", POSES)
    some = dict(list(POSES.items())[:3])
    write_named_poses(tmp_path / "some.txt", some)
    write_results(tmp_path / "all.json", some, lost=NAMES[3:])
    (tmp_path / "queries.txt").write_text("".join(f"{name} PINHOLE 40 30 40 40 20 15\n" for name in NAMES))

    def lines_of(*arguments):
        assert status_of("compare-poses", tmp_path / "model", *arguments) == 0
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("| /")]

    assert "| 3 / 3 " in lines_of(tmp_path / "some.txt")[0]  # nobody says that others were asked
    for arguments in ([tmp_path / "some.txt", "--queries", tmp_path / "queries.txt"], [tmp_path / "all.json"]):
        assert "| 3 / 8 " in lines_of(*arguments)[0] and "more than half have none" not in lines_of(*arguments)[0][:5]
    first, second = lines_of(tmp_path / "some.txt", tmp_path / "all.json")
    assert "| 3 / 8 " in first and "| 3 / 8 " in second


def test_poses_of_a_frame_of_their_own_are_moved_first(tmp_path, capsys):
    write_named_poses(tmp_path / "truth.txt", POSES)
    other_from_world = pycolmap.Sim3d(2.0, random_rigid(np.random.default_rng(77)).rotation, np.array([1.0, 2, 3]))
    there = {name: other_from_world.transform_camera_world(pose) for name, pose in POSES.items()}
    write_named_poses(tmp_path / "there.txt", there)
    assert status_of("compare-poses", tmp_path / "truth.txt", tmp_path / "there.txt", "--align", "similarity") == 0
    out = capsys.readouterr().out
    assert "8 / 8 | 0.00 cm, 0.00 deg" in out and "scale 0.5000" in out
    assert status_of("compare-poses", tmp_path / "truth.txt", tmp_path / "there.txt") == 0
    assert "| 8     |" in capsys.readouterr().out  # all wrong


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a.png 1 0 0 0 0 0\n", "poses.txt:1: "),
        ("", "poses.txt: there are no poses in it"),
        ("b.png 1 0 0 0 0 0 0\n", "'b.png'"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path, capsys, content, says):
    write_named_poses(tmp_path / "truth.txt", POSES)
    (tmp_path / "poses.txt").write_text(content)
    assert status_of("compare-poses", tmp_path / "truth.txt", tmp_path / "poses.txt") == 2
    assert_one_line(capsys, says)
    assert status_of("compare-poses", tmp_path / "absent", tmp_path / "poses.txt") == 2
    assert_one_line(capsys, "absent: no such file; poses are read from lines")


@given(
    st.lists(st.text("ab", min_size=1, max_size=2), min_size=1, max_size=4), st.integers(0, 3), st.sampled_from("jp")
)
def test_a_name_is_found_under_other_folders_and_suffixes(parts, cut, suffix):
    name, known = "/".join(parts), "/".join(parts[min(cut, len(parts) - 1) :])
    assert end_alike(name, known) and end_alike(known, name)
    assert pair_names([f"{name}.{suffix}"], [f"{known}.png", "other.png"]) == {f"{name}.{suffix}": f"{known}.png"}


def test_a_name_that_may_be_two_is_none_of_them():
    assert pair_names(["1.png"], ["left/1.png", "right/1.png"]) == {}
    assert pair_names(["left/1.png"], ["left/1.png", "right/1.png"]) == {"left/1.png": "left/1.png"}
    assert pair_names(["left/1.png", "right/1.png"], ["1.png"]) == {}  # nor are two names one
    assert pair_names(["left/1.png", "1.png"], ["1.png"]) == {"1.png": "1.png"}


def test_a_number_behind_a_point_is_no_suffix():
    assert pair_names(["frame.0001", "frame.0002"], ["frame.0001"]) == {"frame.0001": "frame.0001"}
    assert pair_names(["frame.0002"], ["frame.0001"]) == {}
    assert pair_names(["a/frame.0001.png"], ["frame.0001"]) == {"a/frame.0001.png": "frame.0001"}


def test_a_map_is_read(room_folder, room):
    poses = read_pose_file(room_folder).poses
    assert list(poses) == [image.name for image in room.images]


@pytest.mark.parametrize("stem", [20230101120000, 1, 10**12])
@pytest.mark.parametrize("suffix", [".jpg", ""])
def test_images_that_are_named_by_numbers_are_no_times_where_no_file_has_times(tmp_path, stem, suffix, capsys):
    poses = {f"{stem + number}{suffix}": pose for number, pose in enumerate(POSES.values())}
    write_named_poses(tmp_path / "truth.txt", poses)
    write_named_poses(tmp_path / "poses.txt", {name: moved(pose) for name, pose in poses.items()})
    assert status_of("compare-poses", tmp_path / "truth.txt", tmp_path / "poses.txt") == 0
    assert f"| {len(poses)} / {len(poses)} | 3.00 cm, 0.00 deg" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("words", ["1 0 0", "1 0 0 0 0 1 0 0 0 0 1 0 7"])
def test_a_matrix_of_another_size_is_named(tmp_path, words):
    (tmp_path / "poses.txt").write_text(f"1 0 0 0 0 1 0 0 0 0 1 0\n{words}\n")
    with pytest.raises(ValueError, match=rf"poses\.txt:2: expected 12 numbers, .* got {len(words.split())}"):
        read_pose_file(tmp_path / "poses.txt")
