"""Run the lifecycle node `deviloc`: its states and parameters. `session.py` does the work while it is configured."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import LoggingSeverity
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from deviloc_ros.localizer import Localizer, warm_up
from deviloc_ros.ros.diagnostics import SILENT_AFTER_S, Health, diagnostics_msg, judge_health
from deviloc_ros.ros.endpoints import clean_rcl_message
from deviloc_ros.ros.optional_interfaces import LoadMap
from deviloc_ros.ros.parameters import Parameters, all_parameters, change_parameters, declare_parameters
from deviloc_ros.ros.pipeline import open_localizers
from deviloc_ros.ros.session import Session
from deviloc_ros.ros.signals import are_taken, call_on_signal, take_signals
from deviloc_ros.ros.spinning_thread import EnduringExecutor
from deviloc_ros.ros.transforms import LOG_EVERY_S

COMPLAINT_EVERY_S = 10.0  # in the log; /diagnostics has the complaint every second
MAX_CALLS = 2000  # service calls that may arrive at once and are all answered
OpenLocalizers = Callable[[Parameters], Sequence[Localizer]]


def fail_aloud(method: Callable[[DevilocNode], None]) -> Callable:
    """Log what a lifecycle transition raises and let it fail; rclpy would drop the exception silently."""

    @functools.wraps(method)
    def callback(self: DevilocNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            method(self)
        except Exception as error:
            if not self.context.ok():  # a signal came meanwhile
                return TransitionCallbackReturn.FAILURE
            self.get_logger().error(f"{method.__name__} failed: {error}")
            self.get_logger().debug(traceback.format_exc())
            return TransitionCallbackReturn.FAILURE
        return getattr(LifecycleNode, method.__name__)(self, state)  # switches the lifecycle publishers

    return callback


def warm_up_all(localizers: Sequence[Localizer]) -> Sequence[Localizer]:
    """Warm up each localizer, so that the first image takes no longer than others; return them."""
    for localizer in localizers:
        warm_up(localizer)
    return localizers


class DevilocNode(LifecycleNode):
    """Localize a robot in a map.

    Raises:
        ValueError: a parameter that it was started with is unknown or has an invalid value; the message names it.
    """

    def __init__(self, open_maps: OpenLocalizers = open_localizers, **node_options) -> None:
        super().__init__("deviloc", **node_options)
        self._open_maps = open_maps
        self._phase = "unconfigured"
        self._complained = False
        self._session: Session | None = None
        self._next: Sequence[Localizer] | None = None  # of a new map_path, between its check and its use
        self._values = declare_parameters(self)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Steady time, so that a paused recording does not silence the diagnostics.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._report_timer = self.create_timer(self._values.node.diagnostics_period_s, self._report, clock=steady)
        # The service outlives sessions: a call that waits while one ends must still be answered. It has a group of its
        # own, since images must arrive while its answer waits for one.
        group = ReentrantCallbackGroup()
        # A call that does not fit in the queue would never be answered.
        qos = QoSProfile(depth=MAX_CALLS)
        self.create_service(Trigger, "~/trigger_localization", self._on_trigger, qos_profile=qos, callback_group=group)
        if LoadMap:
            self.create_service(LoadMap, "~/load_map", self._on_load_map)
        back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jump_handle = self.get_clock().create_jump_callback(back, post_callback=self._on_time_jump)

    def start(self) -> bool:
        """Configure and activate if `autostart` is set; return False if that failed."""
        if not self._values.node.autostart:
            return True
        success = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == success and self.trigger_activate() == success

    def report_failure(self, error: BaseException) -> None:
        """Log an exception that a callback raised."""
        self.get_logger().error("".join(traceback.format_exception(error)), throttle_duration_sec=LOG_EVERY_S)

    def close(self) -> None:
        """Close the session, in any state."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    @fail_aloud
    def on_configure(self) -> None:
        """Load map and network; open all but what listens to images."""
        self._report_timer.timer_period_ns = round(self._values.node.diagnostics_period_s * 1e9)
        self._report_timer.reset()
        self._session = Session(self, warm_up_all(self._open_maps(self._values)), self._values, self._report)
        self._phase = "inactive"
        self._say_map()

    @fail_aloud
    def on_activate(self) -> None:
        """Listen to images."""
        assert self._session is not None
        self._session.start()
        self._phase = "active"

    @fail_aloud
    def on_deactivate(self) -> None:
        """Stop listening; the map stays loaded."""
        assert self._session is not None
        self._session.stop()
        self._phase = "inactive"

    @fail_aloud
    def on_cleanup(self) -> None:
        """Free map and network."""
        self.close()
        self._phase = "unconfigured"

    @fail_aloud
    def on_shutdown(self) -> None:
        """Free all, from any state."""
        self.close()
        self._phase = "finalized"

    def _report(self) -> None:
        session = self._session
        health = Health(self._phase) if session is None else session.health(self._phase)
        if isinstance(self.executor, EnduringExecutor):
            health = replace(health, threads=(self.executor.state(), *health.threads))
        health = replace(health, namesakes=self._count_namesakes())
        self._log_complaint(health)
        hardware_id = "none" if session is None else session.about["map_id"]
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostics_msg(f"{self.get_name()}: localization", health, hardware_id, stamp))

    def _log_complaint(self, health: Health) -> None:
        """Log at intervals what keeps an active node from localizing, and when that is over."""
        if health.step is None and health.silent_s <= SILENT_AFTER_S:
            return  # it has just begun
        level, message = judge_health(health)
        if health.phase == "active" and level != DiagnosticStatus.OK:
            self._complained = True
            self.get_logger().warning(message, throttle_duration_sec=COMPLAINT_EVERY_S)
        elif self._complained:
            self._complained = False
            self.get_logger().info(message)

    def _count_namesakes(self) -> int:
        """Return how many other nodes have this node's name, and so its topics and services."""
        own = (self.get_name(), self.get_namespace())
        return max(self.get_node_names_and_namespaces().count(own) - 1, 0)

    def _on_time_jump(self, jump: TimeJump) -> None:
        if self._session is not None:
            self._session.reset_tracking("the clock jumped back")

    def _check_parameters(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        """Accept values only if all of them together are valid now; `_apply_parameters` sets them.

        A new map is loaded here, beside the one in use, since only loading shows whether it can be. The caller waits.
        """
        known = {name: (is_live, value) for name, is_live, value in all_parameters(self._values)}
        wanted = {p.name: p.value for p in parameters if p.name in known}
        for name, value in wanted.items():
            is_live, current = known[name]
            if self._session is not None and not is_live and value != current:
                return SetParametersResult(reason=f"{name} can be changed only while the node is unconfigured")
        try:
            values = change_parameters(self._values, wanted)
            if self._session is not None and "map_path" in wanted:
                self._next = self._open_newer(values)
        except Exception as error:  # a file or a device can fail in any way; raised here, it would end the node
            self.get_logger().debug(traceback.format_exc())
            return SetParametersResult(reason=str(error) or type(error).__name__)
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: Sequence[Parameter]) -> None:
        known = {name for name, _, _ in all_parameters(self._values)}
        self._values = change_parameters(self._values, {p.name: p.value for p in parameters if p.name in known})
        if self._session is not None:
            self._session.apply(self._values)
            if self._next is not None:
                self._session.take_maps(self._next)
                self._next = None
                self._say_map()

    async def _on_trigger(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Answer when an image is localized, or with the reason why none was."""
        failure = f"the node is {self._phase}"
        if self._session is not None and self._phase == "active":
            failure = await self._session.trigger()
        response.success, response.message = not failure, failure or "localized"
        return response

    def _on_load_map(self, request: Any, response: Any) -> Any:
        """Set map_path, with nav2's service for loading maps; the response has no grid."""
        (result,) = self.set_parameters([Parameter("map_path", value=request.map_url.removeprefix("file://"))])
        if result.successful:
            response.result = response.RESULT_SUCCESS
        else:
            response.result = response.RESULT_INVALID_MAP_METADATA
            self.get_logger().error(f"map not loaded: {result.reason}")
        return response

    def _open_newer(self, values: Parameters) -> Sequence[Localizer] | None:
        """Return the localizers of the maps at map_path, or None if exactly these are in use."""
        assert self._session is not None
        localizers = self._open_maps(values)
        is_same_path = values.node.map_path == self._values.node.map_path
        if is_same_path and tuple(one.map.identity for one in localizers) == self._session.map_ids:
            return None
        return warm_up_all(localizers)

    def _say_map(self) -> None:
        assert self._session is not None
        for about in self._session.describe_maps():
            self.get_logger().info(
                f"map {about['map']}: {about['map_views']} views, {about['matcher']} on {about['device']}"
            )


def main(arguments: list[str] | None = None, open_maps: OpenLocalizers = open_localizers) -> int:
    """Run the node until it is stopped; return 1 if it could not start, else 0."""
    signals = SignalHandlerOptions.NO if are_taken() else SignalHandlerOptions.ALL
    try:
        rclpy.init(args=arguments, signal_handler_options=signals)
    except RuntimeError as error:  # invalid arguments between --ros-args and the next --
        rclpy.logging.get_logger("deviloc").fatal(clean_rcl_message(error))
        return 1
    call_on_signal(shut_down_quietly)
    node = None
    try:
        node = DevilocNode(open_maps)
        executor = EnduringExecutor("main", node.report_failure)
        executor.add_node(node)
        if node.start():
            executor.spin()
        elif rclpy.ok():
            return 1
    except KeyboardInterrupt:
        pass
    except ValueError as error:
        rclpy.logging.get_logger("deviloc").fatal(str(error))
        return 1
    except RuntimeError:  # RCLError, from a call in progress when a signal shut the context down
        if rclpy.ok():
            raise
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def shut_down_quietly() -> None:
    """Shut rclpy down without its error messages about a transition in progress, which then fails."""
    rclpy.logging.set_logger_level("", LoggingSeverity.FATAL)
    rclpy.try_shutdown()


if __name__ == "__main__":
    take_signals()
    sys.exit(main())
