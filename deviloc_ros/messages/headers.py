"""Read stamps and transforms of ROS messages without importing ROS."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pycolmap

from deviloc_ros.geometry import rigid_from_quaternion


def stamp_ns(message: Any) -> int:
    """Return the time of a message with a header [ns]."""
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def rigid_from_pose(message: Any) -> pycolmap.Rigid3d:
    """Return frame_from_body of a geometry_msgs/Pose. Raises ValueError: not finite, or not a rotation."""
    return rigid_from_fields(message.position, message.orientation)


def rigid_from_transform(message: Any) -> pycolmap.Rigid3d:
    """Return parent_from_child of a geometry_msgs/Transform. Raises ValueError: not finite, or not a rotation."""
    return rigid_from_fields(message.translation, message.rotation)


def rigid_from_fields(translation: Any, rotation: Any) -> pycolmap.Rigid3d:
    """Build a transform from a Vector3 or Point and a Quaternion. Raises ValueError: not finite, or not a rotation."""
    xyzw = (rotation.x, rotation.y, rotation.z, rotation.w)
    return rigid_from_quaternion(xyzw, (translation.x, translation.y, translation.z))


def parse_rigid(text: str) -> pycolmap.Rigid3d:
    """Parse `x y z qx qy qz qw`, as static_transform_publisher takes it.

    Raises:
        ValueError: not seven numbers, or not a transform.
    """
    try:
        x, y, z, qx, qy, qz, qw = map(float, text.split())
    except ValueError as error:
        raise ValueError(f"{text!r} is not seven numbers x y z qx qy qz qw") from error
    return rigid_from_fields(SimpleNamespace(x=x, y=y, z=z), SimpleNamespace(x=qx, y=qy, z=qz, w=qw))
