"""Open a node's publishers, subscriptions and services and close them together; define their QoS profiles."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from deviloc_ros.ros.bounded_counter import shorten
from deviloc_ros.ros.conversions import message_from_serialized


class Endpoints:
    """Open publishers, subscriptions and services that are destroyed when a stack unwinds.

    incompatible_qos: description of QoS that does not match, by topic; filled by the middleware's events.
    """

    def __init__(self, node: LifecycleNode, until: ExitStack, incompatible_qos: dict[str, str]) -> None:
        self._node = node
        self._until = until
        self._incompatible_qos = incompatible_qos

    def open_publisher(self, kind: type, topic: str, qos: QoSProfile) -> Any:
        """Open a lifecycle publisher, which is silent until the node is active."""
        events = PublisherEventCallbacks(incompatible_qos=self._noting(f"a subscriber of {topic} asks for"))
        with name_topic_in_errors(topic):
            publisher: Any = self._node.create_lifecycle_publisher(
                kind, topic, qos, event_callbacks=events, qos_overriding_options=overridable_qos()
            )
        self._until.callback(self._node.destroy_lifecycle_publisher, publisher)
        return publisher

    def open_on_demand(self, kind: type, topic: str, qos: QoSProfile, send: Callable[[], None]) -> Any:
        """Open a publisher that calls `send` when someone subscribes, in any lifecycle state."""

        def on_matched(event: Any) -> None:
            if event.current_count_change > 0:
                send()

        events = PublisherEventCallbacks(matched=on_matched)
        publisher: Any = self._node.create_publisher(kind, topic, qos, event_callbacks=events)
        self._until.callback(self._node.destroy_publisher, publisher)
        return publisher

    def open_service(self, kind: type, name: str, callback: Callable, **options: Any) -> None:
        """Open a service."""
        self._until.callback(self._node.destroy_service, self._node.create_service(kind, name, callback, **options))

    def subscribe(self, kind: type, topic: str, callback: Callable, qos: QoSProfile) -> None:
        """Listen to a topic."""
        self.subscribe_raw(kind, topic, deserialize_for(callback, kind), qos)

    def subscribe_raw(self, kind: type, topic: str, callback: Callable[[bytes], None], qos: QoSProfile) -> None:
        """Listen to the serialized messages of a topic."""
        events = SubscriptionEventCallbacks(incompatible_qos=self._noting(f"a publisher of {topic} offers"))
        with name_topic_in_errors(topic):
            subscription = self._node.create_subscription(
                kind, topic, callback, qos, event_callbacks=events, qos_overriding_options=overridable_qos(), raw=True
            )
        self._until.callback(self._node.destroy_subscription, subscription)

    def _noting(self, who: str) -> Callable[[Any], None]:
        def on_incompatible_qos(event: Any) -> None:
            policy = str(event.last_policy_kind).rsplit(".", 1)[-1]
            self._incompatible_qos[who] = f"{who} incompatible QoS ({policy})"
            self._node.get_logger().warning(self._incompatible_qos[who])

        return on_incompatible_qos


@contextmanager
def name_topic_in_errors(topic: str) -> Iterator[None]:
    """Turn what ROS says of a topic that cannot be opened into a ValueError that names it."""
    try:
        yield
    except Exception as error:  # InvalidTopicNameException, RCLError, and what else a middleware has
        raise ValueError(f"topic {shorten(topic)!r}: {clean_rcl_message(error)}") from error


def clean_rcl_message(error: Exception) -> str:
    """Return what rcl says is wrong as one line, without the places in its source code."""
    said = " ".join(re.sub(r", at \S+\.c(pp)?:\d+", "", str(error)).split())
    return f"unknown after --ros-args: {said}" if type(error).__name__ == "UnknownROSArgsError" else said


def deserialize_for(callback: Callable[[Any], None], kind: type) -> Callable[[bytes], None]:
    """Return a callback for a raw subscription that deserializes messages safely; rclpy's own way may crash.

    The returned callback raises ValueError for bytes that are not such a message.
    """

    def take(serialized: bytes) -> None:
        callback(message_from_serialized(serialized, kind))

    return take


def newest_only_qos() -> QoSProfile:
    """Return a profile that matches reliable and best-effort publishers and never lags behind."""
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def latched_qos(depth: int = 1) -> QoSProfile:
    """Return a profile with which late subscribers get the last messages."""
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def overridable_qos() -> QoSOverridingOptions:
    """Let users set `qos_overrides.<topic>...` parameters."""
    return QoSOverridingOptions.with_default_policies()
