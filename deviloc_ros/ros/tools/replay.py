"""Play a bag to a localizer over DDS and record the poses that come back.

`python -m deviloc_ros.ros.tools.replay BAG --image TOPIC [--poses FILE]`, with the node running on `use_sim_time`.

The bag's time is published on /clock. By default it stands still after an image until the pose of that image has
arrived, or a limit has passed, so that results do not depend on the speed of the machine; `--rate` plays at a fixed
speed instead, as on a robot.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from tqdm import tqdm

from deviloc_ros.bags.reader import TYPES, RecordedMessage, Recording
from deviloc_ros.bags.transforms import TF, TF_STATIC
from deviloc_ros.config import RigConfig
from deviloc_ros.io.tum_trajectory import write_tum
from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.ros.conversions import rigid_from_msg, time_msg
from deviloc_ros.tracking.grouping import ImageGrouper

STARTUP_LIMIT_S = 90.0
# Messages of different topics may overtake each other; with this pause an image finds all that was recorded before it.
SETTLING_S = 0.1
CLOCK_TOPIC = "/clock"
OWN_TRANSFORMS = frozenset({("map", "odom"), ("map", "base_link")})


def never_true() -> bool:
    """Return False: a condition to spin for a fixed time."""
    return False


def has_subscriber(publisher: Any) -> bool:
    """Return whether a publisher has subscribers."""
    return publisher.get_subscription_count() > 0


def any_done(done: Callable[[int], bool], stamps_ns: Sequence[int]) -> bool:
    """Return whether one of several images is done: a group is reported with the stamp of one of them."""
    return any(map(done, stamps_ns))


def load_message_class(kind: str) -> type:
    """Return the class of a message type such as `sensor_msgs/msg/Image`."""
    package, _, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def refuse_ros1(bag: Recording) -> None:
    """Raise ValueError for a ROS 1 bag: rclpy cannot publish its serialized messages."""
    if bag.is_ros1:
        raise ValueError(f"{bag.path}: a ROS 1 bag cannot be replayed; `rosbags-convert` converts it to ROS 2")


def select_playable(topics: dict[str, str], pose_topic: str) -> dict[str, str]:
    """Return those of a bag's topics, with their types, that can be played.

    Left out are the clock, which this node publishes, and poses, which would be taken for the localizer's. Types that
    are not installed are named on stderr.
    """
    played = {}
    for topic, kind in topics.items():
        if topic in (CLOCK_TOPIC, pose_topic):
            continue
        try:
            load_message_class(kind)
        except (ImportError, AttributeError):
            print(f"replay: {topic} is left out, its type {kind} is not installed", file=sys.stderr)
            continue
        played[topic] = kind
    return played


def replay_qos(topic: str) -> QoSProfile:
    """Return a reliable profile; static transforms, each a message of its own, are latched for late subscribers."""
    latched = topic == TF_STATIC
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=durability)


class SentImage(NamedTuple):
    """Hold when an image was received by the recorder, and when it was replayed [ns of the monotonic clock]."""

    received_ns: int
    monotonic_ns: int


class Replay(Node):
    """Publish a bag's messages as they were recorded, and collect the localizer's poses by their stamp.

    on_pose: called with stamp [ns] and map_from_base as each pose arrives. left_out: transforms (parent, child) of the
    recording that would contradict the localizer's own. sent: the images, by their stamps.
    """

    def __init__(
        self,
        pose_topic: str,
        image_topics: Sequence[str],
        on_pose: Callable[[int, Any], None],
        left_out: frozenset[tuple[str, str]] = OWN_TRANSFORMS,
        rig: RigConfig | None = None,
    ) -> None:
        super().__init__("deviloc_replay")
        self.poses: dict[int, Any] = {}
        self.sent: dict[int, SentImage] = {}
        self.clock_ns = 0
        self._left_out = left_out
        self._image_topics = tuple(image_topics)
        self._on_pose = on_pose
        window_ns = round(1e9 * (rig or RigConfig()).window_s)
        self._grouper: ImageGrouper[None] = ImageGrouper(self._image_topics, window_ns)  # as the node has it
        self._publishers_by_topic: dict[str, Any] = {}
        self._clock_publisher = self.create_publisher(Clock, CLOCK_TOPIC, QoSProfile(depth=1))
        self.create_subscription(PoseWithCovarianceStamped, pose_topic, self._note_pose, QoSProfile(depth=10))

    def _note_pose(self, msg: PoseWithCovarianceStamped) -> None:
        time_ns = stamp_ns(msg)
        self.poses[time_ns] = rigid_from_msg(msg.pose.pose)
        self._on_pose(time_ns, self.poses[time_ns])

    def create_publishers(self, topics: dict[str, str]) -> None:
        """Create publishers for topics, given with their types. Raises ValueError if an image topic is missing."""
        if missing := [topic for topic in self._image_topics if topic not in topics]:
            raise ValueError(f"the bag has no topic {', '.join(missing)}, only {', '.join(sorted(topics))}")
        for topic, kind in topics.items():
            self._publishers_by_topic[topic] = self.create_publisher(load_message_class(kind), topic, replay_qos(topic))

    def wait_for_listener(self) -> None:
        """Wait until the image topics have subscribers. Raises TimeoutError after STARTUP_LIMIT_S."""
        for topic in self._image_topics:
            images = self._publishers_by_topic[topic]
            if not self._spin_until(partial(has_subscriber, images), STARTUP_LIMIT_S):
                raise TimeoutError(f"nobody subscribed to {topic} within {STARTUP_LIMIT_S:.0f} s")
        self._spin_until(never_true, 1.0)  # its other subscriptions and its publisher are matched a little later

    def play(
        self,
        messages: Iterable[RecordedMessage],
        rate: float,
        patience_s: float,
        last_words_s: float = 1.5,
        done: Callable[[int], bool] | None = None,
    ) -> None:
        """Publish messages in order, at `rate` times their speed, or with rate 0 one image or group at a time.

        Damaged images and transforms are not sent, which is logged.

        Args:
            patience_s: how long to wait for one image with rate 0.
            last_words_s: how long to wait for poses at the end.
            done: returns, for the stamp of an image, whether to go on to the next; default: its pose has arrived.
        """
        done = done or self.poses.__contains__
        first_ns, started_s = None, time.monotonic()
        for recorded in messages:
            first_ns = recorded.time_ns if first_ns is None else first_ns
            if rate > 0:
                due_s = started_s + (recorded.time_ns - first_ns) * 1e-9 / rate
                self._spin_until(never_true, due_s - time.monotonic())
            self.clock_ns = recorded.time_ns
            self._clock_publisher.publish(Clock(clock=time_msg(recorded.time_ns)))
            is_image, is_transform = recorded.topic in self._image_topics, recorded.topic in (TF, TF_STATIC)
            try:
                time_ns = stamp_ns(recorded.message()) if is_image else 0
                data = self._strip_own_transforms(recorded) if is_transform else recorded.data
            except ValueError as error:
                self.get_logger().warning(f"not sent: {error}")
                continue
            if is_image:
                if rate <= 0:
                    self._spin_until(never_true, SETTLING_S)
                self.sent[time_ns] = SentImage(recorded.time_ns, time.monotonic_ns())
                self._publishers_by_topic[recorded.topic].publish(data)
                groups = self._grouper.add(recorded.topic, time_ns, recorded.time_ns, None)
                for group in groups if rate <= 0 else ():
                    stamps_ns = [image.stamp_ns for image in group]
                    self._spin_until(partial(any_done, done, stamps_ns), patience_s)
            elif data:
                self._publishers_by_topic[recorded.topic].publish(data)
        self._spin_until(never_true, last_words_s)  # for the last poses

    def _strip_own_transforms(self, recorded: RecordedMessage) -> bytes:
        """Return a serialized TFMessage without the localizer's own transforms; empty if nothing is left."""
        message = recorded.message()
        kept = [t for t in message.transforms if (t.header.frame_id, t.child_frame_id) not in self._left_out]
        if len(kept) == len(message.transforms):
            return recorded.data
        kind = TYPES.types[recorded.kind]
        return bytes(TYPES.serialize_cdr(kind(transforms=kept), recorded.kind)) if kept else b""

    def _spin_until(self, condition: Callable[[], bool], limit_s: float) -> bool:
        deadline_s = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline_s:
                return False
            rclpy.spin_once(self, timeout_sec=0.005)
        return True


def print_pose(time_ns: int, map_from_base: Any) -> None:
    """Print one line per pose."""
    x, y, z = map_from_base.translation
    qx, qy, qz, qw = map_from_base.rotation.quat
    print(
        f"  {time_ns * 1e-9:.3f}  x {x:+8.3f}  y {y:+8.3f}  z {z:+8.3f} m   q {qx:+.3f} {qy:+.3f} {qz:+.3f} {qw:+.3f}",
        flush=True,
    )


def ignore_pose(time_ns: int, map_from_base: Any) -> None:
    """Ignore a pose; a progress bar is shown instead."""


def show_bar(messages: Iterable[RecordedMessage], topics: Sequence[str], images: int) -> Iterator[RecordedMessage]:
    """Pass messages on and show a progress bar of the images among them."""
    with tqdm(total=images, desc="replay to the node", unit="image") as bar:
        for recorded in messages:
            yield recorded
            bar.update(recorded.topic in topics)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    root = argparse.ArgumentParser(prog="python -m deviloc_ros.ros.tools.replay", description=__doc__.splitlines()[0])
    root.add_argument("bag", type=Path, help="rosbag2 folder")
    root.add_argument(
        "--image", required=True, action="append", metavar="TOPIC", help="topic of the images; or several, of a rig"
    )
    root.add_argument("--pose", default="/deviloc/pose", metavar="TOPIC", help="topic of the localizer's poses")
    root.add_argument("--poses", type=Path, metavar="FILE", help="write the poses here, as a TUM trajectory")
    root.add_argument("--rate", type=float, default=0.0, help="speed of the bag; 0: wait for each image's pose")
    root.add_argument("--patience", type=float, default=1.5, help="with rate 0, wait this long for a pose [s]")
    root.add_argument("--bar", action="store_true", help="a bar in the place of a line for each pose")
    return root


def main(arguments: list[str] | None = None) -> int:
    """Play a bag; return 1 if nobody subscribed."""
    options = make_parser().parse_args(arguments)
    rclpy.init()
    node, status = Replay(options.pose, options.image, ignore_pose if options.bar else print_pose), 0
    try:
        with Recording(options.bag) as bag:
            refuse_ros1(bag)
            played = select_playable(bag.topics, options.pose)
            node.create_publishers(played)
            node.wait_for_listener()
            messages: Iterable[RecordedMessage] = bag.messages(tuple(played))
            if options.bar:
                messages = show_bar(messages, options.image, sum(map(bag.count, options.image)))
            node.play(messages, options.rate, options.patience)
        print(f"sent {len(node.sent)} images, got {len(node.poses)} poses", flush=True)
    except (TimeoutError, ValueError) as error:
        print(f"replay: {error}", file=sys.stderr)
        status = 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        if options.poses and (node.poses or status == 0):
            write_tum(options.poses, sorted(node.poses.items()))
        node.destroy_node()
        with suppress(Exception):
            rclpy.shutdown()
    return status


if __name__ == "__main__":
    sys.exit(main())
