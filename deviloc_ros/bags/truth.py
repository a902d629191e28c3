"""Read ground truth poses: from a topic of the recording, from its transforms, or from a TUM file."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pycolmap

from deviloc_ros.bags.transforms import TransformError, TransformTree
from deviloc_ros.io.tum_trajectory import Stamped, read_tum
from deviloc_ros.messages.headers import rigid_from_pose, rigid_from_transform, stamp_ns

log = logging.getLogger(__name__)
MAX_GAP_NS = 500_000_000  # truth farther apart than this is not interpolated
TOPIC_TYPES = ("PoseStamped", "PoseWithCovarianceStamped", "Odometry", "TransformStamped")


class Truth:
    """Hold true poses of the robot in the map over time.

    frame: the frame in which the poses are stated to be, empty if not stated.
    """

    def __init__(self, poses: Iterable[Stamped], frame: str = "") -> None:
        self.frame = frame
        self._poses = dict(poses)
        self._times_ns = sorted(self._poses)
        if not self._times_ns:
            raise ValueError("the ground truth holds no pose")

    @property
    def span_s(self) -> tuple[float, float]:
        """Return the time of the first and the last pose [s]."""
        return self._times_ns[0] * 1e-9, self._times_ns[-1] * 1e-9

    def at(self, time_ns: int) -> pycolmap.Rigid3d | None:
        """Return map_from_base, interpolated; None outside the poses and in gaps of more than half a second."""
        if time_ns in self._poses:
            return self._poses[time_ns]
        after = bisect_left(self._times_ns, time_ns)
        if after in (0, len(self._times_ns)):
            return None
        before_ns, after_ns = self._times_ns[after - 1], self._times_ns[after]
        if after_ns - before_ns > MAX_GAP_NS:
            return None
        share = (time_ns - before_ns) / (after_ns - before_ns)
        return pycolmap.Rigid3d.interpolate(self._poses[before_ns], self._poses[after_ns], share)

    def shift_earlier(self, by_ns: int) -> Truth:
        """Return the poses shifted to earlier times."""
        return Truth(((time_ns - by_ns, pose) for time_ns, pose in self._poses.items()), self.frame)

    def move_to_base(self, body_from_base: Callable[[int], pycolmap.Rigid3d]) -> Truth:
        """Return the poses of the robot's base from those of another body, at times when its mount is known.

        Raises:
            TransformError: the mount is known at no time.
        """
        poses, failures = [], []
        for time_ns, map_from_body in self._poses.items():
            try:
                poses.append((time_ns, map_from_body * body_from_base(time_ns)))
            except TransformError as error:
                failures.append(error)
        if not poses:
            raise failures[0]
        return Truth(poses, self.frame)


def read_truth_file(path: Path) -> Truth:
    """Read a TUM file. Raises ValueError naming file and line."""
    if not path.is_file():
        raise ValueError(f"{path}: {'a folder, not a file of poses' if path.is_dir() else 'no such file of poses'}")
    poses = read_tum(path)
    if not poses:
        raise ValueError(f"{path}: there are no poses in it")
    return Truth(poses)


def truth_from_messages(messages: list[Any], kind: str) -> Truth:
    """Collect poses from messages of one of TOPIC_TYPES, at the times of their headers; invalid ones are left out.

    Raises:
        ValueError: of another type, or none has a pose.
    """
    name = kind.rpartition("/")[2]
    if name not in TOPIC_TYPES:
        raise ValueError(f"ground truth of type {kind}: known are {', '.join(TOPIC_TYPES)}, and transforms")
    frame = messages[0].header.frame_id.lstrip("/") if messages else ""
    poses = []
    for message in messages:
        with suppress(ValueError):
            poses.append((stamp_ns(message), pose_from_message(message, name)))
    if len(poses) < len(messages):
        unusable = len(messages) - len(poses)
        log.warning("ground truth: %d of %d messages without a valid pose, left out", unusable, len(messages))
    return Truth(poses, frame)


def name_body_of_messages(messages: list[Any]) -> str:
    """Return the frame whose poses ground truth messages state; empty for types that do not state one.

    Raises:
        ValueError: they are of several frames.
    """
    bodies = dict.fromkeys(getattr(message, "child_frame_id", "").lstrip("/") for message in messages)
    if len(bodies) > 1:
        raise ValueError(f"ground truth of several frames: {', '.join(map(repr, bodies))}")
    return next(iter(bodies), "")


def pose_from_message(message: Any, name: str) -> pycolmap.Rigid3d:
    """Return the pose of a message of one of TOPIC_TYPES."""
    match name:
        case "PoseStamped":
            return rigid_from_pose(message.pose)
        case "TransformStamped":
            return rigid_from_transform(message.transform)
    return rigid_from_pose(message.pose.pose)


def truth_from_transforms(transforms: TransformTree, parent: str, child: str, times_ns: list[int]) -> Truth:
    """Collect poses from TF, at the times of the images; those without a transform are left out.

    Raises:
        ValueError: there is none at any time; the message says why for the first.
    """
    poses, failures = [], []
    for time_ns in times_ns:
        try:
            poses.append((time_ns, transforms.lookup(parent, child, time_ns)))
        except TransformError as error:
            failures.append(str(error))
    if not poses:
        raise ValueError(f"no poses {parent} <- {child}: {failures[0] if failures else 'no images'}")
    return Truth(poses, parent)
