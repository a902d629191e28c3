"""A wrong focal length: what one image says of it, what many say, and that what hides it is not taken for certainty."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import LENSES, PINHOLE, rigid_of, world

from deviloc_ros.config import PoseConfig
from deviloc_ros.geometry import transform_points, translation_distance_m
from deviloc_ros.pose.focal_length import fit_focal
from deviloc_ros.pose.reprojection import linearize, residuals_px
from deviloc_ros.pose.solve import solve_pnp
from deviloc_ros.status import Status
from deviloc_ros.tracking.calibration import LEAST_IMAGES, FocalCheck
from deviloc_ros.types import FocalFit, Localized, Lost

UNCHECKED = PoseConfig(max_focal_error=100.0)


@pytest.mark.parametrize("camera", LENSES, ids=lambda camera: camera.model)
def test_a_longer_focal_length_stretches_the_image_about_the_principal_point(camera):
    truth = world(0, camera=camera)
    points = truth.correspondences
    lines = linearize(points, camera, truth.cam_from_world, 1.0, 1e6, free_focal=True)
    longer, shorter = (
        residuals_px(points, camera.scale_focal(np.exp(step)), truth.cam_from_world) for step in (1e-6, -1e-6)
    )
    assert lines.jacobian.shape == (len(points), 2, 7)
    np.testing.assert_allclose((longer - shorter) / 2e-6, lines.jacobian[:, :, 6], atol=1e-3)


@pytest.mark.parametrize("camera", LENSES, ids=lambda camera: camera.model)
@pytest.mark.parametrize("factor", [0.85, 0.97, 1.03, 1.15])
def test_the_focal_length_that_an_image_was_taken_with_is_found(camera, factor):
    truth = world(1, camera=camera)
    wrong = camera.scale_focal(factor)
    result = solve_pnp(truth.correspondences, wrong, PoseConfig())
    assert isinstance(result, Lost) and result.reason is Status.MISCALIBRATED, result
    focal = result.evidence.focal
    assert focal.scale == pytest.approx(1 / factor, rel=1e-3)
    assert translation_distance_m(focal.cam_from_world, truth.cam_from_world) < 0.01
    assert f"{focal.scale:.3f}" in result.detail
    off = solve_pnp(truth.correspondences, wrong, UNCHECKED)
    assert isinstance(off, Localized) and translation_distance_m(off.cam_from_world, truth.cam_from_world) > 0.05


def test_the_right_focal_length_is_not_doubted():
    """400 noisy images of 20 scenes: the deviation that is stated is the one there is, and none is refused."""
    config = PoseConfig(covariance_scale=1.0)  # independent noise here
    errors = []
    for seed in range(20):
        rng, truth = np.random.default_rng(seed), world(seed)
        for _ in range(20):
            result = solve_pnp(truth.with_noise(rng, 1.0), PINHOLE, config)
            assert isinstance(result, Localized), result
            errors.append((result.evidence.focal.scale - 1) / result.evidence.focal.std)
    assert 0.85 < np.std(errors) < 1.2 and abs(np.mean(errors)) < 0.2


def test_a_wall_seen_from_the_front_says_nothing_of_the_focal_length():
    """Nearer to the wall, or through a longer lens: the image is the same. So nobody may be sure of either."""
    truth = world(2)
    in_cam = 3.0 * PINHOLE.rays(truth.correspondences.keypoints)
    points = transform_points(truth.cam_from_world.inverse(), in_cam)
    noise = np.random.default_rng(0).normal(0, 0.5, truth.correspondences.keypoints.shape)
    wall = replace(truth.correspondences, points_in_world=points, keypoints=truth.correspondences.keypoints + noise)
    given = solve_pnp(wall, PINHOLE.scale_focal(1.1), UNCHECKED)
    assert translation_distance_m(given.cam_from_world, truth.cam_from_world) > 0.2
    focal = fit_focal(wall, PINHOLE, PINHOLE, truth.cam_from_world, PoseConfig())
    assert focal is None or focal.std > 0.05
    assert isinstance(solve_pnp(wall, PINHOLE, PoseConfig()), Localized)


def fits(scales, std=0.02, step_m=0.5):
    return [FocalFit(s, std, rigid_of([0, 0, 0], [n * step_m, 0, 0]), 4.0) for n, s in enumerate(scales)]


def checked(given, window=None):
    check = FocalCheck(window)
    for fit in given:
        check.add_fit(fit)
    return check


def test_many_images_tell_what_one_does_not():
    noise = np.random.default_rng(0).normal(0, 0.015, 40)
    found = checked(fits(1.03 + noise)).median_fit
    assert found.images == 40 and found.scale == pytest.approx(1.03, abs=0.01)
    assert found.std == pytest.approx(1.2533 * 0.015 / 40**0.5, rel=0.4)
    complaint = checked(fits(1.03 + noise)).complaint(0.01)
    assert complaint.startswith(f"{found.scale:.3f}") and "40 images" in complaint
    assert checked(fits(1.03 + noise)).complaint(0.1) == "" == checked(fits(1.0 + noise)).complaint(0.01)


def test_few_images_and_images_from_one_place_say_nothing():
    assert checked(fits([1.05] * (LEAST_IMAGES - 1))).median_fit is None
    assert checked(fits([1.05] * 100, step_m=0.001)).median_fit is None  # together the hundred are half of five percent
    assert checked([None] * 100).median_fit is None
    assert checked([]).complaint(0.0) == ""


def test_only_the_last_images_count_and_a_new_camera_starts_anew():
    check = checked(fits([1.2] * 50 + [1.0] * 50), window=50)
    assert check.median_fit.scale == pytest.approx(1.0) and check.median_fit.images == 50
    check.clear_fits()
    assert check.median_fit is None


ESTIMATED = PoseConfig(estimate_focal=True)


@pytest.mark.parametrize("camera", [*LENSES[:4]], ids=lambda camera: camera.model)
@pytest.mark.parametrize("factor", [0.5, 1.2, 2.0])
def test_a_camera_that_nobody_calibrated_is_located_with_its_focal_length(camera, factor):
    truth = world(3, count=400, camera=camera)
    spoilt, wrong = truth.with_outliers(np.random.default_rng(0), 0.3), camera.scale_focal(factor)
    result = solve_pnp(spoilt, wrong, ESTIMATED)
    assert isinstance(result, Localized), result
    assert translation_distance_m(result.cam_from_world, truth.cam_from_world) < 0.01
    assert result.evidence.focal.scale == pytest.approx(1 / factor, rel=5e-3)
    assert result.evidence.inlier_ratio > 0.6
    assert wrong == camera.scale_focal(factor)  # RANSAC writes into what it is given


def test_a_pose_found_with_its_focal_length_claims_less():
    """By sampling: the covariance is that of the pose with the focal length unknown, larger than with it known."""
    config, truth = replace(ESTIMATED, covariance_scale=1.0, min_position_std=0.0), world(4, count=300)
    rng = np.random.default_rng(0)
    draws = [truth.with_noise(rng, 1.0) for _ in range(100)]
    results = [solve_pnp(draw, PINHOLE.scale_focal(1.2), config) for draw in draws]
    errors = [translation_distance_m(result.cam_from_world, truth.cam_from_world) for result in results]
    claimed = [np.trace(result.covariance[:3, :3]) for result in results]
    assert 0.6 < np.mean(np.square(errors)) / np.mean(claimed) < 1.1  # on the safe side, by a fifth of the deviation
    known = solve_pnp(draws[0], PINHOLE, replace(config, estimate_focal=False))
    assert np.mean(claimed) > 4 * np.trace(known.covariance[:3, :3])


def test_where_the_image_does_not_tell_the_focal_length_there_is_no_pose_of_an_uncalibrated_camera():
    truth = world(2)
    in_cam = 3.0 * PINHOLE.rays(truth.correspondences.keypoints)
    noise = np.random.default_rng(0).normal(0, 0.5, truth.correspondences.keypoints.shape)
    points = transform_points(truth.cam_from_world.inverse(), in_cam)
    wall = replace(truth.correspondences, points_in_world=points, keypoints=truth.correspondences.keypoints + noise)
    assert isinstance(solve_pnp(wall, PINHOLE, ESTIMATED), Lost)
