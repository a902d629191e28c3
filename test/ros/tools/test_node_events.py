"""The running node, as the page shows it."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from ros_helpers import ROOT, python_process, spin_until

pytest.importorskip("rclpy")

import rclpy

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
        at_first = {"unconfirmed", "no_camera_info"}  # an image may come before its calibration
        assert {event["status"] for event in events if "status" in event} <= {"accepted", "replaced", *at_first}
    finally:
        thread.close()
        watched.destroy_node()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_view_without_a_traceback(ros, room_folder, number):
    command = [sys.executable, "-u", "-m", "deviloc_ros", "view", str(room_folder), "--node", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "Ctrl-C ends it" in process.stdout.readline()
    onlooker = rclpy.create_node("onlooker")
    spin_until(onlooker, lambda: "deviloc_view" in onlooker.get_node_names())
    onlooker.destroy_node()
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0 and "Traceback" not in said
