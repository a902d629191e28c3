"""Explain why no image comes: who publishes what, as far as this node can see."""

from __future__ import annotations

from rclpy.node import Node

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


def explain_missing_images(node: Node, *topics: str) -> str:
    """Return what is known of topics on which no image comes, and where there are images of others."""
    if count := sum(map(node.count_publishers, topics)):
        return f"{count} {'publishes' if count == 1 else 'publish'} it, and no image came through"
    own = node.get_fully_qualified_name() + "/"
    others = [
        name
        for name, types in sorted(node.get_topic_names_and_types())
        if set(types) & set(IMAGE_TYPES) and not name.startswith(own) and node.count_publishers(name)
    ]
    return f"nobody publishes it; there are images on {', '.join(others)}" if others else "nobody publishes images"
