"""Whether given poses are those that the images were taken from is seen in the images, and said when a map is built."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import torch
from rooms import QUIET
from scipy.spatial.transform import Rotation
from worlds import PINHOLE, rigid_of

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import transform_points
from deviloc_ros.mapping.build import warn_if_far
from deviloc_ros.maps.inspect import describe_map
from deviloc_ros.maps.store import Map
from deviloc_ros.sfm import pose_fit
from deviloc_ros.sfm.matches import Keypoints
from deviloc_ros.sfm.pose_fit import epipolar_errors_with_view, measure_pose_fit
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.types import Features, Lifted, Matches, MovedMatches, ReferenceView

VIEWS, POINTS, NOISE_PX = 8, 120, 0.3
OFF = rigid_of(np.deg2rad([0.6, 0.8, 0.0]), [0.03, 0.0, 0.04])  # 5 cm and 1 degree


def same_points(a: Features, b: Features) -> np.ndarray:
    """Keypoint n of each image shows point n."""
    return np.repeat(np.arange(POINTS)[:, None], 2, axis=1)


def seen() -> tuple[list[PosedImage], Keypoints]:
    """Views along a line, and what they see of one cloud of points, 0.3 px off."""
    rng = np.random.default_rng(0)
    points = rng.uniform([-2, -1.5, 3], [2, 1.5, 7], (POINTS, 3))
    images, features = [], {}
    for number in range(VIEWS):
        pose = rigid_of([0, 0.02 * number, 0], [-0.15 * number, 0, 0])
        images.append(PosedImage(f"view-{number}.png", Path(f"view-{number}.png"), PINHOLE, pose))
        pixels = PINHOLE.project(transform_points(pose, points)) + rng.normal(0, NOISE_PX, (POINTS, 2))
        nothing = torch.zeros(POINTS, 1)
        features[images[-1].name] = Features(torch.from_numpy(pixels), nothing, nothing, nothing, (640, 480))
    return images, Keypoints(features, same_points)


def test_poses_that_the_images_were_taken_from_fit():
    images, keypoints = seen()
    fit = measure_pose_fit(keypoints, images, QUIET)
    assert fit.pairs == VIEWS * (VIEWS - 1) // 2 and not fit.contradicts
    # A Sampson distance of pixels that are NOISE_PX off in both images has that standard deviation.
    assert fit.median_px == pytest.approx(0.674 * NOISE_PX, rel=0.1) and fit.lost_share == 0
    assert "try" not in str(fit)


def test_few_pairs_are_looked_at_where_these_fit_and_all_where_not(monkeypatch):
    monkeypatch.setattr(pose_fit, "FEW_PAIRS", 5)
    images, keypoints = seen()
    assert measure_pose_fit(keypoints, images, QUIET).pairs == 5
    images[::2] = [replace(image, cam_from_world=OFF * image.cam_from_world) for image in images[::2]]
    assert measure_pose_fit(keypoints, images, QUIET).pairs == VIEWS * (VIEWS - 1) // 2


def test_half_of_the_views_a_little_off_contradict_the_others():
    images, keypoints = seen()
    images[::2] = [replace(image, cam_from_world=OFF * image.cam_from_world) for image in images[::2]]
    fit = measure_pose_fit(keypoints, images, QUIET)
    assert fit.contradicts and 0.2 < fit.lost_share < 16 / 28  # 16 of 28 pairs are of both halves
    assert f"{fit.median_px:.1f} px off" in str(fit) and "--refine-poses" in str(fit)


BODY_FROM_CAM = rigid_of(Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]).as_rotvec(), [0, 0, 0])
BENT = Camera("OPENCV", 640, 480, (*PINHOLE.params, -0.3, 0.1, 0.0, 0.0))
MISTAKES = {
    "OpenGL's axes": (lambda image: turned(image, rigid_of([np.pi, 0, 0], [0, 0, 0])), "--axes opencv"),
    "a body's axes": (lambda image: turned(image, BODY_FROM_CAM), "x ahead"),
    "images on their side": (lambda image: turned(image, rigid_of([0, 0, np.pi / 2], [0, 0, 0])), "turned by 270 deg"),
    "images upside down": (lambda image: turned(image, rigid_of([0, 0, np.pi], [0, 0, 0])), "turned by 180 deg"),
    "poses the other way round": (
        lambda image: replace(image, cam_from_world=image.cam_from_world.inverse()),
        "the other way round",
    ),
    "a mount that is turned": (
        lambda image: turned(image, rigid_of([0.1, -0.05, 0.02], [0, 0, 0])),
        "turned by 6.5 deg",
    ),
    "a mount that is elsewhere": (lambda image: turned(image, rigid_of([0, 0, 0], [0.0, 0.0, 0.5])), "mount right"),
    "a lens that is rectified": (lambda image: replace(image, camera=BENT), "--rectified"),
    "another focal length": (lambda image: replace(image, camera=PINHOLE.scale_focal(1.25)), "focal length is 0.8"),
}


def turned(image, new_from_cam):
    return replace(image, cam_from_world=new_from_cam * image.cam_from_world)


def winding(step_rad=(0.12, 0.25, 0.1)):
    """As `seen`, but the camera turns about all axes, so that its mount shows."""
    images, keypoints = seen()
    rng = np.random.default_rng(0)
    points = rng.uniform([-3, -2.5, 4], [3, 2.5, 8], (POINTS, 3))
    for number, image in enumerate(images):
        swing = np.array(step_rad) * np.sin([number, 1.7 * number, 2.3 * number])
        pose = rigid_of(swing, [-0.15 * number, 0.1 * np.sin(number), 0.1 * np.cos(number)])
        pixels = PINHOLE.project(transform_points(pose, points)) + rng.normal(0, NOISE_PX, (POINTS, 2))
        images[number] = replace(image, cam_from_world=pose)
        features = keypoints.features[image.name]
        keypoints.features[image.name] = replace(features, keypoints=torch.from_numpy(pixels))
    return images, keypoints


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_wrong_with_all_poses_alike_is_named(name):
    mistake, says = MISTAKES[name]
    images, keypoints = winding()
    assert not measure_pose_fit(keypoints, images, QUIET).contradicts
    fit = measure_pose_fit(keypoints, [mistake(image) for image in images], QUIET)
    assert fit.contradicts and says in str(fit) and "--refine-poses" not in str(fit), str(fit)


@pytest.mark.parametrize(("late", "beside"), [(0.5, "next"), (-0.4, "previous")])
def test_poses_of_another_moment_are_told(late, beside):
    """A robot that turns to and fro; its poses are as much too old as it takes to the `late`-th part of a step."""
    images, keypoints = seen()
    rng, truths = np.random.default_rng(0), []
    points = rng.uniform([-3, -2.5, 4], [3, 2.5, 8], (POINTS, 3))

    def pose_at(moment):
        return rigid_of([0.1 * np.sin(0.4 * moment), 0.3 * np.sin(0.6 * moment), 0], [-0.15 * moment, 0, 0.1])

    for number, image in enumerate(images):
        pixels = PINHOLE.project(transform_points(pose_at(number), points)) + rng.normal(0, NOISE_PX, (POINTS, 2))
        features = keypoints.features[image.name]
        keypoints.features[image.name] = replace(features, keypoints=torch.from_numpy(pixels))
        truths.append(replace(image, cam_from_world=pose_at(number)))
        images[number] = replace(image, cam_from_world=pose_at(number - late))
    assert not measure_pose_fit(keypoints, truths, QUIET).contradicts
    fit = measure_pose_fit(keypoints, images, QUIET)
    assert fit.contradicts and f"to the {beside} image" in str(fit) and "--time-offset" in str(fit), str(fit)


def test_something_that_moves_with_the_camera_is_named():
    images, keypoints = winding()
    rng = np.random.default_rng(1)
    fixed = rng.uniform([0, 300], [640, 480], (POINTS * 2 // 3, 2))
    for image in images:
        features = keypoints.features[image.name]
        pixels = features.keypoints.numpy().copy()
        pixels[: len(fixed)] = fixed + rng.normal(0, 0.1, fixed.shape)
        keypoints.features[image.name] = replace(features, keypoints=torch.from_numpy(pixels))
    fit = measure_pose_fit(keypoints, images, QUIET)
    assert fit.contradicts and "moves with the camera, mask it" in str(fit), str(fit)


def test_poses_that_drift_are_to_be_refined():
    images, keypoints = winding()
    drift = rigid_of([0.004, 0.006, 0.0], [0.01, 0.0, 0.005])
    off = pycolmap.Rigid3d()
    for number, image in enumerate(images):
        images[number], off = replace(image, cam_from_world=off * image.cam_from_world), drift * off
    fit = measure_pose_fit(keypoints, images, QUIET)
    assert fit.contradicts and "--refine-poses" in str(fit), str(fit)


def test_a_common_motion_of_all_views_changes_nothing():
    images, keypoints = seen()
    moved = [replace(i, cam_from_world=i.cam_from_world * rigid_of([0.3, 0.2, 0.1], [5, 6, 7])) for i in images]
    here, there = (measure_pose_fit(keypoints, views, QUIET).median_px for views in (images, moved))
    assert here == pytest.approx(there, rel=1e-6)


def test_a_map_far_from_its_origin_is_warned_of(caplog):
    images, _ = seen()
    warn_if_far(images)
    assert not caplog.text
    warn_if_far([replace(i, cam_from_world=i.cam_from_world * rigid_of([0, 0, 0], [-4e5, -5e6, 0])) for i in images])
    assert "5016 km from its origin, where points are stored to 0.500 m" in caplog.text


def test_views_that_share_nothing_say_nothing():
    images, keypoints = seen()
    fit = measure_pose_fit(keypoints, images[:1], QUIET)
    assert fit.pairs == 0 and not fit.contradicts and str(fit).startswith("not known")


def test_matches_that_a_matcher_moves_are_judged_where_it_moves_them():
    images, keypoints = seen()
    a, b = images[:2]
    pixels_a, pixels_b = keypoints.pixels(a.name), keypoints.pixels(b.name)
    beside = keypoints.features[b.name].keypoints + 4  # a cell's middle is not where the match is
    features = replace(keypoints.features[b.name], keypoints=beside)
    nothing_lifted = Lifted(np.zeros((POINTS, 3)), np.zeros(POINTS), np.ones(POINTS))
    view = ReferenceView(b.name, b.camera, b.cam_from_world, features, nothing_lifted)
    matches = Matches(
        pixels_a, np.arange(POINTS), np.ones(POINTS), MovedMatches(pixels_a, pixels_b, np.zeros((POINTS, 1)))
    )
    assert np.median(epipolar_errors_with_view(a, view, matches)) == pytest.approx(0.674 * NOISE_PX, rel=0.3)
    assert not np.median(epipolar_errors_with_view(a, view, replace(matches, moved=None))) < 1


def test_a_map_says_how_well_its_poses_fit(room, tmp_path, caplog):
    """Poses as they are stay without a warning; turned ones are warned of, and the map keeps the figure."""
    images = room.images[:4]
    with caplog.at_level(logging.WARNING):
        room.build(tmp_path / "right.map", images=images, graph=None)
    assert "pose fit" not in caplog.text
    turned = [
        replace(i, cam_from_world=rigid_of([0.02 * n, 0, 0], [0, 0, 0]) * i.cam_from_world)
        for n, i in enumerate(images)
    ]
    report = room.build(tmp_path / "turned.map", images=turned, graph=None)
    assert report.warned == {"pose fit"}
    assert "try --refine-poses" in caplog.text and "try --refine-poses" in report.notes["pose fit"]
    said = dict(describe_map(Map.open(tmp_path / "turned.map")))
    assert said["pose fit"] == report.notes["pose fit"]
