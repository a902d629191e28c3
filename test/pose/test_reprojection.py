"""Residuals: what they are, and what uncertain depths explain of them."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import LENSES, PINHOLE, World, rigid_of, world

from deviloc_ros.camera import Camera
from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import perturb_pose, transform_points
from deviloc_ros.pose.reprojection import linearize, residuals_px
from deviloc_ros.pose.solve import solve_pnp
from deviloc_ros.types import RIGHT_DEPTH_ERROR, USUAL_STD_PX, Localized, depth_stds_from_confidence

CERTAIN = PoseConfig(max_depth_discount=1.0)
FAR_PX = 1e6


def seen_from_aside(seed: int, *depth_stds: float, aside_m: float = 0.4, noise_px: float = 0.5) -> World:
    """Points lifted from one reference, wrong along its rays by one of `depth_stds` of their depth, as is known;
    the query is beside it."""
    rng, reference = np.random.default_rng(seed), world(seed, count=300)
    exact = reference.correspondences
    aside = rigid_of([0, 0, 0], [-aside_m, 0, 0]) * reference.cam_from_world
    keypoints = PINHOLE.project(transform_points(aside, exact.points_in_world))
    stds = rng.choice(depth_stds, len(keypoints))
    off = 1 + stds * rng.standard_normal(len(keypoints))
    spoilt = replace(
        exact,
        keypoints=keypoints + noise_px * rng.standard_normal(keypoints.shape),
        points_in_world=exact.origins + (exact.points_in_world - exact.origins) * off[:, None],
        depth_stds=stds,
    )
    return World(PINHOLE, aside, spoilt[PINHOLE.is_in_image(keypoints)])


def test_a_confidence_is_the_share_of_cauchy_distributed_errors_that_are_right():
    rng = np.random.default_rng(0)
    for confidence in (0.1, 0.5, 0.9, 0.99):
        std = depth_stds_from_confidence(np.array([confidence]))[0]
        errors = std / 1.4826 * np.abs(rng.standard_cauchy(200_000))
        assert (errors < RIGHT_DEPTH_ERROR).mean() == pytest.approx(confidence, abs=0.005)
        assert np.median(errors) == pytest.approx(std / 1.4826, rel=0.02)
    assert (
        depth_stds_from_confidence(np.ones(1))[0] < 1e-12 and np.isfinite(depth_stds_from_confidence(np.zeros(1))).all()
    )


@pytest.mark.parametrize("discount, std", [(1.0, 0.05), (3.0, 0.0)])
def test_certain_depths_leave_the_plain_residuals_and_their_derivatives(discount, std):
    given = seen_from_aside(0, 0.02)
    points = replace(given.correspondences, depth_stds=np.full(len(given.correspondences), std))
    lines = linearize(points, PINHOLE, given.cam_from_world, discount, FAR_PX)
    plain = residuals_px(points, PINHOLE, given.cam_from_world)
    assert len(lines.rows) == len(points)
    np.testing.assert_allclose(lines.residuals, plain, atol=1e-9)
    np.testing.assert_allclose(lines.errors_px, np.linalg.norm(plain, axis=1), atol=1e-9)
    for axis in range(6):
        step = 1e-6 * np.eye(6)[axis]
        moved = residuals_px(points, PINHOLE, perturb_pose(step, given.cam_from_world))
        np.testing.assert_allclose((moved - plain) / 1e-6, lines.jacobian[:, :, axis], rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("camera", LENSES, ids=lambda camera: camera.model)
def test_derivatives_are_those_of_the_lens(camera):
    truth = world(0, camera=camera)
    points, px_per_m = truth.correspondences, camera.focal_px
    lines = linearize(points, camera, truth.cam_from_world, 1.0, FAR_PX)
    for axis in range(6):
        steps = (perturb_pose(sign * 1e-4 * np.eye(6)[axis], truth.cam_from_world) for sign in (1, -1))
        ahead, behind = (residuals_px(points, camera, moved) for moved in steps)
        np.testing.assert_allclose((ahead - behind) / 2e-4, lines.jacobian[:, :, axis], atol=1e-4 * px_per_m)


def test_a_residual_along_the_line_of_an_uncertain_depth_counts_less_and_one_across_it_does_not():
    """The query is beside the reference, so depths move points along x."""
    given, std = seen_from_aside(1, 1e-9, noise_px=0.0), 0.01
    points = replace(given.correspondences, depth_stds=np.full(len(given.correspondences), std))
    depths = transform_points(given.cam_from_world, points.points_in_world)[:, 2]
    one_std_px = std * PINHOLE.focal_px * 0.4 / depths
    for shift, left in (([5.0, 0], 5 / np.hypot(1, one_std_px / USUAL_STD_PX)), ([0, 5.0], np.full(len(points), 5.0))):
        moved = replace(points, keypoints=points.keypoints + shift)
        np.testing.assert_allclose(linearize(moved, PINHOLE, given.cam_from_world, 100, FAR_PX).errors_px, left)
    moved = replace(points, keypoints=points.keypoints + np.array([5.0, 0]), depth_stds=np.full(len(points), 10.0))
    np.testing.assert_allclose(linearize(moved, PINHOLE, given.cam_from_world, 3, FAR_PX).errors_px, 5 / 3)
    assert len(linearize(moved, PINHOLE, given.cam_from_world, 3, 1.6).rows) == 0


@pytest.mark.parametrize("camera", [PINHOLE, Camera("SIMPLE_RADIAL", 640, 480, (525.0, 319.5, 239.5, -0.05))])
def test_points_behind_the_camera_have_no_residual(camera):
    given = seen_from_aside(2, 0.02)
    turned = rigid_of([0, np.pi, 0], [0, 0, 0]) * given.cam_from_world
    assert len(linearize(given.correspondences, camera, turned, 3, 100).rows) == 0


def test_uncertain_depths_pull_the_pose_less_towards_the_reference():
    """Errors along the rays of a reference vanish for who stands there, and that is where they draw the pose."""
    errors_m, pulled = {}, {}
    for config in (CERTAIN, PoseConfig()):
        for seed in range(20):
            given = seen_from_aside(seed, 0.005, 0.02, 0.05, 0.1)
            result = solve_pnp(given.correspondences, PINHOLE, config)
            assert isinstance(result, Localized)
            true, centre = (pose.tgt_origin_in_src() for pose in (given.cam_from_world, result.cam_from_world))
            to_reference = given.correspondences.origins[0] - true
            errors_m.setdefault(config, []).append(np.linalg.norm(centre - true))
            pulled.setdefault(config, []).append((centre - true) @ to_reference / np.linalg.norm(to_reference))
    assert np.mean(errors_m[PoseConfig()]) < 0.85 * np.mean(errors_m[CERTAIN])
    assert 0 < np.mean(pulled[PoseConfig()]) < 0.9 * np.mean(pulled[CERTAIN])
