"""Transforms between processes, over DDS."""

import pytest
from ros_helpers import DISCOVERY_LIMIT_S, python_process, spin_until

pytest.importorskip("rclpy")

from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time
from rosbags.typesys import Stores, get_typestore
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer, StaticTransformBroadcaster, TransformBroadcaster, TransformListener

pytestmark = pytest.mark.ros

SENDER = """
import rclpy
from geometry_msgs.msg import TransformStamped
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

def transform(parent, child, x, stamp):
    msg = TransformStamped(child_frame_id=child)
    msg.header.frame_id, msg.header.stamp, msg.transform.translation.x = parent, stamp, x
    return msg

with rclpy.init():
    node = rclpy.create_node("sender")
    moving, static = TransformBroadcaster(node), StaticTransformBroadcaster(node)
    static.sendTransform(transform("base", "camera", 0.5, node.get_clock().now().to_msg()))
    static.sendTransform(transform("base", "imu", 0.25, node.get_clock().now().to_msg()))
    move = lambda: moving.sendTransform(transform("odom", "base", 2.0, node.get_clock().now().to_msg()))
    node.create_timer(0.02, move)
    rclpy.spin(node)
"""
LATEST = Time()


def test_a_listener_that_comes_late_hears_both_topics_of_another_process(ros_node):
    buffer = Buffer(node=ros_node)
    with python_process("-c", SENDER):
        listener = TransformListener(buffer, ros_node)
        spin_until(ros_node, lambda: buffer.can_transform("odom", "camera", LATEST))
        spin_until(ros_node, lambda: buffer.can_transform("odom", "imu", LATEST))
    assert buffer.lookup_transform("odom", "camera", LATEST).transform.translation.x == pytest.approx(2.5)
    assert buffer.lookup_transform("odom", "imu", LATEST).transform.translation.x == pytest.approx(2.25)
    listener.unregister()


def test_a_listener_with_its_own_thread_needs_no_spinning(ros_node):
    buffer = Buffer(node=ros_node)
    listener = TransformListener(buffer, ros_node, spin_thread=True)
    msg = TransformStamped(child_frame_id="base")
    msg.header.frame_id = "odom"
    StaticTransformBroadcaster(ros_node).sendTransform([msg])
    assert buffer.can_transform("odom", "base", LATEST, timeout=Duration(seconds=DISCOVERY_LIMIT_S))
    listener.unregister()


def test_the_topic_has_the_standard_type_hash(ros_node):
    TransformBroadcaster(ros_node)
    spin_until(ros_node, lambda: bool(ros_node.get_publishers_info_by_topic("/tf")))
    (endpoint,) = ros_node.get_publishers_info_by_topic("/tf")
    sent = "".join(f"{byte:02x}" for byte in endpoint.topic_type_hash.value)
    standard = get_typestore(Stores.ROS2_KILTED).hash_rihs01("tf2_msgs/msg/TFMessage")
    assert f"RIHS01_{sent}" == standard
    assert endpoint.topic_type == "tf2_msgs/msg/TFMessage"
    assert TFMessage().transforms == []
