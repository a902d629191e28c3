"""However a robot drives, whatever odometry says, and however tracking is set: no image raises, no pose is wrong."""

import math

import numpy as np
import pycolmap
from fuzzing import at_bounds, examples
from hypothesis import given
from hypothesis import strategies as st
from ros.stand_in import BLACK, StandInLocalizer, StandInMap

from deviloc_ros.config import TrackingConfig
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.tracking.rig_images import StampedImage

START_NS = 1_000_000_000_000
PLACES_M = st.sampled_from([0.0, 0.001, 5.0, -1e5, 1e7, 1e9])  # the last as far as transforms are taken
STEPS_NS = st.sampled_from([0, 1, 10**8, 10**8, 10**9, 3 * 10**10, -5 * 10**8, -2 * 10**9, -(10**11)])


def turned(x_m: float, yaw: float) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.0, yaw])), np.array([x_m, 0.0, 0.0]))


POSES = st.builds(turned, PLACES_M, st.floats(-math.pi, math.pi))
MOMENTS = st.tuples(
    STEPS_NS,
    st.sampled_from([50, 50, 50, 52, 120, BLACK]),
    st.one_of(st.none(), POSES.map(Odometry)),
    st.one_of(st.none(), st.none(), st.tuples(POSES, st.sampled_from([1e-12, 1.0, 1e12]))),
)


@examples(60)
@given(at_bounds(TrackingConfig()), st.booleans(), st.lists(MOMENTS, min_size=5, max_size=25))
def test_no_drive_ends_anything(tracking, is_planar, moments):
    follower, now_ns = Follower(StandInLocalizer(), tracking, is_planar=is_planar), START_NS
    for step_ns, brightness, odometry, hint in moments:
        now_ns = max(now_ns + step_ns, 1)
        if hint is not None:
            follower.hint(Fix(now_ns, hint[0], np.eye(6) * hint[1], odometry))
        pixels = np.full((48, 64), brightness, np.uint8)
        image = StampedImage(now_ns, pixels, StandInMap.camera, pycolmap.Rigid3d())
        step = follower.follow([image], lambda *_, odometry=odometry: odometry, now_ns)
        assert step.fix is not None or step.detail
        if step.fix is not None:
            assert step.fix.stamp_ns == now_ns and np.isfinite(step.fix.covariance).all()
            assert step.fix.map_from_base.translation[0] == brightness / 10
        map_from_odom = follower.map_from_odom(now_ns)
        assert map_from_odom is None or np.isfinite(map_from_odom.matrix()).all()
        assert follower.state(now_ns) and isinstance(follower.calibration_complaint, str)
