"""Wrong intrinsics: what one image says of them, what many say, and what they make of a pose's covariance."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import LENSES, PINHOLE, world

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config, PoseConfig
from deviloc_ros.evaluation.covariance import EXPECTED_MEDIAN
from deviloc_ros.evaluation.metrics import normalised_error_squared
from deviloc_ros.geometry import transform_points, translation_distance_m
from deviloc_ros.pose import intrinsics
from deviloc_ros.pose.refinement import NARROW_START, WIDE_START
from deviloc_ros.pose.reprojection import linearize, residuals_px
from deviloc_ros.pose.solve import solve_pnp
from deviloc_ros.status import Status
from deviloc_ros.tracking.calibration_check import LEAST_IMAGES, IntrinsicsCheck
from deviloc_ros.types import Correspondences, Localized, Lost

UNCHECKED = PoseConfig(max_focal_error=100.0)


CHANGES = {  # of `Camera.change_intrinsics`
    "focal length": [0.03, 0.0, 0.0, 0.0],
    "principal point in x": [0.0, 15.0, 0.0, 0.0],
    "principal point in y": [0.0, 0.0, -15.0, 0.0],
    "far principal point": [0.0, 50.0, 0.0, 0.0],
    "k1": [0.0, 0.0, 0.0, 0.1],
    "all": [-0.02, 6.0, -4.0, 0.03],
}


@pytest.mark.parametrize("camera", LENSES, ids=lambda camera: camera.model)
def test_pixels_move_with_the_intrinsics_as_their_derivatives_say(camera):
    truth = world(0, camera=camera)
    points, pose = truth.correspondences, truth.cam_from_world
    lines = linearize(points, camera, pose, 1.0, 1e6, intrinsics=True)
    assert lines.jacobian.shape == (len(points), 2, 10)
    for number, step in enumerate([1e-6, 1e-3, 1e-3, 1e-6]):
        change = step * np.eye(4)[number]
        more, less = (residuals_px(points, camera.change_intrinsics(sign * change), pose) for sign in (1, -1))
        np.testing.assert_allclose((more - less) / (2 * step), lines.jacobian[:, :, 6 + number], atol=0.05)


@given(change=st.tuples(*(st.floats(-limit, limit) for limit in (0.3, 50.0, 50.0, 0.3))), lens=st.sampled_from(LENSES))
def test_a_change_of_the_intrinsics_and_back_is_the_same_lens(change, lens):
    points = transform_points(world(1, 20, lens).cam_from_world, world(1, 20, lens).correspondences.points_in_world)
    back = lens.change_intrinsics(np.array(change)).change_intrinsics(-np.array(change))
    np.testing.assert_allclose(back.project(points), lens.project(points), atol=1e-6)


@pytest.mark.parametrize("camera", LENSES, ids=lambda camera: camera.model)
@pytest.mark.parametrize("factor", [0.85, 0.97, 1.03, 1.15])
def test_the_focal_length_that_an_image_was_taken_with_is_found(camera, factor):
    truth = world(1, camera=camera)
    wrong = camera.scale_focal(factor)
    result = solve_pnp(truth.correspondences, wrong, PoseConfig())
    assert isinstance(result, Lost) and result.reason is Status.MISCALIBRATED, result
    fit = result.evidence.intrinsics
    assert fit.focal_scale == pytest.approx(1 / factor, rel=5e-3)
    assert translation_distance_m(fit.cam_from_world, truth.cam_from_world) < 0.02
    assert f"{1 / factor:.3f}" in result.detail and "focal length" in result.detail
    off = solve_pnp(truth.correspondences, wrong, UNCHECKED)
    assert isinstance(off, Localized) and translation_distance_m(off.cam_from_world, truth.cam_from_world) > 0.05


def test_the_right_focal_length_is_not_doubted():
    """200 noisy images of 20 scenes: the deviation that is stated is the one there is, and none is refused."""
    config = PoseConfig(covariance_scale=1.0)  # independent noise here
    errors = []
    for seed in range(20):
        rng, truth = np.random.default_rng(seed), world(seed)
        for _ in range(10):
            result = solve_pnp(truth.with_noise(rng, 1.0), PINHOLE, config)
            assert isinstance(result, Localized), result
            fit = result.evidence.intrinsics
            errors.append((fit.focal_scale - 1) / fit.focal_std)
    assert 0.85 < np.std(errors) < 1.2 and abs(np.mean(errors)) < 0.2


@pytest.mark.parametrize("start", [NARROW_START, WIDE_START], ids=["narrow", "wide"])
def test_a_wide_start_is_tried_where_a_narrow_one_doubts_and_what_explains_more_counts(monkeypatch, start):
    """One of the starts ends in the minimum, the other beside it."""
    truth, wrong = world(0), PINHOLE.scale_focal(0.9)
    changes = {NARROW_START: 0.1, WIDE_START: 0.1} | {start: -np.log(0.9)}
    poses = {NARROW_START: copy(truth.cam_from_world), WIDE_START: copy(truth.cam_from_world)}
    tried = []

    def end_at(correspondences, camera, pose, config, change, widenings):
        tried.append(widenings)
        return poses[widenings], np.array([changes[widenings], 0, 0, 0])

    monkeypatch.setattr(intrinsics, "refine_with_intrinsics", end_at)
    fit = intrinsics.fit_intrinsics(truth.correspondences, wrong, wrong, truth.cam_from_world, PoseConfig())
    assert tried == [NARROW_START, WIDE_START]
    assert fit.cam_from_world is poses[start] and fit.focal_scale == pytest.approx(1 / 0.9, rel=1e-3)


@pytest.mark.parametrize("found", [0.0, 0.001, 0.03])
def test_a_change_that_is_tolerated_or_not_sure_asks_for_no_wide_start(monkeypatch, found):
    """In right images of kitchens intrinsics look off by more than is tolerated, as they are hardly seen."""
    truth, tried = world(0).with_noise(np.random.default_rng(0), 1.0), []

    def end_at(correspondences, camera, pose, config, change, widenings):
        tried.append(widenings)
        return pose, np.array([found, 0, 0, 0])

    monkeypatch.setattr(intrinsics, "refine_with_intrinsics", end_at)
    pose = solve_pnp(truth, PINHOLE, UNCHECKED).evidence.cam_from_world
    tried.clear()
    intrinsics.fit_intrinsics(truth, PINHOLE, PINHOLE, pose, PoseConfig())
    assert tried == [NARROW_START]


@pytest.mark.parametrize("k1", [-0.03, -0.1])
@pytest.mark.parametrize("seed", range(3))
def test_points_far_out_of_view_that_a_lens_model_folds_back_say_nothing_of_it(seed, k1):
    """Such a point moves by thousands of pixels where k1 changes: one outweighed a thousand that were in view."""
    camera = Camera("SIMPLE_RADIAL", 640, 480, (525.0, 319.5, 239.5, k1))
    truth, rng = world(seed, 200, camera), np.random.default_rng(seed)
    points = truth.with_noise(rng, 1.0)
    radius, turn = 200 / 525, rng.uniform(0, 2 * np.pi, 5)
    folded = max(np.roots([k1, 0, 1, -radius]).real) * np.stack([np.cos(turn), np.sin(turn)], 1)
    in_cam = 3.0 * np.concatenate([folded, np.ones((5, 1))], 1)
    out_of_view = replace(
        points[np.arange(5)],
        keypoints=camera.project(in_cam),
        points_in_world=transform_points(truth.cam_from_world.inverse(), in_cam),
    )
    found, spoilt = (
        solve_pnp(given, camera, PoseConfig()) for given in (points, Correspondences.concatenate([points, out_of_view]))
    )
    assert not spoilt.evidence.inlier_mask[-5:].any()
    np.testing.assert_allclose(spoilt.evidence.intrinsics.information, found.evidence.intrinsics.information, rtol=0.05)


def test_a_wall_seen_from_the_front_says_nothing_of_the_focal_length():
    """Nearer to the wall, or through a longer lens: the image is the same. So nobody may be sure of either."""
    truth = world(2)
    in_cam = 3.0 * PINHOLE.rays(truth.correspondences.keypoints)
    points = transform_points(truth.cam_from_world.inverse(), in_cam)
    noise = np.random.default_rng(0).normal(0, 0.5, truth.correspondences.keypoints.shape)
    wall = replace(truth.correspondences, points_in_world=points, keypoints=truth.correspondences.keypoints + noise)
    given = solve_pnp(wall, PINHOLE.scale_focal(1.1), UNCHECKED)
    assert translation_distance_m(given.cam_from_world, truth.cam_from_world) > 0.2
    found = solve_pnp(wall, PINHOLE, PoseConfig())
    assert isinstance(found, Localized)
    assert found.evidence.intrinsics is None or found.evidence.intrinsics.focal_std > 0.05


def look_around(camera, count, seed=0, noise_px=1.0, points=200):
    """Return what a camera that takes images as `camera` says of other intrinsics: `(calibration) -> fits`."""
    rng = np.random.default_rng(seed)
    worlds = [world(100 * seed + number, points, camera) for number in range(count)]
    seen = [(one, one.with_noise(rng, noise_px)) for one in worlds]
    config = replace(PoseConfig(), covariance_scale=1.0)

    def fit_all(calibration):
        results = [solve_pnp(points, calibration, config) for _, points in seen]
        return [result.evidence.intrinsics for result in results]

    return fit_all


def pooled(fits, camera, window=None):
    check = IntrinsicsCheck(window)
    for fit in fits:
        check.add_fit(fit)
    return check, check.pool(camera, PoseConfig())


@pytest.mark.parametrize("camera", LENSES, ids=lambda camera: camera.model)
@pytest.mark.parametrize("name", CHANGES)
def test_many_images_tell_which_of_the_intrinsics_is_off_and_by_how_much(camera, name):
    change = np.array(CHANGES[name])
    calibration = camera.change_intrinsics(-change)
    check, found = pooled(look_around(camera, 20)(calibration), calibration)
    assert found.images == 20
    assert (np.abs(found.change - change) < 4 * found.stds + [1e-3, 0.3, 0.3, 1e-3]).all(), (found.change, found.stds)
    said = check.complaint(calibration, PoseConfig())
    for words, wrong in (("focal", change[0]), ("px in x", change[1]), ("px in y", change[2]), ("k1", change[3])):
        assert (words in said) == bool(abs(wrong) > 0) or name == "all", said
    assert "20 images" in said


@settings(max_examples=6, deadline=None)
@given(
    change=st.tuples(*(st.floats(-limit, limit) for limit in (0.05, 30.0, 30.0, 0.1))),
    seed=st.integers(0, 50),
)
def test_intrinsics_of_any_error_are_found_within_their_deviations(change, seed):
    calibration = PINHOLE.change_intrinsics(-np.array(change))
    _, found = pooled(look_around(PINHOLE, 15, seed)(calibration), calibration)
    assert (np.abs(found.change - change) < 5 * found.stds + [1e-3, 0.3, 0.3, 1e-3]).all(), (found.change, found.stds)


def test_the_deviations_that_many_images_claim_are_those_there_are():
    errors = []
    for seed in range(20):
        _, found = pooled(look_around(PINHOLE, 14, seed, points=80)(PINHOLE), PINHOLE)
        errors.append(found.change / found.stds)
    assert (np.std(errors, axis=0) < 1.7).all() and (np.std(errors, axis=0) > 0.5).all(), np.std(errors, axis=0)


def test_a_right_calibration_is_not_complained_of():
    for seed in range(8):
        check, _ = pooled(look_around(PINHOLE, 12, seed, points=80)(PINHOLE), PINHOLE)
        assert check.complaint(PINHOLE, PoseConfig()) == ""
        assert check.widen(PINHOLE, Config()) == Config()


def test_images_that_rest_on_wrong_matches_are_outvoted():
    calibration = PINHOLE.change_intrinsics(np.array([0.0, -15.0, 0.0, 0.0]))
    fits = look_around(PINHOLE, 20)(calibration)
    mad = [replace(fit, vector=fit.information @ [0.2, -60.0, 80.0, 0.3]) for fit in fits[:3]]
    _, found = pooled(fits[3:] + mad, calibration)
    assert found.change[1] == pytest.approx(15.0, abs=2.0)


def test_few_images_and_images_from_one_place_say_nothing():
    calibration = PINHOLE.scale_focal(1.1)
    fits = look_around(PINHOLE, LEAST_IMAGES)(calibration)
    assert pooled(fits[:-1], calibration)[1] is None
    assert pooled([fits[0]] * 100, calibration)[1] is None
    assert pooled([None] * 100, calibration)[1] is None
    check, found = pooled(fits, calibration)
    assert found is not None and "focal" in check.complaint(calibration, PoseConfig())


def test_only_the_last_images_count():
    calibration = PINHOLE.scale_focal(1.1)
    look = look_around(PINHOLE, 20)
    _, found = pooled(look(calibration) + look(PINHOLE), PINHOLE, window=20)
    assert found.images == 20 and found.change[0] == pytest.approx(0.0, abs=0.005)


def test_a_calibration_known_to_be_wrong_is_taken_as_no_better_than_it_is():
    calibration = PINHOLE.change_intrinsics(np.array([0.0, -15.0, 0.0, 0.0]))
    check, found = pooled(look_around(PINHOLE, 20)(calibration), calibration)
    wider = check.widen(calibration, Config()).pose
    assert wider.principal_point_std_px == pytest.approx(float(np.hypot(found.change[1], found.stds[1])), rel=0.01)
    assert (wider.focal_std, wider.distortion_std) == (PoseConfig().focal_std, PoseConfig().distortion_std)


def test_an_error_beyond_what_a_calibration_says_is_withheld():
    config = PoseConfig(principal_point_std_px=5.0, covariance_scale=1.0)
    for off_px, reason in ((10.0, None), (40.0, Status.MISCALIBRATED)):
        truth = world(1, 400)
        wrong = PINHOLE.change_intrinsics(np.array([0.0, off_px, 0.0, 0.0]))
        result = solve_pnp(truth.with_noise(np.random.default_rng(0), 1.0), wrong, config)
        assert getattr(result, "reason", None) is reason, result


@pytest.mark.parametrize(
    "stds", [(0.02, 1e-6, 1e-6), (1e-6, 15.0, 1e-6), (1e-6, 1e-6, 0.05), (0.01, 5.0, 0.02)], ids=str
)
def test_errors_of_a_calibration_as_large_as_it_says_are_in_the_covariance(stds):
    """By sampling: the error squared by its covariance is as the chi-squared law has it."""
    config = PoseConfig(
        covariance_scale=1.0,
        min_position_std=0.0,
        min_orientation_std_deg=0.0,
        focal_std=stds[0],
        principal_point_std_px=stds[1],
        distortion_std=stds[2],
        max_position_std=10.0,
        required_position_std_m=0.0,
        max_shift=10.0,
        max_focal_error=100.0,
    )
    nees = []
    for seed in range(60):
        rng, truth = np.random.default_rng(seed), world(seed, 150)
        change = rng.normal(0, [stds[0], stds[1], stds[1], stds[2]])
        result = solve_pnp(truth.with_noise(rng, 1.0), PINHOLE.change_intrinsics(change), config)
        assert isinstance(result, Localized), result
        nees.append(normalised_error_squared(result, truth.cam_from_world))
    assert 0.5 < np.median(nees) / EXPECTED_MEDIAN < 2.0, np.median(nees)


ESTIMATED = PoseConfig(estimate_focal=True)


@pytest.mark.parametrize("camera", [*LENSES[:4]], ids=lambda camera: camera.model)
@pytest.mark.parametrize("factor", [0.5, 1.2, 2.0])
def test_a_camera_that_nobody_calibrated_is_located_with_its_focal_length(camera, factor):
    truth = world(3, count=400, camera=camera)
    spoilt, wrong = truth.with_outliers(np.random.default_rng(0), 0.3), camera.scale_focal(factor)
    result = solve_pnp(spoilt, wrong, ESTIMATED)
    assert isinstance(result, Localized), result
    assert translation_distance_m(result.cam_from_world, truth.cam_from_world) < 0.01
    assert result.evidence.intrinsics.focal_scale == pytest.approx(1 / factor, rel=5e-3)
    assert result.evidence.inlier_ratio > 0.6
    assert wrong == camera.scale_focal(factor)  # RANSAC writes into what it is given


def test_a_pose_found_with_its_focal_length_claims_less():
    """By sampling: the covariance is that of the pose with the focal length unknown, larger than with it known."""
    exact = {"principal_point_std_px": 1e-6, "distortion_std": 1e-6, "focal_std": 1e-6}
    config = replace(ESTIMATED, covariance_scale=1.0, min_position_std=0.0, **exact)
    truth = world(4, count=300)
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
