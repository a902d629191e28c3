"""Pose from correspondences: exact where they are exact, honest about its uncertainty, and lost where it must be."""

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest
from fuzzing import at_bounds, examples
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from worlds import LENSES, PINHOLE, World, rigid_of, world

from deviloc_ros.camera import Camera
from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import (
    perturb_pose,
    pose_difference,
    rotation_distance_deg,
    transform_points,
    translation_distance_m,
)
from deviloc_ros.pose import solve
from deviloc_ros.pose.solve import solve_pnp
from deviloc_ros.status import Status
from deviloc_ros.types import Correspondences, Localized, Lost

DRAWS = 400
LENIENT = PoseConfig(min_inliers=4, min_inlier_ratio=0.0, min_coverage=0.0)


def assert_near(result, truth: World, translation_m: float, rotation_deg: float):
    assert isinstance(result, Localized), result
    assert translation_distance_m(result.cam_from_world, truth.cam_from_world) < translation_m
    assert rotation_distance_deg(result.cam_from_world, truth.cam_from_world) < rotation_deg


def with_points(correspondences: Correspondences, points) -> Correspondences:
    return replace(
        correspondences, points_in_world=np.broadcast_to(points, correspondences.points_in_world.shape).copy()
    )


@pytest.mark.parametrize("camera", LENSES, ids=lambda camera: camera.model)
@pytest.mark.parametrize("seed", range(3))
def test_exact_correspondences_give_back_the_camera(camera, seed):
    truth = world(seed, camera=camera)
    result = solve_pnp(truth.correspondences, camera, PoseConfig())
    assert_near(result, truth, 1e-4, 1e-3)
    assert result.evidence.inliers == len(truth.correspondences) and result.evidence.coverage > 0.9


@examples(60)
@given(at_bounds(PoseConfig()), st.sampled_from([0.0, 0.3]))
def test_at_the_ends_of_their_ranges_parameters_give_the_pose_or_none(config, outliers):
    truth = world(0, count=120)
    result = solve_pnp(truth.with_outliers(np.random.default_rng(0), outliers), PINHOLE, config)
    if isinstance(result, Localized):
        assert_near(result, truth, 0.05, 1.0)
        assert np.linalg.eigvalsh(result.covariance)[0] > 0


def test_a_map_may_lie_far_from_its_origin():
    near = world(0)
    away = rigid_of([0, 0, 0], [400e3, -5e6, 100])  # as UTM coordinates are
    points = replace(
        near.correspondences,
        points_in_world=transform_points(away, near.correspondences.points_in_world),
        origins=transform_points(away, near.correspondences.origins),
    )
    truth = World(PINHOLE, near.cam_from_world * away.inverse(), points)
    assert_near(solve_pnp(points, PINHOLE, PoseConfig()), truth, 1e-3, 1e-3)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_outliers_are_left_out(share):
    truth = world(1, count=600)
    spoilt = truth.with_outliers(np.random.default_rng(0), share)
    result = solve_pnp(spoilt, PINHOLE, PoseConfig())
    assert_near(result, truth, 1e-3, 0.02)
    assert result.evidence.inlier_ratio == pytest.approx(1 - share, abs=0.08)


def test_the_same_seed_gives_the_same_pose():
    noisy = world(2).with_outliers(np.random.default_rng(1), 0.5)
    first, second = (solve_pnp(noisy, PINHOLE, PoseConfig(random_seed=7)) for _ in range(2))
    np.testing.assert_array_equal(first.cam_from_world.matrix(), second.cam_from_world.matrix())
    np.testing.assert_array_equal(first.covariance, second.covariance)


def test_the_pose_does_not_hang_on_what_ransac_drew():
    """Few points with heavy-tailed errors: many poses pass RANSAC, and each has a local minimum near."""
    truth = world(0, count=40).correspondences
    noisy = replace(truth, keypoints=truth.keypoints + 6 * np.random.default_rng(0).standard_t(1, (40, 2)))
    config = replace(LENIENT, max_position_std=100.0)
    poses = [solve_pnp(noisy, PINHOLE, replace(config, random_seed=seed)).cam_from_world for seed in range(6)]
    assert max(translation_distance_m(pose, poses[0]) for pose in poses) < 1e-6


@pytest.mark.parametrize("count", [0, 3, 29])
def test_too_few_correspondences_is_lost_not_identity(count):
    result = solve_pnp(world().correspondences[:count], PINHOLE, PoseConfig())
    assert isinstance(result, Lost) and result.reason is Status.FEW_CORRESPONDENCES
    assert str(count) in result.detail and "30" in result.detail


def test_chance_agreement_is_not_a_pose():
    spoilt = world(3).with_outliers(np.random.default_rng(2), 1.0)
    result = solve_pnp(spoilt, PINHOLE, PoseConfig(min_inlier_ratio=0.0))
    assert isinstance(result, Lost) and result.reason in (Status.FEW_INLIERS, Status.NO_CONSENSUS)


def test_a_low_share_of_inliers_is_not_a_pose():
    spoilt = world(4, count=600).with_outliers(np.random.default_rng(3), 0.8)
    result = solve_pnp(spoilt, PINHOLE, PoseConfig(min_inlier_ratio=0.4))
    assert isinstance(result, Lost) and result.reason is Status.LOW_INLIER_RATIO
    assert result.evidence.inliers > 60


def test_inliers_in_one_corner_are_not_a_pose():
    corner = np.random.default_rng(4).uniform([10, 10], [150, 150], (200, 2))
    result = solve_pnp(world(5, keypoints=corner).correspondences, PINHOLE, PoseConfig(min_coverage=0.2))
    assert isinstance(result, Lost) and result.reason is Status.LOW_COVERAGE
    assert result.evidence.coverage == pytest.approx(4 / 48)  # 2 x 2 of 8 x 6 cells


@pytest.mark.parametrize("seed", range(3))
def test_points_on_one_line_do_not_hold_a_pose(seed):
    line = np.linspace([60, 40], [580, 440], 100)
    truth = world(seed, keypoints=line)
    start, end = truth.correspondences.points_in_world[[0, -1]]
    on_line = start + np.linspace(0, 1, 100)[:, None] * (end - start)
    in_cam = truth.cam_from_world * on_line
    straight = replace(truth.correspondences, points_in_world=on_line, keypoints=PINHOLE.project(in_cam))
    result = solve_pnp(straight, PINHOLE, LENIENT)
    assert isinstance(result, Lost), result


def test_one_point_many_times_does_not_hold_a_pose():
    spread = world(6).correspondences
    for keypoints in (spread.keypoints, np.full_like(spread.keypoints, 200.0)):
        result = solve_pnp(replace(with_points(spread, [1.0, 2.0, 3.0]), keypoints=keypoints), PINHOLE, LENIENT)
        assert isinstance(result, Lost), result


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_few_points_that_are_not_finite_are_no_inliers(value):
    truth = world(7)
    points = truth.correspondences.points_in_world.copy()
    points[:20] = value
    result = solve_pnp(with_points(truth.correspondences, points), PINHOLE, PoseConfig())
    if isinstance(result, Localized):
        assert_near(result, truth, 1e-3, 0.01)
        assert not result.evidence.inlier_mask[:20].any()


def test_a_plane_is_enough():
    truth = world(8)
    rays = truth.cam_from_world.inverse().rotation.matrix() @ PINHOLE.rays(truth.correspondences.keypoints).T
    on_plane = truth.cam_from_world.tgt_origin_in_src() + 3.0 * rays.T
    assert_near(solve_pnp(with_points(truth.correspondences, on_plane), PINHOLE, PoseConfig()), truth, 1e-4, 1e-3)


def wall_beside_a_reference(seed: int, aside_m: float, relief_m: float) -> World:
    """A wall 4 m away, as a reference saw it from aside, and the query that is the world's camera."""
    rng = np.random.default_rng(seed)
    truth = world(seed, count=200)
    in_cam = PINHOLE.rays(truth.correspondences.keypoints) * rng.uniform(4.0, 4.0 + relief_m, 200)[:, None]
    world_from_cam = truth.cam_from_world.inverse()
    points = transform_points(world_from_cam, in_cam)
    keypoints = PINHOLE.project(in_cam)
    origin = transform_points(world_from_cam, np.array([[aside_m, 0.0, 0.0]]))
    return replace(
        truth,
        correspondences=replace(
            truth.correspondences,
            keypoints=keypoints,
            points_in_world=points,
            origins=np.broadcast_to(origin, points.shape),
        ),
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("aside_m", [-3.0, 0.0, 1.0, 6.0])
@pytest.mark.parametrize("relief_m", [0.0, 0.05])
def test_the_mirror_image_of_a_wall_is_no_pose(seed, aside_m, relief_m):
    wall = wall_beside_a_reference(seed, aside_m, relief_m)
    assert_near(solve_pnp(wall.correspondences, PINHOLE, PoseConfig()), wall, 1e-2, 1.0)
    mirrored = wall.correspondences.keypoints * [-1, 1] + [PINHOLE.width - 1, 0]
    result = solve_pnp(replace(wall.correspondences, keypoints=mirrored), PINHOLE, PoseConfig())
    assert isinstance(result, Lost)
    if relief_m == 0:
        assert "mirrored" in result.detail


@pytest.mark.parametrize("bound", ["wide", "narrow"])
def test_of_two_poses_the_one_is_taken_that_the_points_agree_on_closely(monkeypatch, bound):
    """The other has all residuals below the bound, too: what is repeated on a front far away fits a pose beside it."""
    truth = world(0)
    aside = rigid_of([0, 0, 0], [0.03, 0, 0]) * truth.cam_from_world
    config = PoseConfig()

    def find_either(correspondences, camera, given):
        is_wide = given.max_reprojection_error_px == config.max_reprojection_error_px
        pose = truth.cam_from_world if is_wide == (bound == "wide") else aside
        return solve.Consensus(pose, camera, len(correspondences))

    monkeypatch.setattr(solve, "run_ransac", find_either)
    monkeypatch.setattr(solve, "refine_pose", lambda correspondences, camera, pose, *_: (pose, camera))
    found, _ = solve.find_pose(truth.correspondences, PINHOLE, config)
    assert translation_distance_m(found, truth.cam_from_world) < 1e-9


@pytest.mark.parametrize("estimate_focal, times", [(False, 1), (True, 2)])
def test_a_pose_that_explains_closely_what_it_explains_at_all_is_not_sought_again(monkeypatch, estimate_focal, times):
    """Unless the focal length is unknown: RANSAC's own is too rough to tell how closely."""
    truth, bounds_px = world(0).with_noise(np.random.default_rng(0), 1.0), []
    run_ransac = solve.run_ransac

    def note_bound(correspondences, camera, given):
        bounds_px.append(given.max_reprojection_error_px)
        return run_ransac(correspondences, camera, given)

    monkeypatch.setattr(solve, "run_ransac", note_bound)
    assert solve.find_pose(truth, PINHOLE, PoseConfig(estimate_focal=estimate_focal)) is not None
    assert len(bounds_px) == times and bounds_px[0] == PoseConfig().max_reprojection_error_px


EXACT_LENS = {"focal_std": 1e-6, "principal_point_std_px": 1e-6, "distortion_std": 1e-6}
FORMAL = PoseConfig(covariance_scale=1.0, min_position_std=0.0, min_orientation_std_deg=0.0, **EXACT_LENS)


@pytest.mark.parametrize(
    "seed, camera", [(10, PINHOLE), pytest.param(11, PINHOLE, marks=pytest.mark.long), (12, LENSES[-1])]
)
def test_the_covariance_is_that_of_many_noisy_draws(seed, camera):
    """Pinned by sampling: order, axes, units and scale of the 6 x 6 covariance of world_from_cam."""
    rng, truth = np.random.default_rng(seed), world(seed, count=300, camera=camera)
    config = FORMAL  # independent noise here: nothing that all points share
    results = [solve_pnp(truth.with_noise(rng, 1.0), camera, config) for _ in range(DRAWS)]
    world_from_cam = truth.cam_from_world.inverse()
    errors = np.array([pose_difference(r.cam_from_world.inverse(), world_from_cam) for r in results])
    each = np.mean([e @ np.linalg.solve(result.covariance, e) for e, result in zip(errors, results, strict=True)])
    assert 0.75 * 6 < each < 1.35 * 6
    mean = np.mean([result.covariance for result in results], 0)
    claimed = np.sqrt(np.diag(mean))
    for block in (slice(0, 3), slice(3, 6)):
        assert np.linalg.norm(errors.std(0)[block]) == pytest.approx(np.linalg.norm(claimed[block]), rel=0.25)
    np.testing.assert_allclose(np.corrcoef(errors.T), mean / np.outer(claimed, claimed), atol=0.25)


def test_the_covariance_grows_with_the_noise_and_its_scale():
    rng, truth = np.random.default_rng(12), world(12)
    deviations = []
    for sigma_px, scale in ((0.5, 1.0), (2.0, 1.0), (0.5, 16.0)):
        result = solve_pnp(truth.with_noise(rng, sigma_px), PINHOLE, replace(FORMAL, covariance_scale=scale))
        deviations.append(np.sqrt(np.diag(result.covariance)).mean())
        assert np.linalg.eigvalsh(result.covariance).min() > 0
    assert deviations[1] == pytest.approx(4 * deviations[0], rel=0.3)
    assert deviations[2] == pytest.approx(4 * deviations[0], rel=0.3)


def test_a_pose_that_its_own_covariance_does_not_stand_behind_is_lost():
    truth = world(3)
    noisy = truth.with_noise(np.random.default_rng(0), 2.0)
    strict = solve_pnp(noisy, PINHOLE, PoseConfig(max_position_std=1e-6))
    assert isinstance(strict, Lost) and strict.reason is Status.UNCERTAIN
    assert "position std" in strict.detail
    assert isinstance(solve_pnp(noisy, PINHOLE, PoseConfig(max_position_std=10.0)), Localized)


def hanging_on_a_corner(off_m: float, seed: int) -> World:
    """A wall seen in the middle of the image, exact, and in one cell in a corner, where points are that far off."""
    rng = np.random.default_rng(seed)
    middle, corner = rng.uniform([160, 160], [480, 320], (60, 2)), rng.uniform([562, 402], [635, 475], (8, 2))
    truth = world(seed, keypoints=np.concatenate([middle, corner]))
    in_cam = 4.0 * PINHOLE.rays(truth.correspondences.keypoints)
    in_cam[60:, 1] += off_m
    points = transform_points(truth.cam_from_world.inverse(), in_cam)
    return replace(truth, correspondences=replace(truth.correspondences, points_in_world=points))


@pytest.mark.parametrize("seed", range(3))
def test_a_pose_that_one_part_of_the_image_decides_is_lost(seed):
    config = PoseConfig(covariance_scale=0.01)  # a covariance that does not see it
    right = hanging_on_a_corner(0.0, seed)
    assert_near(solve_pnp(right.correspondences, PINHOLE, config), right, 1e-4, 1e-3)
    spoilt = hanging_on_a_corner(0.05, seed)
    lost = solve_pnp(spoilt.correspondences, PINHOLE, config)
    assert isinstance(lost, Lost) and lost.reason is Status.UNSTABLE
    given = solve_pnp(spoilt.correspondences, PINHOLE, replace(config, max_shift=1.0))
    error_m = translation_distance_m(given.cam_from_world, spoilt.cam_from_world)
    said_m = float(lost.detail.split()[3])
    assert error_m > 0.05 and said_m == pytest.approx(error_m, rel=0.1)  # all other points are exact


def test_no_pose_claims_to_be_better_than_the_floor():
    config, truth = PoseConfig(min_position_std=0.005, min_orientation_std_deg=0.5, **EXACT_LENS), world(3)
    result = solve_pnp(truth.correspondences, PINHOLE, config)
    distance_m = np.median(transform_points(truth.cam_from_world, truth.correspondences.points_in_world)[:, 2])
    smallest, largest = np.sqrt(np.linalg.eigvalsh(result.covariance)[[0, -1]])
    assert (smallest, largest) == pytest.approx((np.deg2rad(0.5), 0.005 * distance_m), rel=1e-3)


OF_ANY_SIZE = PoseConfig(required_position_std_m=0.0)


@pytest.mark.parametrize("scale", [0.01, 100.0])
@pytest.mark.parametrize("noise_px, outliers", [(0.5, 0.0), (2.0, 0.5), (6.0, 0.0), (12.0, 0.3), (2.0, 0.97)])
def test_a_scene_of_another_size_is_decided_alike(scale, noise_px, outliers):
    """A table top and a street: whatever is given of the one is given of the other, as sure for its distance."""
    for seed in range(4):
        rng, truth = np.random.default_rng(seed), world(seed, count=150)
        points = replace(truth, correspondences=truth.with_noise(rng, noise_px)).with_outliers(rng, outliers)
        scaled = replace(
            points,
            points_in_world=scale * points.points_in_world,
            depths=scale * points.depths,
            origins=scale * points.origins,
        )
        here, there = (solve_pnp(given, PINHOLE, OF_ANY_SIZE) for given in (points, scaled))
        assert type(here) is type(there) and getattr(here, "reason", None) == getattr(there, "reason", None)
        if isinstance(here, Localized):
            np.testing.assert_allclose(scale**2 * here.covariance[:3, :3], there.covariance[:3, :3], rtol=1e-2)


def test_what_an_application_needs_is_asked_for_in_metres():
    noisy = world(3).with_noise(np.random.default_rng(0), 2.0)
    given = solve_pnp(noisy, PINHOLE, PoseConfig())
    std_m = np.sqrt(np.linalg.eigvalsh(given.covariance[:3, :3])[-1])
    for required_m, kind in ((1.1 * std_m, Localized), (0.9 * std_m, Lost)):
        assert isinstance(solve_pnp(noisy, PINHOLE, PoseConfig(required_position_std_m=float(required_m))), kind)


def test_points_that_err_together_count_for_less():
    """Neighbours that share one error: the pose is off by more than as many independent errors would make it."""
    rng, truth, covariances = np.random.default_rng(13), world(13, count=400), []
    keypoints = truth.correspondences.keypoints
    blocks = np.unique((keypoints // 100).astype(int), axis=0, return_inverse=True)[1].ravel()
    for shared in (rng.normal(0, 1.0, keypoints.shape), rng.normal(0, 1.0, (blocks.max() + 1, 2))[blocks]):
        moved = replace(truth.correspondences, keypoints=keypoints + shared)
        covariances.append(solve_pnp(moved, PINHOLE, FORMAL).covariance)
    alone, together = (np.sqrt(np.trace(c[:3, :3])) for c in covariances)
    assert together > 1.5 * alone


def two_walls(seed: int, relief: float) -> World:
    """A reference before two walls that meet, their depths known to a twentieth."""
    rng, at = np.random.default_rng(seed), world(seed, count=600)
    rays = PINHOLE.rays(at.correspondences.keypoints)
    depths = 4 / (1 + 2 * relief * np.abs(rays[:, 0] / 0.6 - rng.uniform(-0.3, 0.3))) * np.exp(rng.normal(0, 0.05, 600))
    points = transform_points(at.cam_from_world.inverse(), rays * depths[:, None])
    return replace(at, correspondences=replace(at.correspondences, points_in_world=points, depths=depths))


def with_wrong(rng, points: Correspondences, keypoints, share: float) -> Correspondences:
    """Keypoints that are off by a pixel, some of them anywhere."""
    anywhere = rng.uniform(0, [PINHOLE.width, PINHOLE.height], keypoints.shape)
    noisy = keypoints + rng.normal(0, 1, keypoints.shape)
    return replace(points, keypoints=np.where(rng.random((len(keypoints), 1)) < share, anywhere, noisy))


@pytest.mark.parametrize("long_side_px", [160, 640, 6000, 12_000])
@pytest.mark.parametrize("std_px", [0.2, 1.75, 40.0])
def test_bounds_stay_within_what_a_configuration_may_say(long_side_px, std_px):
    """Keypoints of photographs of 24 megapixels are placed to 8 px."""
    factor = long_side_px / PINHOLE.width
    camera = Camera("PINHOLE", long_side_px, long_side_px, tuple(factor * p for p in PINHOLE.params))
    truth = world(0, camera=camera)
    given = replace(truth.correspondences, stds_px=np.full(len(truth.correspondences), std_px))
    assert_near(solve_pnp(given, camera, PoseConfig()), truth, 1e-2, 1.0)


def hang_pictures(relief: float, margin: float) -> Iterator[tuple[np.random.Generator, Correspondences, NDArray]]:
    """Yield 40 places and where a picture of each shows its points, aslant and so far from the image's borders."""
    size = np.array([PINHOLE.width, PINHOLE.height], np.float32)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    for seed in range(40):
        rng, place = np.random.default_rng(1000 + seed), two_walls(seed, relief)
        corners = (margin + (1 - 2 * margin) * square + rng.uniform(-0.6, 0.6, (4, 2)) * margin) * size
        homography = cv2.getPerspectiveTransform(square * size, corners.astype(np.float32))
        yield rng, place.correspondences, cv2.perspectiveTransform(place.correspondences.keypoints[None], homography)[0]


@pytest.mark.parametrize("relief", [0.2, 0.3, 0.5])
def test_a_picture_of_a_place_that_hangs_aslant_elsewhere_is_not_the_place(relief):
    said = []
    for rng, points, hung in hang_pictures(relief, 0.2):
        result = solve_pnp(with_wrong(rng, points, hung, 0.2), PINHOLE, PoseConfig())
        assert isinstance(result, Lost), result
        said.append(result.detail)
    assert any("picture of the place" in detail for detail in said)


@pytest.mark.parametrize("relief", [0.1, 0.3, 0.5])
def test_a_picture_that_a_pose_nearly_fits_fits_better(relief):
    """It fills most of the view, so that a pose explains as many matches, but not as well; no other gate looks."""
    only_pictures = PoseConfig(max_focal_error=100.0, max_position_std=100.0, max_shift=100.0, min_coverage=0.0)
    results = [
        solve_pnp(with_wrong(rng, points, hung, 0.2), PINHOLE, only_pictures)
        for rng, points, hung in hang_pictures(relief, 0.1)
    ]
    assert sum(isinstance(result, Localized) for result in results) <= 2


@pytest.mark.parametrize("relief", [0.0, 0.1, 0.3, 0.8])
def test_no_place_is_taken_for_a_picture_of_itself(relief):
    """A wall, which is as flat as a picture, neither; half of the matches are wrong, so that it is asked."""
    for seed in range(30):
        rng, place = np.random.default_rng(seed), two_walls(seed, relief)
        at = perturb_pose(rng.normal(0, [0.3, 0.3, 0.3, 0.1, 0.1, 0.1]), place.cam_from_world)
        keypoints = PINHOLE.project(transform_points(at, place.correspondences.points_in_world))
        result = solve_pnp(with_wrong(rng, place.correspondences, keypoints, 0.5), PINHOLE, PoseConfig())
        assert_near(result, World(PINHOLE, at, place.correspondences), 0.05, 0.5)
