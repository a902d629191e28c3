"""Similarity transforms between frames: exact where the truth is, and told when nothing determines them."""

from functools import reduce
from itertools import pairwise

import numpy as np
import pycolmap
import pytest
from worlds import random_rigid, rigid_of

from deviloc_ros.geometry import rotation_distance_deg, transform_points, translation_distance_m
from deviloc_ros.maps.alignment.known_positions import fit_poses, fit_positions, read_positions
from deviloc_ros.maps.alignment.similarity import (
    align_poses,
    align_positions,
    align_to_odometry,
    camera_centres,
    move_points,
    move_pose,
    travelled_distances_m,
)
from deviloc_ros.sources.base import SourceError

RNG = np.random.default_rng(0)
POSES = [random_rigid(RNG) for _ in range(6)]  # cam_from_world
MOVE = pycolmap.Sim3d(2.5, pycolmap.Rotation3d(np.array([0.3, -1.0, 0.2])), np.array([4.0, -2.0, 7.0]))
MOVED = [move_pose(MOVE, pose) for pose in POSES]


def assert_same(one: pycolmap.Sim3d, other: pycolmap.Sim3d) -> None:
    np.testing.assert_allclose(one.matrix(), other.matrix(), atol=1e-9)


def test_what_a_camera_sees_grows_with_the_world():
    points = RNG.normal(size=(5, 3))
    for pose, moved in zip(POSES, MOVED, strict=True):
        seen = transform_points(moved, move_points(MOVE, points))
        np.testing.assert_allclose(seen, MOVE.scale * transform_points(pose, points), atol=1e-9)


def test_the_move_is_found_from_positions_and_from_poses():
    assert_same(align_positions(camera_centres(POSES), camera_centres(MOVED)), MOVE)
    assert_same(align_poses(POSES, MOVED), MOVE)
    assert_same(align_poses(POSES[:2], MOVED[:2]), MOVE)
    assert (
        align_poses(POSES, MOVED, rigid=True).scale
        == 1
        == align_positions(camera_centres(POSES), camera_centres(MOVED), rigid=True).scale
    )


def test_positions_in_a_plane_and_three_of_them_are_enough():
    flat = RNG.normal(size=(6, 3)) * [1, 1, 0]
    for positions in (flat, flat[:3], camera_centres(POSES[:3])):
        assert_same(align_positions(positions, move_points(MOVE, positions)), MOVE)
        away = np.array([1.0, 2.0, 0.0])
        rigidly = align_positions(positions, positions + away, rigid=True)
        np.testing.assert_allclose(rigidly.matrix(), pycolmap.Sim3d(1, pycolmap.Rotation3d(), away).matrix(), atol=1e-9)


def test_positions_on_a_line_and_a_camera_that_stands_determine_nothing():
    line = np.arange(5.0)[:, None] * [1, 2, 3]
    for positions in (line, line[:2], np.zeros((4, 3))):
        with pytest.raises(ValueError, match="three that are not on one line are needed"):
            align_positions(positions, positions)
    with pytest.raises(ValueError, match="the camera must move"):
        align_poses(POSES[:1] * 3, MOVED[:1] * 3)


def drive(count: int = 60, step_m: float = 0.1) -> list[pycolmap.Rigid3d]:
    """world_from_cam along a bend."""
    step = rigid_of([0, 0.05, 0], [0.02, 0, step_m])
    return reduce(lambda way, _: [*way, way[-1] * step], range(count - 1), [random_rigid(RNG)])


def drifting(truth: list[pycolmap.Rigid3d], turn_rad_per_m: float) -> list[pycolmap.Rigid3d]:
    """The same way from the same start, turned more and more; its steps are right."""
    poses = [truth[0]]
    for before, after in pairwise(truth):
        step = before.inverse() * after
        turn = pycolmap.Rotation3d(np.array([turn_rad_per_m * np.linalg.norm(step.translation), 0, 0]))
        poses.append(poses[-1] * pycolmap.Rigid3d(step.rotation * turn, step.translation))
    return poses


def test_scale_and_frame_come_from_odometry_but_not_its_drift():
    truth = drive()
    odometry = [pose.inverse() for pose in drifting(truth, 0.02)]
    refined = [move_pose(MOVE, pose.inverse()) for pose in truth]  # right, in a frame of its own
    found = align_to_odometry(odometry, refined, travelled_distances_m(odometry))
    assert found.scale * MOVE.scale == pytest.approx(1, abs=0.003)
    put_back = [move_pose(found, pose) for pose in refined]
    off_m = [translation_distance_m(a, b.inverse()) for a, b in zip(put_back, truth, strict=True)]
    given_off_m = [translation_distance_m(a, b.inverse()) for a, b in zip(odometry, truth, strict=True)]
    assert max(off_m) < 0.25 * max(given_off_m) and off_m[0] < 0.002
    assert rotation_distance_deg(put_back[0], truth[0].inverse()) < 0.2


def test_a_camera_that_only_turns_has_no_scale():
    turning = [rigid_of([0, 0.1 * n, 0], [0, 0, 0]) for n in range(5)]
    with pytest.raises(ValueError, match="the camera does not move"):
        align_to_odometry(turning, turning, travelled_distances_m(turning))


def test_known_positions_are_read_and_what_is_wrong_is_named(tmp_path):
    path = tmp_path / "positions.txt"
    path.write_text("# NAME X Y Z\n\na.png 1 2 3\nb/c.png -1 0 0.5\n my view 2.png\t4 5 6 \n")
    assert {name: position.tolist() for name, position in read_positions(path).items()} == {
        "a.png": [1, 2, 3],
        "b/c.png": [-1, 0, 0.5],
        "my view 2.png": [4, 5, 6],
    }
    path.write_text("a.png 1 2 3\nb.png 1 2 3\na.png 100 2 3\n")
    with pytest.raises(SourceError, match=r"positions\.txt:3: the second position of 'a\.png'"):
        read_positions(path)
    for text in ("a.png 1 2", "a.png 1 2 x", "a.png 1 2 nan"):
        path.write_text(text)
        with pytest.raises(SourceError, match=r"positions\.txt:1: "):
            read_positions(path)
    with pytest.raises(SourceError, match="not found"):
        read_positions(tmp_path / "nowhere.txt")


def test_views_are_known_by_name():
    poses = {f"{number}.png": pose for number, pose in enumerate(POSES)}
    known = {f"{number}.png": pose for number, pose in enumerate(MOVED[:4])} | {"other.png": POSES[0]}
    found, words = fit_poses(poses, known)
    assert_same(found, MOVE)
    assert words.startswith("as 4 known poses have it; scale 2.5000, off by 0.000 m")
    assert words.endswith("; 1 of 5 names there are of no view, as 'other.png'")
    found, words = fit_positions(poses, {name: pose.tgt_origin_in_src() for name, pose in known.items()})
    assert_same(found, MOVE)
    assert words.startswith("as 4 known positions have it")
    assert words.endswith("; 1 of 5 names there are of no view, as 'other.png'")
    with pytest.raises(SourceError, match=r"none of the 6 views is named there; the first is '0\.png'"):
        fit_poses(poses, {"other.png": POSES[0]})
    with pytest.raises(SourceError, match=r"2 positions do not determine a rotation.*of 6 views"):
        fit_positions(poses, {name: np.arange(3.0) for name in ("0.png", "1.png")})


def test_positions_that_do_not_fit_are_refused_and_the_worst_is_named():
    poses = {f"{number}.png": pose for number, pose in enumerate(POSES)}
    known = {name: MOVE * pose.tgt_origin_in_src() for name, pose in poses.items()}
    spread_m = np.linalg.norm(np.std(list(known.values()), axis=0))
    noise_m = RNG.normal(0, 0.05 * spread_m, (len(known), 3))
    noisy = {name: position + off for (name, position), off in zip(known.items(), noise_m, strict=True)}
    assert fit_positions(poses, noisy)[0].scale == pytest.approx(MOVE.scale, rel=0.2)
    with pytest.raises(
        SourceError, match=r"are not placed relative to each other as 6 known .*\(most, 4\.png\): check names"
    ):
        fit_positions(poses, known | {"4.png": known["4.png"] + 20 * spread_m})
    with pytest.raises(SourceError, match="check names"):
        fit_positions(poses, dict(zip(poses, reversed(known.values()), strict=True)))
    with pytest.raises(SourceError, match="numbers and scale"):
        fit_positions(poses, {name: 5 * position for name, position in known.items()}, rigid=True)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("thickness", [1.0, 0.0])
def test_positions_as_in_a_mirror_are_told_from_noise(seed, thickness):
    rng = np.random.default_rng(seed)
    poses = {str(number): random_rigid(rng) for number in range(12)}
    places = np.stack([pose.tgt_origin_in_src() for pose in poses.values()])
    places[:, 2] *= thickness
    poses = {name: pycolmap.Rigid3d(pycolmap.Rotation3d(), -place) for name, place in zip(poses, places, strict=True)}
    noisy = move_points(MOVE, places) + rng.normal(0, 0.2, places.shape)
    assert fit_positions(poses, dict(zip(poses, noisy, strict=True)))[0].scale == pytest.approx(MOVE.scale, rel=0.2)
    for changed in (noisy * [1, -1, 1], noisy[:, [1, 0, 2]]):
        known = dict(zip(poses, changed, strict=True))
        if thickness:
            with pytest.raises(SourceError, match="as in a mirror"):
                fit_positions(poses, known)
        else:  # from below it fits as well
            assert fit_positions(poses, known)[0].scale == pytest.approx(MOVE.scale, rel=0.2)


@pytest.mark.parametrize("number", ["1e13", "-1e200", "inf", "nan"])
def test_a_position_beyond_all_places_is_named(tmp_path, number):
    (tmp_path / "p.txt").write_text(f"a.png 1 2 3\nb.png 1 {number} 3\n")
    with pytest.raises(SourceError, match=r"p\.txt:2: expected NAME X Y Z"):
        read_positions(tmp_path / "p.txt")
