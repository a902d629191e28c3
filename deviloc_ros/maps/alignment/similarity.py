"""Estimate the similarity transform that brings views into another frame: known positions, known poses or odometry."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.geometry import nearest_rotation, rotation_distance_deg, translation_distance_m

METERS_PER_RADIAN = 1.0  # a turn by a radian adds as much error to odometry as a metre
ANCHOR_DISTANCE_M = 0.25  # over so long a path odometry is as sure of a pose as images are
ON_A_LINE = 1e-3  # positions whose second extent is so small a share of the first
FOLLOWING_VIEWS = 200  # distances to so many of those after each view give the scale

Poses = Sequence[pycolmap.Rigid3d]


def travelled_distances_m(poses: Poses) -> NDArray:
    """Return the path length [m] at each of V poses cam_from_world, (V,); a turn counts as `METERS_PER_RADIAN`."""
    steps = [
        translation_distance_m(a, b) + METERS_PER_RADIAN * np.deg2rad(rotation_distance_deg(a, b))
        for a, b in pairwise(poses)
    ]
    return np.concatenate([[0.0], np.cumsum(steps)])


def align_to_odometry(odometry: Poses, refined: Poses, travelled_m: NDArray) -> pycolmap.Sim3d:
    """Estimate odom_from_refined from poses cam_from_world of the same V views in two frames, odometry drifting.

    The scale comes from all distances between views, each weighted by how well odometry knows it; rotation and shift
    come mostly from the first views, which have drifted least.
    """
    scale = scale_from_distances(camera_centres(odometry), camera_centres(refined), travelled_m)
    from_start = (travelled_m - travelled_m[0]) / ANCHOR_DISTANCE_M
    weights = (1 + from_start**2) ** -2.0  # drift adds up: far views must not add to it
    weights /= weights.sum()
    turns = [
        odom.rotation.matrix().T @ new.rotation.matrix() for odom, new in zip(odometry, refined, strict=True)
    ]  # odom_from_refined, as each view says
    rotation = nearest_rotation(np.einsum("v,vij->ij", weights, np.stack(turns)))
    shifts = camera_centres(odometry) - scale * camera_centres(refined) @ rotation.T
    return pycolmap.Sim3d(scale, pycolmap.Rotation3d(rotation), weights @ shifts)


def scale_from_distances(odometry: NDArray, refined: NDArray, travelled_m: NDArray) -> float:
    """Return odometry's length per refined length, by least squares over distances between (V, 3) positions.

    An error of odometry grows with the path, so a distance weighs by the inverse square of the path between its ends.

    Raises:
        ValueError: the camera does not move.
    """
    products, squares = 0.0, 0.0
    for ahead in range(1, min(len(odometry), FOLLOWING_VIEWS + 1)):
        between_m = np.maximum(travelled_m[ahead:] - travelled_m[:-ahead], 1e-6)
        ours = np.linalg.norm(refined[ahead:] - refined[:-ahead], axis=1) / between_m
        theirs = np.linalg.norm(odometry[ahead:] - odometry[:-ahead], axis=1) / between_m
        products, squares = products + float(ours @ theirs), squares + float(ours @ ours)
    if products <= 0:
        raise ValueError("the camera does not move, so there is no scale")
    return products / squares


def camera_centres(poses: Poses) -> NDArray:
    """Return the (V, 3) camera centres of poses cam_from_world."""
    return np.stack([pose.tgt_origin_in_src() for pose in poses])


def move_pose(new_from_world: pycolmap.Sim3d, cam_from_world: pycolmap.Rigid3d) -> pycolmap.Rigid3d:
    """Return cam_from_new; lengths in the camera's frame grow by the scale."""
    rotation = cam_from_world.rotation * new_from_world.rotation.inverse()
    centre = new_from_world * cam_from_world.tgt_origin_in_src()
    return pycolmap.Rigid3d(rotation, -(rotation.matrix() @ centre))


def align_positions(positions: NDArray, wanted: NDArray, *, rigid: bool = False) -> pycolmap.Sim3d:
    """Estimate wanted_from_positions, which brings (N, 3) positions nearest to others (Umeyama 1991).

    pycolmap's estimators refuse positions that lie in one plane.

    Args:
        rigid: keep the scale at 1.

    Raises:
        ValueError: fewer than three, or all on a line: the rotation about it would be arbitrary.
    """
    for points in (positions, wanted):
        singular = np.linalg.svd(points - points.mean(0), compute_uv=False) if len(points) > 2 else np.zeros(3)
        if singular[1] <= ON_A_LINE * singular[0]:
            few = f"{len(positions)} positions do not determine a rotation"
            raise ValueError(f"{few}: three that are not on one line are needed")
    middle_here, middle_there = positions.mean(0), wanted.mean(0)
    rotation = nearest_rotation((wanted - middle_there).T @ (positions - middle_here))
    return fit_scale_and_shift(positions, wanted, rotation, rigid)


def align_poses(poses: Poses, wanted: Poses, *, rigid: bool = False) -> pycolmap.Sim3d:
    """Estimate wanted_from_poses: the mean of the rotations between poses cam_from_world, then scale and shift.

    Args:
        rigid: keep the scale at 1.

    Raises:
        ValueError: no pose, or none moves where a scale is asked for.
    """
    if not len(poses):
        raise ValueError("no pose to align by")
    turns = [w.rotation.matrix().T @ p.rotation.matrix() for p, w in zip(poses, wanted, strict=True)]
    return fit_scale_and_shift(
        camera_centres(poses), camera_centres(wanted), nearest_rotation(np.mean(turns, 0)), rigid
    )


def fit_scale_and_shift(positions: NDArray, wanted: NDArray, rotation: NDArray, rigid: bool) -> pycolmap.Sim3d:
    """Return wanted_from_positions with a given rotation; scale and shift by least squares.

    Raises:
        ValueError: the positions determine no scale.
    """
    here = positions @ rotation.T
    middle_here, middle_there = here.mean(0), wanted.mean(0)
    scale = 1.0
    if not rigid:
        spread = float(((here - middle_here) ** 2).sum())
        scale = float(((here - middle_here) * (wanted - middle_there)).sum()) / max(spread, 1e-12)
        if scale <= 1e-9:
            raise ValueError(f"{len(positions)} poses do not determine a scale: the camera must move")
    return pycolmap.Sim3d(scale, pycolmap.Rotation3d(rotation), middle_there - scale * middle_here)


def move_points(new_from_world: pycolmap.Sim3d, points_in_world: NDArray) -> NDArray:
    """Return (N, 3) points of world in the new frame."""
    rotation = new_from_world.rotation.matrix()
    return new_from_world.scale * points_in_world @ rotation.T + new_from_world.translation
