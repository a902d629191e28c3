"""The running node, as the page shows it."""

import numpy as np
import pytest
from ros_helpers import ROOT, python_process

pytest.importorskip("rclpy")

from deviloc_ros.ros.spinning_thread import ListeningThread
from deviloc_ros.ros.tools.node_events import WatchedNode

pytestmark = pytest.mark.ros

STAND_IN = str(ROOT / "test" / "ros" / "stand_in.py")


def test_status_pose_and_picture_of_an_image_have_its_stamp(robot):
    events, errors = [], []
    watched = WatchedNode(0.5, events.append)
    thread = ListeningThread(watched, "watched", errors.append)

    def stamps_with(key):
        return {event["time_ns"] for event in events if key in event}

    try:
        with python_process(STAND_IN, "--ros-args", "-p", "diagnostics_period_s:=0.2"):
            robot.see_until(lambda: stamps_with("position") & stamps_with("picture") & stamps_with("status"), 50)
        pose = next(event for event in events if "position" in event)
        assert errors == []
        assert np.isfinite(pose["position"]).all() and len(pose["ellipsoid"]) == 3
        assert {event["status"] for event in events if "status" in event} <= {"accepted", "unconfirmed", "replaced"}
    finally:
        thread.close()
        watched.destroy_node()
