"""Values of ROS messages. No ROS is imported: rclpy and rosbags give their fields the same names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pycolmap

from deviloc_ros.geometry import rigid_from_quaternion


def stamp_ns(message: Any) -> int:
    """Time of a message with a header [ns]."""
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def rigid_of_pose(message: Any) -> pycolmap.Rigid3d:
    """frame_from_body of a geometry_msgs/Pose. Raises ValueError: not finite, or not a rotation."""
    return rigid_of(message.position, message.orientation)


def rigid_of_transform(message: Any) -> pycolmap.Rigid3d:
    """parent_from_child of a geometry_msgs/Transform. Raises ValueError: not finite, or not a rotation."""
    return rigid_of(message.translation, message.rotation)


def rigid_of(translation: Any, rotation: Any) -> pycolmap.Rigid3d:
    """Of a Vector3 or Point, and a Quaternion. Raises ValueError: not finite, or not a rotation."""
    xyzw = (rotation.x, rotation.y, rotation.z, rotation.w)
    return rigid_from_quaternion(xyzw, (translation.x, translation.y, translation.z))


def rigid_of_text(text: str) -> pycolmap.Rigid3d:
    """`x y z qx qy qz qw`, as static_transform_publisher takes it.

    Raises:
        ValueError: not seven numbers, or not a transform.
    """
    try:
        x, y, z, qx, qy, qz, qw = map(float, text.split())
    except ValueError as error:
        raise ValueError(f"{text!r} is not seven numbers x y z qx qy qz qw") from error
    return rigid_of(SimpleNamespace(x=x, y=y, z=z), SimpleNamespace(x=qx, y=qy, z=qz, w=qw))
