"""Neighbouring views check each other: what they contradict loses confidence, what nobody sees keeps it."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest
import torch

from deviloc_ros.camera import Camera
from deviloc_ros.config import LiftConfig
from deviloc_ros.geometry import transform_points
from deviloc_ros.mapping.neighbour_check import check_neighbours
from deviloc_ros.types import Features, Lifted, ReferenceView

CAMERA = Camera("SIMPLE_PINHOLE", 640, 480, (500.0, 319.5, 239.5))
WALL_M = 4.0


def view_of_a_wall(x: float, name: str, confidence: float = 1.0) -> ReferenceView:
    """A camera at (x, 0, 0) that looks at a wall 4 m away, a keypoint every 5 px, all of them lifted onto the wall."""
    keypoints = np.stack(np.meshgrid(np.arange(2.0, 640, 5), np.arange(2.0, 480, 5)), -1).reshape(-1, 2)
    cam_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([-x, 0.0, 0.0]))
    points = transform_points(cam_from_world.inverse(), CAMERA.rays(keypoints) * WALL_M)
    count = len(keypoints)
    features = Features(
        torch.from_numpy(keypoints), torch.zeros(count, 4), torch.ones(count), torch.ones(count, 2), (640, 480)
    )
    lifted = Lifted(points, np.full(count, confidence), np.full(count, WALL_M))
    return ReferenceView(name, CAMERA, cam_from_world, features, lifted)


def with_depth(view: ReferenceView, rows: np.ndarray, factor: float) -> ReferenceView:
    lifted = view.lifted
    depths = lifted.depths.copy()
    depths[rows] *= factor
    in_cam = transform_points(view.cam_from_world, lifted.points_in_world) * (depths / lifted.depths)[:, None]
    points = transform_points(view.cam_from_world.inverse(), in_cam)
    return replace(view, lifted=replace(lifted, points_in_world=points, depths=depths))


def test_views_that_agree_keep_their_confidence():
    views = [view_of_a_wall(x, str(x), 0.7) for x in (0.0, 0.1, 0.2)]
    for lifted in check_neighbours(views, LiftConfig(), 1.0):
        np.testing.assert_allclose(lifted.confidence, 0.7)


@pytest.mark.parametrize("factor", [0.8, 1.3])
def test_a_point_that_neighbours_see_elsewhere_loses_confidence(factor):
    wrong = np.arange(6060, 6090)
    views = [with_depth(view_of_a_wall(0.0, "a"), wrong, factor), view_of_a_wall(0.1, "b"), view_of_a_wall(0.2, "c")]
    first, *_ = check_neighbours(views, LiftConfig(), 1.0)
    np.testing.assert_allclose(first.confidence[wrong], 1 / 3)  # two neighbours, both sure, both against it
    np.testing.assert_allclose(np.delete(first.confidence, wrong), 1.0)


def test_an_unsure_neighbour_counts_for_little():
    wrong = np.arange(6060, 6090)
    views = [with_depth(view_of_a_wall(0.0, "a"), wrong, 1.3), view_of_a_wall(0.1, "b", 0.1)]
    first, _ = check_neighbours(views, LiftConfig(), 1.0)
    np.testing.assert_allclose(first.confidence[wrong], 1 / 1.1)


def test_nothing_said_changes_nothing():
    away = view_of_a_wall(50.0, "far")
    unlifted = replace(
        away,
        name="empty",
        lifted=Lifted(
            *(np.zeros_like(a) for a in (away.lifted.points_in_world, away.lifted.depths, away.lifted.depths))
        ),
    )
    for views in (
        [view_of_a_wall(0.0, "alone")],
        [view_of_a_wall(0.0, "a"), away],
        [view_of_a_wall(0.0, "a"), unlifted],
    ):
        np.testing.assert_array_equal(check_neighbours(views, LiftConfig(), 1.0)[0].confidence, 1.0)
