"""The questions of a buffer, asked of a buffer in another process by the `LookupTransform` action."""

import threading

from geometry_msgs.msg import TransformStamped
from rclpy.action import ActionClient
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from tf2_msgs.action import LookupTransform
from tf2_msgs.msg import TF2Error

from tf2_ros.exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TimeoutException,
    TransformException,
)

RAISED = {
    TF2Error.LOOKUP_ERROR: LookupException,
    TF2Error.CONNECTIVITY_ERROR: ConnectivityException,
    TF2Error.EXTRAPOLATION_ERROR: ExtrapolationException,
    TF2Error.INVALID_ARGUMENT_ERROR: InvalidArgumentException,
    TF2Error.TIMEOUT_ERROR: TimeoutException,
}
PADDING = Duration(seconds=2.0)


class BufferClient:
    """Ask the buffer server whose action is `ns`.

    The node must be spun in another thread meanwhile. An answer is waited for as long as the server may wait for the
    transform, and `timeout_padding` more.
    """

    def __init__(
        self,
        node: Node,
        ns: str,
        *,
        check_frequency: float | None = None,
        timeout_padding: Duration = PADDING,
    ):
        self.node = node
        self.action_client = ActionClient(node, LookupTransform, ns)
        self.timeout_padding = timeout_padding

    def destroy(self) -> None:
        """Stop asking."""
        self.action_client.destroy()

    def lookup_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),  # noqa: B008
    ) -> TransformStamped:
        """`target_from_source` at a time, as the server's `Buffer.lookup_transform`.

        Raises:
            TransformException: what the server's buffer raises; TimeoutException if no server answers.
        """
        goal = LookupTransform.Goal(target_frame=target_frame, source_frame=source_frame)
        goal.source_time, goal.timeout = time.to_msg(), timeout.to_msg()
        return self._ask(goal, timeout)

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = Duration(),  # noqa: B008
    ) -> TransformStamped:
        """`target_from_source` between two times, as the server's `Buffer.lookup_transform_full`."""
        goal = LookupTransform.Goal(target_frame=target_frame, source_frame=source_frame, fixed_frame=fixed_frame)
        goal.target_time, goal.source_time, goal.timeout = target_time.to_msg(), source_time.to_msg(), timeout.to_msg()
        goal.advanced = True
        return self._ask(goal, timeout)

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),  # noqa: B008
    ) -> bool:
        """Whether `lookup_transform` would answer."""
        try:
            self.lookup_transform(target_frame, source_frame, time, timeout)
        except TransformException:
            return False
        return True

    def _ask(self, goal: LookupTransform.Goal, timeout: Duration) -> TransformStamped:
        if not self.action_client.server_is_ready():
            raise TimeoutException("The LookupTransform action server is not available")
        limit_s = (timeout.nanoseconds + self.timeout_padding.nanoseconds) * 1e-9
        handle = wait_for(self.action_client.send_goal_async(goal), limit_s)
        if not handle.accepted:
            raise TimeoutException("The LookupTransform goal was not accepted")
        result = wait_for(handle.get_result_async(), limit_s).result
        if result.error.error != TF2Error.NO_ERROR:
            raise RAISED.get(result.error.error, TransformException)(result.error.error_string)
        return result.transform


def wait_for(future: Future, limit_s: float):
    """Return what a future comes to; raise TimeoutException if that takes longer."""
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    if not done.wait(limit_s):
        raise TimeoutException("The LookupTransform goal did not come back in time; is the server well?")
    return future.result()
