"""Publishers of transforms."""

from collections.abc import Iterable

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

DYNAMIC_QOS = QoSProfile(depth=100, history=HistoryPolicy.KEEP_LAST)
# The one latched message holds all static transforms of its publisher, so late listeners miss none.
STATIC_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, history=HistoryPolicy.KEEP_LAST)


class TransformBroadcaster:
    """Sends moving transforms on /tf."""

    def __init__(self, node: Node, qos: QoSProfile | int | None = None):
        self.pub_tf = node.create_publisher(TFMessage, "/tf", qos if qos is not None else DYNAMIC_QOS)

    def sendTransform(self, transform: TransformStamped | Iterable[TransformStamped]) -> None:
        self.pub_tf.publish(TFMessage(transforms=as_list(transform)))


class StaticTransformBroadcaster:
    """Sends static transforms on /tf_static, latched; a child frame sent again replaces its older transform."""

    def __init__(self, node: Node, qos: QoSProfile | int | None = None):
        self.pub_tf = node.create_publisher(TFMessage, "/tf_static", qos if qos is not None else STATIC_QOS)
        self._by_child: dict[str, TransformStamped] = {}

    def sendTransform(self, transform: TransformStamped | Iterable[TransformStamped]) -> None:
        self._by_child |= {each.child_frame_id: each for each in as_list(transform)}
        self.pub_tf.publish(TFMessage(transforms=list(self._by_child.values())))


def as_list(transform: TransformStamped | Iterable[TransformStamped]) -> list[TransformStamped]:
    return [transform] if isinstance(transform, TransformStamped) else list(transform)
