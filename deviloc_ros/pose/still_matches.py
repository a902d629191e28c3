"""Find matches that stay at one pixel while the camera moves: they lie on the robot itself, or on the lens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deviloc_ros.camera import Camera
from deviloc_ros.types import Matches, ReferenceView

STAYS_PX = 2.0  # a match is still if it is no longer: allows for keypoint noise and a shaking robot
MUST_MOVE_DEG = 1.5  # beyond errors of poses and calibrations; 14 px at a focal length of 525 px
FARTHEST = 100.0  # in units of the longest baseline: practically infinitely far
DEPTHS = 400  # that are tried: steps of 1 % if the baselines have one length
AROUND_PX = 32.0  # parts of the robot are larger than one keypoint

Posed = tuple[Camera, pycolmap.Rigid3d]
"""Pair a camera with its cam_from_world."""


def count_contradictions(base: Posed, others: Sequence[Posed], pixels: NDArray, stays: NDArray) -> NDArray:
    """Return (N,) the least number of other cameras that would see what `base` shows at (N, 2) px at another pixel.

    At each depth that a point may have, some cameras would see it elsewhere; the depth with the fewest of these counts.
    A point is assumed to be farther from `base` than the nearest other camera. A pixel without a ray contradicts
    nothing.

    Args:
        stays: (others, N) bool, for which of the others each pixel is checked.
    """
    camera, base_from_world = base
    others_from_base = [other_from_world * base_from_world.inverse() for _, other_from_world in others]
    rays = normalize(camera.rays(pixels))
    inverse_depths = spread_inverse_depths([float(np.linalg.norm(o.translation)) for o in others_from_base])
    contradicting = np.zeros((len(pixels), len(inverse_depths)), int)
    for (other, _), other_from_base, looked_at in zip(others, others_from_base, stays, strict=True):
        rows = np.flatnonzero(looked_at)
        far, baseline = rays[rows] @ other_from_base.rotation.matrix().T, other_from_base.translation
        angles, steps = measure_angles_by_depth(far, baseline, inverse_depths, normalize(other.rays(pixels[rows])))
        contradicting[rows] += angles > np.deg2rad(MUST_MOVE_DEG) + steps  # False for NaN
    return contradicting.min(1)


def measure_angles_by_depth(
    far: NDArray, baseline: NDArray, inverse_depths: NDArray, looked_at: NDArray
) -> tuple[NDArray, NDArray]:
    """Return at which angles from given rays another camera sees points of one camera, at each depth they may have.

    Args:
        far: (N, 3) unit rays of the one camera, in the other's frame.
        baseline: (3,) from the other camera to the one [m].
        inverse_depths: (D,) [1/m].
        looked_at: (N, 3) unit rays of the other camera.

    Returns:
        (N, D) angles [rad] between the direction of the point and `looked_at`, and (N, D) angles between its directions
        at this depth and at the next, 0 for the last: a tolerance for points between two depths.
    """
    along, length_m2 = (far @ baseline)[:, None], baseline @ baseline
    # the lengths of far + inverse_depth * baseline, without an (N, D, 3) array
    lengths = np.sqrt(np.maximum(1 + inverse_depths * (2 * along + inverse_depths * length_m2), 1e-24))
    toward = np.einsum("nk,nk->n", far, looked_at)[:, None] + inverse_depths * (looked_at @ baseline)[:, None]
    this, next_ = inverse_depths[:-1], inverse_depths[1:]
    onward = 1 + (this + next_) * along + this * next_ * length_m2
    steps = np.arccos(np.clip(onward / (lengths[:, :-1] * lengths[:, 1:]), -1.0, 1.0))
    return np.arccos(np.clip(toward / lengths, -1.0, 1.0)), np.pad(steps, [(0, 0), (0, 1)])


def spread_inverse_depths(baselines_m: Sequence[float]) -> NDArray:
    """Return (D,) inverse depths [1/m], from 0 to that of the nearest other camera."""
    apart = [baseline for baseline in baselines_m if baseline > 0]
    if not apart:
        return np.zeros(1)
    return np.concatenate([[0.0], np.geomspace(1 / (FARTHEST * max(apart)), 1 / min(apart), DEPTHS)])


def normalize(vectors: NDArray) -> NDArray:
    """Return (..., 3) of length 1; NaN stays NaN."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def are_still(pixels_a: NDArray, pixels_b: NDArray) -> NDArray:
    """Return (N,) bool: whether matches between (N, 2) px and (N, 2) px stay at one pixel."""
    return np.linalg.norm(pixels_a - pixels_b, axis=1) <= STAYS_PX


def drop_still_matches(matches: list[Matches], references: list[ReferenceView]) -> list[Matches]:
    """Return the matches of one query without those on the robot itself.

    A pixel that stays still in several references, where no single point of the world could, does not show the world.
    Still matches near it are dropped as well. One reference alone proves nothing: if the query was taken from the same
    place, every match is still.
    """
    pixels = [match.query_keypoints.astype(float) for match in matches]
    still = [
        np.flatnonzero(are_still(px, view.features.keypoints.cpu().numpy()[match.reference_indices]))
        for px, match, view in zip(pixels, matches, references, strict=True)
    ]
    trees = [cKDTree(px[rows]) if len(rows) else None for px, rows in zip(pixels, still, strict=True)]
    proven = [find_of_robot(number, pixels[number][still[number]], trees, references) for number in range(len(matches))]
    of_robot = cKDTree(np.concatenate([np.zeros((0, 2)), *proven]))
    if not of_robot.n:
        return matches
    kept = []
    for match, px, rows in zip(matches, pixels, still, strict=True):
        keep = np.ones(len(match), bool)
        keep[rows[have_neighbour(of_robot, px[rows], AROUND_PX)]] = False
        kept.append(select_matches(match, keep))
    return kept


def find_of_robot(
    number: int, pixels: NDArray, trees: Sequence[cKDTree | None], references: Sequence[ReferenceView]
) -> NDArray:
    """Return those of (N, 2) px, still in reference `number`, that no point of the world explains.

    Args:
        trees: of the still pixels of each reference.
    """
    others = [n for n in range(len(references)) if n != number]
    stays = np.array([have_neighbour(trees[n], pixels, 2 * STAYS_PX) for n in others]).reshape(len(others), len(pixels))
    candidates = np.flatnonzero(stays.any(0))
    if not len(candidates):
        return np.zeros((0, 2))
    posed = [(view.camera, view.cam_from_world) for view in references]
    found = count_contradictions(posed[number], [posed[n] for n in others], pixels[candidates], stays[:, candidates])
    return pixels[candidates[found > 0]]


def have_neighbour(tree: cKDTree | None, pixels: NDArray, distance_px: float) -> NDArray:
    """Return (N,) bool: which of (N, 2) px have a pixel of the tree within a distance."""
    if tree is None or not len(pixels):
        return np.zeros(len(pixels), bool)
    return np.isfinite(tree.query(pixels, distance_upper_bound=distance_px)[0])


def select_matches(matches: Matches, keep: NDArray) -> Matches:
    """Return some of the matches, by (M,) bool."""
    moved = matches.moved
    if moved is not None:
        moved = replace(
            moved,
            query_keypoints=moved.query_keypoints[keep],
            reference_keypoints=moved.reference_keypoints[keep],
            reference_features=moved.reference_features[keep],
        )
    return Matches(matches.query_keypoints[keep], matches.reference_indices[keep], matches.confidence[keep], moved)
