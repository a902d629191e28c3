"""Fills a buffer from /tf and /tf_static."""

from threading import Thread

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from tf2_ros.buffer import Buffer

DYNAMIC_QOS = QoSProfile(depth=100, history=HistoryPolicy.KEEP_LAST)
STATIC_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL, history=HistoryPolicy.KEEP_LAST)
AUTHORITY = "default_authority"  # who sent a transform is not known here


class TransformListener:
    """Subscribes to /tf and /tf_static and puts all of it into a buffer.

    With `spin_thread` the node itself is spun in a thread of the listener: only for nodes that nobody else spins.
    """

    def __init__(
        self,
        buffer: Buffer,
        node: Node,
        *,
        spin_thread: bool = False,
        qos: QoSProfile | int | None = None,
        static_qos: QoSProfile | int | None = None,
    ):
        self.buffer = buffer
        self.node = node
        # Reentrant, so that a callback waiting for a transform under a multi-threaded executor does get it.
        self.group = ReentrantCallbackGroup()
        self.tf_sub = node.create_subscription(
            TFMessage, "/tf", self._on_tf, qos if qos is not None else DYNAMIC_QOS, callback_group=self.group
        )
        self.tf_static_sub = node.create_subscription(
            TFMessage,
            "/tf_static",
            self._on_tf_static,
            static_qos if static_qos is not None else STATIC_QOS,
            callback_group=self.group,
        )
        self.executor: SingleThreadedExecutor | None = None
        if spin_thread:
            self.executor = SingleThreadedExecutor(context=node.context)
            self.executor.add_node(node)
            self.dedicated_listener_thread = Thread(target=self._spin, daemon=True)
            self.dedicated_listener_thread.start()

    def unregister(self) -> None:
        """Stop listening."""
        if self.executor is not None:
            self.executor.shutdown()
            self.dedicated_listener_thread.join()
            self.executor = None
        self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)

    def _spin(self) -> None:
        try:
            self.executor.spin()
        except ExternalShutdownException:
            return

    def _on_tf(self, msg: TFMessage) -> None:
        for transform in msg.transforms:
            self.buffer.set_transform(transform, AUTHORITY)

    def _on_tf_static(self, msg: TFMessage) -> None:
        for transform in msg.transforms:
            self.buffer.set_transform_static(transform, AUTHORITY)
