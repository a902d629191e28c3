"""Replay a recording over DDS to a node in real time, and turn its replies into estimates."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.qos import QoSProfile
from tf2_msgs.msg import TFMessage

from deviloc_ros.bags.bag_index import IndexedBag, RobotSetup
from deviloc_ros.bags.transforms import TF, TF_STATIC
from deviloc_ros.config import RigConfig
from deviloc_ros.evaluation.recordings.frames import Estimate
from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.ros.conversions import rigid_from_msg
from deviloc_ros.ros.diagnostics import parse_stamp
from deviloc_ros.ros.tools.replay import Replay, SentImage, refuse_ros1
from deviloc_ros.status import Status
from deviloc_ros.types import CameraReport

POSE_TOPIC, STATUS_TOPIC = "/deviloc/pose", "/deviloc/status"
PATIENCE_S = 60.0  # for one image, on a machine that is busy with other things
LAST_WORDS_S = 3.0
COUNTS = ("images_received", "images_processed", "images_published")


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedPose:
    """Hold a pose as it arrived: wall time [ns], map_from_base, (6, 6) covariance."""

    arrival_ns: int
    map_from_base: Any
    covariance: np.ndarray


@dataclass(slots=True, eq=False)
class NodeReplies:
    """Hold what a node published.

    outcomes: the values of ~/status for each image, by stamp [ns]; docs/interface.md has the keys. status: the values
    of the last /diagnostics. transforms: arrival and stamp of each map -> odom, and the recording's time then [ns].
    """

    poses: dict[int, ReceivedPose] = field(default_factory=dict)
    outcomes: dict[int, dict[str, str]] = field(default_factory=dict)
    transforms: list[tuple[int, int, int]] = field(default_factory=list)
    status: dict[str, str] = field(default_factory=dict)


class ListeningReplay(Replay):
    """Record everything that the node publishes during a replay."""

    def __init__(self, image_topics: Sequence[str], robot: RobotSetup, grouping: RigConfig) -> None:
        own = frozenset({(robot.map_frame, robot.odom_frame), (robot.map_frame, robot.base_frame)})
        super().__init__(POSE_TOPIC, image_topics, lambda *_: None, own, grouping)
        self.heard = NodeReplies()
        self._map_frame = robot.map_frame
        self.create_subscription(PoseWithCovarianceStamped, POSE_TOPIC, self._on_pose_msg, QoSProfile(depth=10))
        self.create_subscription(TFMessage, "/tf", self._on_tf, QoSProfile(depth=100))
        self.create_subscription(DiagnosticStatus, STATUS_TOPIC, self._on_outcome, QoSProfile(depth=100))
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=10))

    def begin(self) -> None:
        """Wait for the node and for its first diagnostics."""
        self.wait_for_listener()
        if not self._spin_until(lambda: "images_processed" in self.heard.status, PATIENCE_S):
            raise TimeoutError("the node publishes no /diagnostics")

    def is_done(self, time_ns: int) -> bool:
        """Return whether the node has finished an image: its pose has arrived, or the reason why there is none."""
        accepted = Status.ACCEPTED.word  # then a pose is on its way
        return time_ns in self.heard.poses or self.heard.outcomes.get(time_ns, {}).get("reason", accepted) != accepted

    def _on_pose_msg(self, msg: PoseWithCovarianceStamped) -> None:
        covariance = np.array(msg.pose.covariance).reshape(6, 6)
        pose = ReceivedPose(time.monotonic_ns(), rigid_from_msg(msg.pose.pose), covariance)
        self.heard.poses[stamp_ns(msg)] = pose

    def _on_tf(self, msg: TFMessage) -> None:
        now_ns = time.monotonic_ns()
        for stamped in msg.transforms:
            if stamped.header.frame_id == self._map_frame:
                self.heard.transforms.append((now_ns, stamp_ns(stamped), self.clock_ns))

    def _on_outcome(self, msg: DiagnosticStatus) -> None:
        outcome = {value.key: value.value for value in msg.values}
        self.heard.outcomes[parse_stamp(outcome["image_stamp"])] = outcome

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if status.name == "deviloc: localization":
                self.heard.status = {value.key: value.value for value in status.values}


def run_real_time(
    bag: IndexedBag, rate: float, grouping: RigConfig | None = None
) -> tuple[list[Estimate], dict[str, Any]]:
    """Replay to the listening node; return the estimates, and figures about the transport.

    Args:
        rate: speed of the recording; 0 waits for each image.
        grouping: how the node groups the images of several cameras.

    Raises:
        TimeoutError: nobody listens. ValueError: a ROS 1 recording, which rclpy cannot publish.
    """
    recording, topics = bag.recording, bag.topics
    refuse_ros1(recording)
    rclpy.init()
    try:
        node = ListeningReplay(topics.images, bag.robot, grouping or RigConfig())
        needed = (*topics.images, *topics.camera_infos, TF, TF_STATIC)  # another topic might be the node's own
        played = {topic: kind for topic, kind in recording.topics.items() if topic in needed}
        node.create_publishers(played)
        node.begin()
        node.play(recording.messages(tuple(played)), rate, PATIENCE_S, LAST_WORDS_S, node.is_done)
        return collect_estimates(node.sent, node.heard), transport_figures(node.heard, in_time=rate > 0)
    finally:
        rclpy.try_shutdown()


def collect_estimates(sent: dict[int, SentImage], heard: NodeReplies) -> list[Estimate]:
    """Return one estimate for each image sent, in that order; for a group of a rig's images, one for the newest.

    Latency is from sending an image to receiving its pose.
    """
    known = [number for number, time_ns in enumerate(sent) if time_ns in heard.poses or time_ns in heard.outcomes]
    last = known[-1] if known else -1
    # Images that were localized together with a newer one are reported with that.
    beside = {time_ns for said in heard.outcomes.values() for time_ns in list_stamps(said)} - {*heard.outcomes}
    result = []
    for number, (time_ns, (received_ns, sent_ns)) in enumerate(sent.items()):
        if time_ns in beside:
            continue
        outcome = heard.outcomes.get(time_ns)
        about = read_outcome(outcome) if outcome else {}
        if pose := heard.poses.get(time_ns):
            about |= {"map_from_base": pose.map_from_base, "covariance": pose.covariance}
            about["stages_ms"] = {"image sent to pose received": (pose.arrival_ns - sent_ns) * 1e-6}
            result.append(Estimate(received_ns, time_ns, Status.ACCEPTED, **about))
        elif outcome:
            said = Status.from_word(outcome["reason"])
            status = Status.NOT_PUBLISHED if said is Status.ACCEPTED else said
            result.append(Estimate(received_ns, time_ns, status, outcome["detail"], **about))
        else:
            result.append(Estimate(received_ns, time_ns, Status.NOT_RECEIVED if number < last else Status.UNFINISHED))
    return result


def read_outcome(outcome: dict[str, str]) -> dict[str, Any]:
    """Parse the figures of an estimate from the values of ~/status."""
    return {
        "inliers": int(outcome["inliers"]),
        "inlier_ratio": float(outcome["inlier_ratio"]),
        "coverage": float(outcome["coverage"]),
        "references": tuple(filter(None, outcome["references"].split(", "))),
        "cameras": tuple(read_camera_report(outcome, name) for name in list_cameras(outcome)),
    }


def list_cameras(outcome: dict[str, str]) -> list[str]:
    """Return the names of a rig's cameras in the values of ~/status."""
    return [key.split(".")[1] for key in outcome if key.startswith("camera.") and key.endswith(".reason")]


def list_stamps(outcome: dict[str, str]) -> list[int]:
    """Return the stamps [ns] of all images that were localized together."""
    return [read_camera_report(outcome, name).stamp_ns for name in list_cameras(outcome)]


def read_camera_report(outcome: dict[str, str], name: str) -> CameraReport:
    """Parse the report on one camera of a rig from the values of ~/status."""
    said = {key: outcome[f"camera.{name}.{key}"] for key in ("reason", "used", "inliers", "detail", "image_stamp")}
    status, stamp_ns = Status.from_word(said["reason"]), parse_stamp(said["image_stamp"])
    used = said["used"] == str(True)
    return CameraReport(name, status, used, int(said["inliers"]), said["detail"], stamp_ns=stamp_ns)


def transport_figures(heard: NodeReplies, in_time: bool) -> dict[str, Any]:
    """Return the node's own counts, and how fresh map -> odom was: its stamp relative to the time of arrival.

    Args:
        in_time: whether time ran continuously; otherwise freshness has no meaning.
    """
    counts = {key: int(v) for key, v in heard.status.items() if key in COUNTS or key.startswith("dropped.")}
    arrivals = [arrival for arrival, _, _ in heard.transforms]
    ahead_s = [(stamp - clock) * 1e-9 for _, stamp, clock in heard.transforms if clock]
    return {"node": counts, "map_to_odom": measure_freshness(arrivals, ahead_s) if in_time else None}


def measure_freshness(arrivals_ns: Sequence[int], ahead_s: Sequence[float]) -> dict[str, float] | None:
    """Return rate and gaps of the received broadcast; None with fewer than two transforms."""
    if len(arrivals_ns) < 2:
        return None
    gaps_s = np.diff(arrivals_ns) * 1e-9
    return {
        "received": len(arrivals_ns),
        "rate_hz": float(1 / np.mean(gaps_s)),
        "largest_gap_s": float(gaps_s.max()),
        "stamp_ahead_median_s": float(np.median(ahead_s)) if len(ahead_s) else 0.0,
        "stamp_ahead_min_s": float(min(ahead_s)) if len(ahead_s) else 0.0,
    }
