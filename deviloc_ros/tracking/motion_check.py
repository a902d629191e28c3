"""Check the images' stamps and the camera's mount: from fix to fix the robot must move as odometry says."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.odometry import CLOCK_JUMP_NS
from deviloc_ros.tracking.pooling import pool_estimates

WINDOW = 100  # fixes
LEAST_STEPS = 10  # from one fix to the next
FIT_AGAIN_AFTER = 10  # new fixes, since a fit takes some milliseconds
MAX_GAP_NS = 1_000_000_000  # between fixes: odometry drifts, and its motion between them is interpolated
SPEED_OVER_NS = 50_000_000  # speeds are measured from this long before to this long after
ITERATIONS = 3  # relinearizations of the time offset
DRIFT = 0.02  # of odometry per length and per angle: the weight of long steps relative to short ones
# Prior standard deviations: of a time offset [s], of a shift [m] and a turn [rad] of the camera.
REACH = np.array([1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5])
SURE_STDS = 6.0
LEAST_OFFSET_S, LEAST_SHIFT_M = 0.02, 0.05  # less is no concern
LEAST_TURN_RAD = 1.5 * DRIFT  # odometry that veers steadily looks like a turned camera


@dataclass(frozen=True, slots=True, eq=False)
class MotionFit:
    """Hold the correction of stamps and mount that makes fixes move as odometry does.

    change: (7,) time to add to an image's stamp [s], then by how much the camera must be shifted [m] and turned [rad]
    on the robot, in axes of its base. stds: (7,). steps: how many pairs of successive fixes it is estimated from.
    """

    change: NDArray
    stds: NDArray
    steps: int

    def figures(self) -> dict[str, float]:
        """Return the time offset [s], shift [m] and turn [deg] with their standard deviations, by name."""
        names = ["time_offset_s", *(f"shift_{axis}_m" for axis in "xyz"), *(f"turn_{axis}_deg" for axis in "xyz")]
        units = np.array([1.0] * 4 + [np.rad2deg(1.0)] * 3)
        values, stds = (dict(zip(names, (units * column).tolist(), strict=True)) for column in (self.change, self.stds))
        return values | {f"{name}_std": std for name, std in stds.items()} | {"steps": self.steps}

    def complaint(self) -> str:
        """Say what is clearly wrong and by how much; empty if nothing is."""
        least = np.array([LEAST_OFFSET_S, *[LEAST_SHIFT_M] * 3, *[LEAST_TURN_RAD] * 3])
        wrong = np.flatnonzero(np.abs(self.change) > np.maximum(least, SURE_STDS * self.stds)).tolist()
        return "; ".join(describe_motion_error(number, self.change[number], self.stds[number]) for number in wrong)


def describe_motion_error(number: int, change: float, std: float) -> str:
    """Say how large component `number` of a change is: time offset [s] (0), shift [m] (1-3) or turn [rad] (4-6)."""
    if number == 0:
        side = "after" if change < 0 else "before"
        return f"images are stamped {1000 * abs(change):.0f} +- {1000 * std:.0f} ms {side} the odometry"
    axis = f"the base's {'xyz'[(number - 1) % 3]}"
    if number < 4:
        return f"the camera sits {change:+.2f} +- {std:.2f} m off base_from_cam along {axis}"
    turn, std_deg = math.degrees(change), math.degrees(std)
    return f"the camera is turned by {turn:+.1f} +- {std_deg:.1f} deg off base_from_cam about {axis}"


class MotionCheck:
    """Collect the fixes of one camera's images, believed or not, in order; only the last `window` count."""

    def __init__(self, window: int | None = WINDOW) -> None:
        self._fixes: deque[Fix] = deque(maxlen=window)
        self._found: MotionFit | None = None
        self._added = 0  # fixes since that was found

    def clear_fixes(self) -> None:
        """Start over, with another camera, in another map, or when time went back."""
        self._fixes.clear()
        self._found, self._added = None, 0

    def add_fix(self, fix: Fix) -> None:
        """Take a fix into account, if there is odometry at its time, and it is newer than the last."""
        if fix.odometry is None:
            return
        if self._fixes and fix.stamp_ns <= self._fixes[-1].stamp_ns:
            if fix.stamp_ns > self._fixes[-1].stamp_ns - CLOCK_JUMP_NS:
                return  # an image that came twice, or late
            self.clear_fixes()
        self._fixes.append(fix)
        self._added += 1

    def fit(self) -> MotionFit | None:
        """Return the time offset and the change of the mount that fit best; None while there are too few fixes.

        A fix is X = M O E with M the unknown map_from_odom, O the odometry at the image's true time and E the error of
        the mount. Between successive fixes M cancels, since odometry drifts little.
        """
        if len(self._fixes) > LEAST_STEPS and self._added >= (1 if self._found is None else FIT_AGAIN_AFTER):
            self._found, self._added = fit_motion(list(self._fixes)), 0
        return self._found

    def complaint(self) -> str:
        """Say what is wrong with stamps or mount; empty if nothing is."""
        found = self.fit()
        return "" if found is None else found.complaint()


def fit_motion(fixes: Sequence[Fix]) -> MotionFit | None:
    """Return the correction that makes fixes move as their odometry does; None if too few follow each other closely."""
    path = OdometryPath(fixes)
    change, stds, steps = np.zeros(len(REACH)), REACH, 0
    for _ in range(ITERATIONS):
        informations, vectors = compare_motions(fixes, path, round(change[0] * 1e9))
        steps = len(vectors)
        if steps < LEAST_STEPS:
            return None
        pooled = pool_estimates(informations, vectors, REACH, differences=True)
        change, stds = pooled.values, pooled.stds
    return MotionFit(change, stds, steps)


class OdometryPath:
    """Interpolate odometry between successive fixes."""

    def __init__(self, fixes: Sequence[Fix]) -> None:
        poses = [fix.odometry.odom_from_base for fix in fixes if fix.odometry is not None]
        self._times_ns = np.array([fix.stamp_ns for fix in fixes])
        self._positions = np.array([pose.translation for pose in poses])
        self._rotations = Rotation.from_quat([pose.rotation.quat for pose in poses])
        self._turns = (self._rotations[:-1].inv() * self._rotations[1:]).as_rotvec()

    def covers(self, times_ns: NDArray) -> NDArray:
        """Return (K,) whether odometry is known at (K,) times: fixes are near, before and after."""
        near = np.diff(self._times_ns)[self._segments(times_ns)] <= MAX_GAP_NS
        return near & (times_ns >= self._times_ns[0]) & (times_ns <= self._times_ns[-1])

    def at(self, times_ns: NDArray) -> tuple[Rotation, NDArray]:
        """Return the rotations and (K, 3) translations of odom_from_base at (K,) times."""
        segments = self._segments(times_ns)
        starts, ends = self._times_ns[segments], self._times_ns[segments + 1]
        shares = ((times_ns - starts) / (ends - starts))[:, None]
        positions = self._positions[segments] * (1 - shares) + self._positions[segments + 1] * shares
        return self._rotations[segments] * Rotation.from_rotvec(shares * self._turns[segments]), positions

    def speeds(self, times_ns: NDArray) -> NDArray:
        """Return (K, 6) speeds [m/s, rad/s] at (K,) times, in axes of the base."""
        (turned, moved), (turned_on, moved_on) = (self.at(times_ns + sign * SPEED_OVER_NS) for sign in (-1, 1))
        axes = self.at(times_ns)[0].inv()
        motions = np.column_stack([axes.apply(moved_on - moved), (turned.inv() * turned_on).as_rotvec()])
        return motions / (2e-9 * SPEED_OVER_NS)

    def _segments(self, times_ns: NDArray) -> NDArray:
        return np.clip(np.searchsorted(self._times_ns, times_ns, side="right") - 1, 0, len(self._times_ns) - 2)


def compare_motions(fixes: Sequence[Fix], path: OdometryPath, offset_ns: int) -> tuple[NDArray, NDArray]:
    """Return the normal equations of each of S steps: (S, 7, 7) informations and (S, 7) vectors.

    To first order in the unknowns, with D a step of odometry: D^-1 X_a^-1 X_b = (speed_b - Ad(D^-1) speed_a) dt +
    (1 - Ad(D^-1)) E. Steps between which odometry is unknown are left out.
    """
    times_ns = np.array([fix.stamp_ns for fix in fixes]) + offset_ns
    known = path.covers(times_ns - SPEED_OVER_NS) & path.covers(times_ns) & path.covers(times_ns + SPEED_OVER_NS)
    rows = np.flatnonzero(known[1:] & known[:-1] & (np.diff(times_ns) <= MAX_GAP_NS))
    if not len(rows):
        return np.zeros((0, len(REACH), len(REACH))), np.zeros((0, len(REACH)))
    turned, moved = path.at(times_ns)
    speeds = path.speeds(times_ns)
    back_turn = turned[rows + 1].inv() * turned[rows]
    back = adjoint(back_turn, turned[rows + 1].inv().apply(moved[rows] - moved[rows + 1]))
    by_offset = speeds[rows + 1] - (back @ speeds[rows][:, :, None])[:, :, 0]
    jacobians = np.concatenate([by_offset[:, :, None], np.eye(6) - back], 2)

    seen_turn = Rotation.from_quat([fix.map_from_base.rotation.quat for fix in fixes])
    seen_at = np.array([fix.map_from_base.translation for fix in fixes])
    step_m = turned[rows].inv().apply(moved[rows + 1] - moved[rows])
    expected_turn = seen_turn[rows] * back_turn.inv()
    residuals_m = expected_turn.inv().apply(seen_at[rows + 1] - seen_at[rows] - seen_turn[rows].apply(step_m))
    residuals = np.column_stack([residuals_m, (expected_turn.inv() * seen_turn[rows + 1]).as_rotvec()])
    residuals += by_offset * offset_ns * 1e-9  # of the whole offset, not of what is left of it

    variances = np.array([[np.trace(fix.covariance[:3, :3]), np.trace(fix.covariance[3:, 3:])] for fix in fixes]) / 3
    lengths = np.column_stack([np.linalg.norm(step_m, axis=1), back_turn.magnitude()])
    weights = 1 / np.repeat(variances[rows] + variances[rows + 1] + (DRIFT * lengths) ** 2, 3, axis=1)
    weighted = (weights[:, :, None] * jacobians).transpose(0, 2, 1)
    return weighted @ jacobians, (weighted @ residuals[:, :, None])[:, :, 0]


def adjoint(a_from_b: Rotation, at: NDArray) -> NDArray:
    """Return the (K, 6, 6) adjoints, which take small motions (translation, rotation) from axes of b to axes of a.

    Args:
        at: (K, 3) the origins of b in a.
    """
    matrices = a_from_b.as_matrix()
    moved = np.zeros((len(at), 6, 6))
    moved[:, :3, :3] = moved[:, 3:, 3:] = matrices
    moved[:, :3, 3:] = np.cross(at[:, :, None], matrices, axis=1)
    return moved
