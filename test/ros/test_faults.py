"""Nothing that is sent to the node ends it, a thread of it, or its being right. All of the list: `pytest -m long`.

With the environment variable FAULTS_TABLE the table of docs/reliability.md is written to that file.
"""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from ros_helpers import FASTDDS_PROFILES, ROOT, free_domain_id, python_process

pytest.importorskip("rclpy")

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros.faults import Fault, all_faults
from ros.robot import BASE_FROM_CAM, Robot
from ros.stand_in import cam_from_map
from tf2_msgs.msg import TFMessage

from deviloc_ros.ros.conversions import rigid_from_msg

pytestmark = pytest.mark.ros

STAND_IN = str(ROOT / "test" / "ros" / "stand_in.py")
PLACE = 50  # the brightness that says where the robot is
STARTUP_LIMIT_S = 90.0  # imports, on a machine that runs other tests as well
LARGEST_DIAGNOSTIC = 16_000  # bytes


@pytest.fixture(scope="module")
def robot(request):
    """One node for all faults of a transport, so that what one leaves meets the next."""
    with pytest.MonkeyPatch.context() as environment, free_domain_id() as domain_id:
        environment.setenv("ROS_DOMAIN_ID", str(domain_id))
        environment.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        environment.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(FASTDDS_PROFILES))
        rclpy.init()
        robot = Robot()
        robot.transforms_sent = robot.create_publisher(TFMessage, "/tf", 100)
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        robot.static_transforms = robot.create_publisher(TFMessage, "/tf_static", latched)
        parameters = ("diagnostics_period_s:=0.2", f"image_transport:={request.param}")
        try:
            with python_process(STAND_IN, "--ros-args", *(word for p in parameters for word in ("-p", p))) as process:
                robot.process = process
                robot.until(lambda: robot.status, STARTUP_LIMIT_S)
                yield robot
        finally:
            robot.close()
            rclpy.try_shutdown()


def params() -> list:
    return [
        pytest.param(fault.transport, fault, id=fault.name, marks=[pytest.mark.long] if fault.long else [])
        for fault in all_faults()
    ]


@pytest.mark.parametrize(("robot", "fault"), params(), indirect=["robot"], scope="module")
def test_it_goes_on(robot: Robot, fault: Fault):
    robot.poses.clear()
    robot.reasons.clear()
    fault.send(robot)
    robot.for_a_while(0.3)
    worst = max(robot.status.get("level", "0"), "0")
    told = robot.status.get("reason", ""), robot.status.get("message", "")
    begun_s = time.monotonic()
    robot.localized(PLACE, compressed=fault.transport == "compressed")
    recovered_s = time.monotonic() - begun_s
    robot.until(lambda: robot.status["state"] == "localized")
    assert robot.process.poll() is None
    threads = {key: value for key, value in robot.status.items() if key.startswith("thread.")}
    assert len(threads) >= 4 and all(value.startswith("running") for value in threads.values())
    assert robot.largest_diagnostic < LARGEST_DIAGNOSTIC
    expected = cam_from_map(PLACE).inverse() * BASE_FROM_CAM.inverse()
    for pose in robot.poses:
        assert np.allclose(rigid_from_msg(pose.pose.pose).matrix(), expected.matrix(), atol=1e-6)
    note(f"| {fault.name} | {told[0]} | {worst} | {told[1]} | {recovered_s:.1f} |")


def note(row: str) -> None:
    """Add a row to the table, where one is wanted."""
    if file := os.environ.get("FAULTS_TABLE"):
        with Path(file).open("a") as table:
            table.write(row + "\n")
