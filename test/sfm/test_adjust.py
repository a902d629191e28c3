"""Bundle adjustment with images that stay: the others come to where they were, with covariances that are right."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2
from worlds import LENSES, PINHOLE, random_rigid, rigid_of

from deviloc_ros.geometry import (
    perturb_pose,
    pose_difference,
    rotation_distance_deg,
    squared_mahalanobis,
    transform_points,
    translation_distance_m,
)
from deviloc_ros.mapping.adjust_contributed import Adjusted, combine_poses
from deviloc_ros.sfm.adjust import adjust_bundle, motion_from_tangent, pose_covariances
from deviloc_ros.sfm.landmarks import triangulate_model
from deviloc_ros.sfm.matches import MatchGraph
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.types import Evidence, Localized

FIXED = ("0", "1", "2")


def adjust_world(seed: int, noise_px: float, camera=PINHOLE):
    """Six cameras before 120 points, of which three stand 5 mm from where they are said to be: truth, model, result."""
    rng = np.random.default_rng(seed)
    points = rng.uniform([-2, -1.5, 4], [2, 1.5, 7], (120, 3))
    truth = {str(n): rigid_of(rng.normal(0, 0.03, 3), rng.normal(0, 0.4, 3)) for n in range(6)}
    pixels = {name: camera.project(transform_points(pose, points)) for name, pose in truth.items()}
    pixels = {name: px + rng.normal(0, noise_px, px.shape) for name, px in pixels.items()}
    stated = {
        name: pose if name in FIXED else rigid_of(rng.normal(0, 1e-3, 3), rng.normal(0, 5e-3, 3)) * pose
        for name, pose in truth.items()
    }
    images = [PosedImage(name, Path(), camera, pose) for name, pose in stated.items()]
    rows = np.stack([np.arange(len(points))] * 2, 1)
    graph = MatchGraph(pixels, dict.fromkeys(combinations(truth, 2), rows))
    model = triangulate_model(images, graph, 20.0)
    covariances = pose_covariances(model, adjust_bundle(model, 1e3, fixed=FIXED))
    return truth, {image.name: image.cam_from_world() for image in model.images.values()}, covariances


@pytest.mark.parametrize("camera", LENSES, ids=lambda camera: f"{camera.model} {camera.params[:2]}")
def test_images_come_to_where_they_were_and_fixed_ones_stay(camera):
    truth, adjusted, covariances = adjust_world(0, 0.0, camera)
    assert sorted(covariances) == ["3", "4", "5"]
    for name, pose in truth.items():
        assert translation_distance_m(adjusted[name], pose) < (1e-9 if name in FIXED else 1e-4)
        assert rotation_distance_deg(adjusted[name], pose) < (1e-6 if name in FIXED else 1e-3)


def test_covariances_are_those_of_the_errors():
    """Residuals of 1 px, 40 worlds, three poses each: the median of chi-squared is known to 15 %."""
    squares = []
    for seed in range(40):
        truth, adjusted, covariances = adjust_world(seed, 1.0)
        for name, covariance in covariances.items():
            error = pose_difference(adjusted[name].inverse(), truth[name].inverse())
            squares.append(squared_mahalanobis(error, covariance))
    assert 0.75 < np.median(squares) / chi2.median(6) < 1.3


def test_the_tangent_is_colmaps():
    rng = np.random.default_rng(0)
    for _ in range(20):
        pose, tangent = random_rigid(rng), rng.normal(0, 1e-6, 6)
        turned = rigid_of(2 * tangent[:3], (0, 0, 0)).rotation
        moved = type(pose)(turned * pose.rotation, pose.translation + tangent[3:])
        by_motion = perturb_pose(motion_from_tangent(pose) @ tangent, pose)
        assert pose_difference(moved.inverse(), by_motion.inverse()) == pytest.approx(np.zeros(6), abs=1e-10)


def test_combined_poses_lie_between_by_what_each_is_sure_of():
    rng = np.random.default_rng(0)
    for _ in range(20):
        pose = random_rigid(rng)
        other = rigid_of(rng.normal(0, 1e-6, 3), rng.normal(0, 1e-5, 3)) * pose
        root = rng.normal(size=(6, 6))
        covariance = root @ root.T + 0.1 * np.eye(6)
        off = pose_difference(other.inverse(), pose.inverse())
        for share in (0.1, 0.5, 0.9):  # of the other's information
            found = Localized(pose, covariance / (1 - share), Evidence())
            combined = combine_poses(found, Adjusted(other, covariance / share))
            moved = pose_difference(combined.cam_from_world.inverse(), pose.inverse())
            assert moved == pytest.approx(share * off, abs=1e-9)
            assert np.allclose(combined.covariance, covariance)
