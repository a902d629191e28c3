"""Check the images' time offset and the camera's extrinsic by comparing rotations of camera and robot.

From one image to the next the camera turns as the robot does. Their *speeds* of turning over time reveal the time
offset, for any extrinsic, since a rotation has the same angle in every frame; their *axes* reveal the extrinsic's
rotation. The camera's position on the robot does not show in rotations.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.bags.truth import Truth
from deviloc_ros.camera import Camera
from deviloc_ros.geometry import nearest_rotation, rotation_vector

MAX_TURNS = 300  # of a recording; more would cost time and tell no more
MAX_GAP_S = 0.5
TRACKED_SIDE_PX, TRACKED_POINTS, MIN_TRACKED = 640, 300, 30
LAGS_S = np.arange(-0.5, 0.501, 0.02)
MIN_TURNS = 20
MIN_CORRELATION = 0.8
UNEVEN_DEG_PER_S = 2.0  # turning that varies by less does not reveal a time offset
MAX_ANGLE_DIFFERENCE = 0.5  # of a turn: what camera and robot may differ by to be compared
PRIOR_SHARE = 0.02  # how much the given extrinsic counts for axes about which nothing turns
NOTABLE_OFFSET_S, NOTABLE_ANGLE_DEG = 0.03, 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """Hold a camera's rotation vector between successive images [rad], in its frame, and the extrinsic's rotation."""

    start_ns: int
    stop_ns: int
    in_cam: NDArray
    base_from_cam: pycolmap.Rotation3d


@dataclass(slots=True)
class TurnCollector:
    """Collect turns between successive images, the first MAX_TURNS of a recording."""

    turns: list[Turn] = field(default_factory=list)
    _last: tuple[int, NDArray] | None = None

    def add_image(self, time_ns: int, pixels: NDArray, camera: Camera, base_from_cam: pycolmap.Rigid3d) -> None:
        """Take the next image, (H, W) gray or (H, W, 3) BGR."""
        if len(self.turns) >= MAX_TURNS:
            return
        gray = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels
        last, self._last = self._last, (time_ns, gray)
        if last is None or not 0 < time_ns - last[0] < MAX_GAP_S * 1e9 or last[1].shape != gray.shape:
            return
        turn = measure_turn(last[1], gray, camera)
        if turn is not None:
            self.turns.append(Turn(last[0], time_ns, turn, base_from_cam.rotation))


def measure_turn(before: NDArray, after: NDArray, camera: Camera) -> NDArray | None:
    """Return the (3,) rotation vector of before_from_after [rad] by tracked corners; None if too few are tracked."""
    shrink = max(1.0, max(before.shape) / TRACKED_SIDE_PX)
    size = (round(before.shape[1] / shrink), round(before.shape[0] / shrink))
    if shrink > 1:
        before, after = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (before, after))
    corners = cv2.goodFeaturesToTrack(before, TRACKED_POINTS, 0.01, 8)
    if corners is None or len(corners) < MIN_TRACKED:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, corners.copy())
    kept = found.ravel() > 0
    if kept.sum() < MIN_TRACKED:
        return None
    pixels = [shrink * (points.reshape(-1, 2)[kept].astype(float) + 0.5) - 0.5 for points in (corners, moved)]
    options = pycolmap.TwoViewGeometryOptions(compute_relative_pose=True)
    options.ransac.max_error = 1.5 * shrink
    options.ransac.random_seed = 0
    rows = np.repeat(np.arange(len(pixels[0]), dtype=np.uint32)[:, None], 2, 1)
    geometry = pycolmap.estimate_calibrated_two_view_geometry(
        camera.colmap, pixels[0], camera.colmap, pixels[1], rows, options
    )
    if len(geometry.inlier_matches) < MIN_TRACKED or geometry.cam2_from_cam1 is None:
        return None
    return rotation_vector(geometry.cam2_from_cam1.rotation.inverse())


@dataclass(frozen=True, slots=True)
class Agreement:
    """Hold how well images and poses agree; values are None if they cannot be determined.

    offset_s: pose time minus image stamp, beyond given_offset_s, which was added already. extrinsic_deg: angle between
    the given and the measured rotation of the extrinsic.
    """

    offset_s: float | None
    correlation: float
    extrinsic_deg: float | None
    given_offset_s: float = 0.0

    @property
    def is_good(self) -> bool:
        """Return whether neither value is known to be wrong."""
        return abs(self.offset_s or 0) < NOTABLE_OFFSET_S and (self.extrinsic_deg or 0) < NOTABLE_ANGLE_DEG

    def __str__(self) -> str:
        if self.offset_s is None or self.extrinsic_deg is None:
            return "images cannot tell time offset and extrinsic: the camera turns too little or too evenly"
        total_s = self.given_offset_s + self.offset_s
        words = f"images fit the poses best at a time offset of {total_s:+.3f} s (correlation {self.correlation:.2f})"
        if abs(self.offset_s) >= NOTABLE_OFFSET_S:
            words += f", not {self.given_offset_s:+.3f} s: give --time-offset {total_s:.3f}"
        words += f"; the extrinsic's rotation is off by {self.extrinsic_deg:.1f} deg"
        if self.extrinsic_deg >= NOTABLE_ANGLE_DEG:
            words += ": are --extrinsic, --base-frame, --camera-frame and the calibration right?"
        return words


def measure_agreement(turns: list[Turn], truth: Truth, given_offset_s: float = 0.0) -> Agreement:
    """Compare the turns of the camera with those of the robot, at time offsets up to half a second."""
    speeds, robot = turning_speeds(turns), [interpolate_robot_turns(turns, truth, lag) for lag in LAGS_S]
    correlations = np.array([correlate_speeds(speeds, turning_speeds(turns, vectors)) for vectors in robot])
    best = int(np.argmax(correlations))
    if correlations[best] < MIN_CORRELATION or best in (0, len(LAGS_S) - 1):
        return Agreement(None, float(correlations[best]), None, given_offset_s)
    left, top, right = correlations[best - 1 : best + 2]
    bend = left - 2 * top + right
    shift = 0.5 * (left - right) / bend if bend < -1e-9 else 0.0  # of the parabola through the three
    offset_s = float(LAGS_S[best] + shift * (LAGS_S[1] - LAGS_S[0]))
    off_deg = extrinsic_error_deg(turns, interpolate_robot_turns(turns, truth, offset_s))
    return Agreement(offset_s, float(top), off_deg, given_offset_s)


def interpolate_robot_turns(turns: list[Turn], truth: Truth, lag_s: float) -> NDArray:
    """Return (N, 3) rotation vectors of the robot's base over the times of turns plus an offset; NaN without poses."""
    vectors, lag_ns = np.full((len(turns), 3), np.nan), round(lag_s * 1e9)
    for number, turn in enumerate(turns):
        before, after = truth.at(turn.start_ns + lag_ns), truth.at(turn.stop_ns + lag_ns)
        if before is not None and after is not None:
            vectors[number] = rotation_vector(before.rotation.inverse() * after.rotation)
    return vectors


def turning_speeds(turns: list[Turn], vectors: NDArray | None = None) -> NDArray:
    """Return (N,) [deg/s] of the camera, or of (N, 3) other vectors over the same times."""
    vectors = np.array([turn.in_cam for turn in turns]).reshape(-1, 3) if vectors is None else vectors
    durations_s = np.array([turn.stop_ns - turn.start_ns for turn in turns]) * 1e-9
    return np.rad2deg(np.linalg.norm(vectors, axis=1)) / np.maximum(durations_s, 1e-9)


def correlate_speeds(camera: NDArray, robot: NDArray) -> float:
    """Return Pearson's correlation of (N,) speeds where both are known; 0 if there is nothing to compare."""
    known = np.isfinite(camera) & np.isfinite(robot)
    camera, robot = camera[known], robot[known]
    if len(camera) < MIN_TURNS or min(camera.std(), robot.std()) < UNEVEN_DEG_PER_S:
        return 0.0
    return float(np.corrcoef(camera, robot)[0, 1])


def extrinsic_error_deg(turns: list[Turn], robot: NDArray) -> float:
    """Return the angle [deg] between the given extrinsic and the one that fits the turns best (Wahba 1965).

    About axes around which nothing turns, the given extrinsic counts as right.
    """
    products, given = np.zeros((3, 3)), turns[0].base_from_cam.matrix()
    for turn, vector in zip(turns, robot, strict=True):
        angle = np.linalg.norm(vector)
        if abs(np.linalg.norm(turn.in_cam) - angle) < MAX_ANGLE_DIFFERENCE * angle:  # else seen wrong; NaN is left out
            in_cam = given.T @ turn.base_from_cam.matrix() @ turn.in_cam  # a camera that is turned on the robot
            products += np.outer(vector, in_cam)
    found = nearest_rotation(products + PRIOR_SHARE * np.linalg.norm(products) * given)
    return float(np.rad2deg(pycolmap.Rotation3d(found @ given.T).angle()))
