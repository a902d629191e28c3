"""What the node asks of TF and sends to it."""

import threading

import numpy as np
import pycolmap
import pytest
from ros_helpers import spin_until, wait_until

pytest.importorskip("rclpy")

from rclpy.node import Node
from tf2_msgs.msg import TFMessage
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from deviloc_ros.parameters.node_config import CameraConfig, NodeConfig
from deviloc_ros.ros.conversions import transform_msg
from deviloc_ros.ros.spinning_thread import ListeningThread
from deviloc_ros.ros.transforms import MissingTransform, Transforms
from deviloc_ros.ros.worker import ThreadState

pytestmark = pytest.mark.ros

SECOND = 1_000_000_000


def at(x: float) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([x, 0.0, 0.0]))


def is_mounted(transforms: Transforms) -> bool:
    return not isinstance(transforms.base_from_cam(CameraConfig(), "camera", SECOND, None), MissingTransform)


def test_odometry_is_interpolated_at_the_stamp_and_the_mount_is_static(ros_node):
    transforms = Transforms(ros_node, NodeConfig())
    StaticTransformBroadcaster(ros_node).sendTransform(transform_msg(at(0.2), 0, "base_link", "camera"))
    moving = TransformBroadcaster(ros_node)

    def arrived() -> bool:
        moving.sendTransform([transform_msg(at(1.0), 10 * SECOND, "odom", "base_link")])
        moving.sendTransform([transform_msg(at(2.0), 11 * SECOND, "odom", "base_link")])
        found = (transforms.odometry(11 * SECOND, None), transforms.base_from_cam(CameraConfig(), "camera", 5, None))
        return not any(isinstance(each, MissingTransform) for each in found)

    spin_until(ros_node, arrived)
    between = transforms.odometry(10 * SECOND + SECOND // 4, None)
    assert between.odom_from_base.translation[0] == pytest.approx(1.25)
    assert transforms.latest_odometry(12 * SECOND).odom_from_base.translation[0] == pytest.approx(2.0)
    assert transforms.base_from_cam(CameraConfig(), "camera", 10 * SECOND, None).translation[0] == pytest.approx(0.2)
    transforms.close()


def test_the_way_of_odometry_is_counted_between_images_too(ros_node):
    transforms, moving = Transforms(ros_node, NodeConfig()), TransformBroadcaster(ros_node)
    there_and_back = [*range(0, 11), *range(9, -1, -1)]  # tenths of a metre, ten a second

    def arrived() -> bool:
        sent = [transform_msg(at(x / 10), 10 * SECOND + i * SECOND // 10, "odom", "base_link") for i, x in there]
        moving.sendTransform(sent)
        return not isinstance(transforms.odometry(10 * SECOND, None), MissingTransform)

    there = list(enumerate(there_and_back))
    spin_until(ros_node, arrived)
    wait_until(lambda: not isinstance(transforms._odom_from_base(12 * SECOND, None), MissingTransform))
    back = transforms.odometry(12 * SECOND, None)
    assert np.allclose(back.odom_from_base.translation, 0.0) and back.travelled_m == pytest.approx(2.0)
    transforms.close()


@pytest.mark.parametrize("wait_s", [0.05, 0.0])
def test_what_is_missing_is_named_and_counted_once_waited_for(ros_node, wait_s):
    transforms, camera = Transforms(ros_node, NodeConfig()), CameraConfig(camera_frame="front_optical")
    asked = transforms.base_from_cam(camera, "camera", SECOND, None)
    assert (
        isinstance(asked, MissingTransform) and "base_link <- front_optical" in asked.detail and not transforms.failures
    )
    transforms.base_from_cam(camera, "camera", SECOND, wait_s)
    assert transforms.failures == {"base_link <- front_optical": 1}
    transforms.close()


def test_a_given_extrinsic_needs_no_tf(ros_node):
    transforms, camera = (
        Transforms(ros_node, NodeConfig()),
        CameraConfig(base_from_camera="0.1 0 0.3 -0.5 0.5 -0.5 0.5"),
    )
    assert transforms.base_from_cam(camera, "camera", SECOND, None).translation.tolist() == [0.1, 0.0, 0.3]
    transforms.close()


def test_frames_of_images_may_begin_with_a_slash_as_they_did_in_ros_1(ros_node):
    transforms = Transforms(ros_node, NodeConfig())
    StaticTransformBroadcaster(ros_node).sendTransform(transform_msg(at(0.2), 0, "base_link", "camera"))
    spin_until(
        ros_node,
        lambda: not isinstance(transforms.base_from_cam(CameraConfig(), "camera", SECOND, None), MissingTransform),
    )
    assert transforms.base_from_cam(CameraConfig(), "/camera", SECOND, None).translation[0] == pytest.approx(0.2)
    transforms.close()


@pytest.mark.parametrize("rule", ["/tf:=/mine/tf", "{name}:/tf:=/mine/tf", "/tf:=tf"])
def test_it_listens_and_sends_where_the_node_proper_would(ros, rule):
    name = "proper"
    node = Node(name, cli_args=["--ros-args", "-r", rule.format(name=name), "-r", "__ns:=/mine"])
    transforms = Transforms(node, NodeConfig())
    assert (transforms._node.get_name(), transforms._node.get_namespace()) == ("proper_tf", "/mine")
    own = transforms._node.get_subscriptions_info_by_topic, transforms._node.get_publishers_info_by_topic
    spin_until(node, lambda: all("proper_tf" in [info.node_name for info in of("/mine/tf")] for of in own))
    transforms.close()
    node.destroy_node()


def test_nothing_of_it_stays_on_the_node_proper(ros_node):
    services = set(ros_node.services)
    transforms = Transforms(ros_node, NodeConfig())
    assert set(ros_node.services) == services
    transforms.close()
    assert set(ros_node.services) == services


def test_it_ends_also_when_told_to_just_before_it_waits(ros_node, monkeypatch):
    transforms, told = Transforms(ros_node, NodeConfig()), threading.Event()
    gather = transforms._thread._executor.get_nodes

    def slowly():
        told.wait(10)  # it has seen that it is not to end, and then waits for messages
        return gather()

    monkeypatch.setattr(transforms._thread._executor, "get_nodes", slowly)
    closing = threading.Thread(target=transforms.close, daemon=True)
    closing.start()
    wait_until(lambda: transforms._thread._executor._ended)
    told.set()
    closing.join(20)
    assert not closing.is_alive()


def test_while_nobody_listens_nothing_is_looked_up_or_sent(ros_node, monkeypatch):
    transforms = Transforms(ros_node, NodeConfig())
    StaticTransformBroadcaster(ros_node).sendTransform(transform_msg(at(0.2), 0, "base_link", "camera"))
    spin_until(
        ros_node,
        lambda: not isinstance(transforms.base_from_cam(CameraConfig(), "camera", SECOND, None), MissingTransform),
    )
    sent = []
    monkeypatch.setattr(transforms._broadcaster, "sendTransform", sent.append)
    transforms.broadcast(at(1.0), "odom", SECOND)
    assert len(sent) == 1
    monkeypatch.setattr(transforms, "state", lambda: ThreadState("transforms", False))
    transforms.broadcast(at(1.0), "odom", SECOND)
    found = transforms.base_from_cam(CameraConfig(), "camera", SECOND, 0.0)
    assert len(sent) == 1 and "thread 'transforms' has ended" in found.detail
    monkeypatch.undo()
    transforms.close()


def test_a_callback_that_raises_and_a_message_that_cannot_be_taken_end_nothing(ros_node, monkeypatch):
    failures = []
    thread = ListeningThread(ros_node, "listener", failures.append)
    heard, raised = [], []

    def hear(msg) -> None:
        heard.append(msg)
        if not raised:
            raised.append(msg)
            raise SystemExit("at the first message")

    ros_node.create_subscription(TFMessage, "odd", hear, 10)
    publisher = ros_node.create_publisher(TFMessage, "odd", 10)
    wait_until(lambda: publisher.publish(TFMessage()) or len(heard) > 2)
    take, refused = thread._executor._take_subscription, []

    def refuse_once(subscription):
        if not refused:
            refused.append(subscription)
            raise RuntimeError("cannot be taken")
        return take(subscription)

    monkeypatch.setattr(thread._executor, "_take_subscription", refuse_once)
    wait_until(lambda: publisher.publish(TFMessage()) or refused)
    heard.clear()
    wait_until(lambda: publisher.publish(TFMessage()) or len(heard) > 2)
    assert thread.state().is_alive and thread.state().failures == len(failures) == 2
    thread.close()
