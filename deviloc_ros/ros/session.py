"""What lives from configure to cleanup: the localizer and everything it talks through.

Callbacks only pass things on, so that one single-threaded executor keeps up. Images go to a worker thread, newest first
and only; it alone uses the localizer, and it alone waits for transforms.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pycolmap
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Path
from numpy.typing import NDArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import Empty, SetBool, Trigger

from deviloc_ros.localizer import Localizer
from deviloc_ros.ros.conversions import (
    covariance_from_msg,
    pose_stamped_msg,
    pose_with_covariance_msg,
    rigid_from_msg,
    stamp_ns,
)
from deviloc_ros.ros.diagnostics import Health, Rates, Tally, gpu_values, localizer_values, tally_values
from deviloc_ros.ros.endpoints import Endpoints, latched, newest_only
from deviloc_ros.ros.optional import SetInitialPose
from deviloc_ros.ros.parameters import Parameters
from deviloc_ros.ros.pipeline import Drop, Outcome, Pipeline
from deviloc_ros.ros.saved_pose import PoseKeeper
from deviloc_ros.ros.transforms import Missing, Transforms
from deviloc_ros.ros.visualization import Visualization
from deviloc_ros.ros.worker import Repeater, Worker
from deviloc_ros.tracking import Fix


class Session:
    """Open from construction to `close`, at work from `start` to `stop`.

    report: called when the last image's result differs in kind from the one before, from any thread.
    """

    def __init__(
        self, node: LifecycleNode, localizer: Localizer, parameters: Parameters, report: Callable[[], None]
    ) -> None:
        self._node = node
        self._log = node.get_logger()
        self._parameters = parameters
        self._report = report
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)  # runs on while simulated time stands still
        self._tally = Tally()
        self._rates = Rates(parameters.node.diagnostics_period, time.monotonic())
        self._incompatible_qos: dict[str, str] = {}
        self._enabled = True
        self._outcome: Outcome | None = None  # of the last image
        self._awaited: Future[str] | None = None  # done when an image is localized, or with the reason why none is
        self._last_taken_s = -float("inf")
        self._broadcast_ns = -1
        self._poses_so_far: deque[PoseStamped] = deque(maxlen=parameters.node.path_length)
        self._map_id = localizer.map.identity
        self.about = localizer_values(localizer)
        self._device = localizer.matcher.device
        self._running = ExitStack()
        self._keeper = PoseKeeper(parameters.node.save_pose_path, self._log)
        with ExitStack() as opened:  # closes all if a step fails
            endpoints = Endpoints(node, opened, self._incompatible_qos)
            self._transforms = Transforms(node, parameters.node)
            opened.callback(self._transforms.close)
            self._pipeline = Pipeline(localizer, self._transforms, parameters, self._now_ns, self._tally.dropped)
            opened.callback(self._pipeline.free)
            self._pose = endpoints.publisher(PoseWithCovarianceStamped, "~/pose", latched())
            self._pose_stamped = endpoints.publisher(PoseStamped, "~/pose_stamped", QoSProfile(depth=1))
            self._path = endpoints.publisher(Path, "~/path", QoSProfile(depth=1))
            self._visualization = Visualization(node, endpoints, localizer.map, parameters.node.map_frame)
            endpoints.subscribe(PoseWithCovarianceStamped, "initialpose", self._on_initial_pose, QoSProfile(depth=1))
            # A group of its own: while its answer waits for an image, the images must still come in.
            group = ReentrantCallbackGroup()
            endpoints.service(Trigger, "~/trigger_localization", self._on_trigger, callback_group=group)
            endpoints.service(SetBool, "~/enable", self._on_enable)
            endpoints.service(Empty, "reinitialize_global_localization", self._on_reinitialize)
            if SetInitialPose:
                endpoints.service(SetInitialPose, "~/set_initial_pose", self._on_set_initial_pose)
            self._opened = opened.pop_all()

    def start(self) -> None:
        """Listen to images and broadcast the transform."""
        config = self._parameters.node
        self._tally.last_received_s = time.monotonic()
        self._remember_pose()
        with ExitStack() as running:
            endpoints = Endpoints(self._node, running, self._incompatible_qos)
            running.callback(self._save_pose)
            self._worker: Worker[bytes] = Worker(self._on_frame, self._on_worker_error)
            running.callback(self._worker.join)
            compressed = config.image_transport == "compressed"
            # Remapped first and the suffix added then, as image_transport does.
            topic = self._node.resolve_topic_name(config.image_topic) + ("/compressed" if compressed else "")
            # Raw, because deserializing an image in this thread would keep all other callbacks waiting.
            kind = CompressedImage if compressed else Image
            endpoints.subscribe(kind, topic, self._on_image, newest_only(), raw=True)
            endpoints.subscribe(CameraInfo, config.camera_info_topic, self._on_camera_info, newest_only())
            if config.tf_mode == "map_to_odom":
                period_s = 1 / config.tf_publish_rate
                running.callback(Repeater(period_s, self._broadcast_map_from_odom, self._on_repeated_error).join)
            if config.save_pose_path and config.save_pose_rate > 0:
                running.callback(Repeater(1 / config.save_pose_rate, self._save_pose, self._on_repeated_error).join)
            self._image_topic = topic
            self._running = running.pop_all()

    def stop(self) -> None:
        """Listen no more, and wait for the image in hand."""
        self._running.close()
        self._answer_trigger("the node was stopped")

    def close(self) -> None:
        """Stop, and let the localizer go."""
        self.stop()
        self._opened.close()

    def apply(self, parameters: Parameters) -> None:
        """Take new values of the live parameters."""
        self._parameters = parameters
        self._pipeline.apply(parameters)

    def take_map(self, localizer: Localizer) -> None:
        """Go on in another map. Images are awaited as before."""
        self._pipeline.take(localizer)
        self._map_id, self.about = localizer.map.identity, localizer_values(localizer)
        self._poses_so_far.clear()
        self._visualization.show_map(localizer.map)

    def reset_tracking(self, why: str) -> None:
        """Forget where the robot was: the next image searches the whole map."""
        with self._pipeline.tracker_lock:
            self._pipeline.tracker.reset()
        self._poses_so_far.clear()
        self._log.info(f"tracking starts anew: {why}")

    def health(self, phase: str) -> Health:
        """How things are, for /diagnostics."""
        now_ns, now_s, config = self._now_ns(), time.monotonic(), self._parameters.node
        with self._pipeline.tracker_lock:
            state, last = self._pipeline.tracker.state(now_ns), self._pipeline.tracker.last
        failures = {f"tf_failures.{name}": str(count) for name, count in dict(self._transforms.failures).items()}
        return Health(
            phase=phase,
            enabled=self._enabled,
            continuous=config.continuous,
            state=state,
            outcome=self._outcome,
            last_fix_age_s=None if last is None else (now_ns - last.stamp_ns) * 1e-9,
            silent_s=now_s - (self._tally.last_received_s or now_s),
            image_topic=self._image_topic if phase == "active" else "",
            incompatible_qos=tuple(self._incompatible_qos.values()),
            missing_odometry=config.uses_odometry and last is not None and last.odom_from_base is None,
            values=self.about | gpu_values(self._device) | tally_values(self._tally, self._rates, now_s) | failures,
        )

    # ---- callbacks of the executor

    def _on_image(self, serialized: bytes) -> None:
        self._tally.received += 1
        self._tally.last_received_s = time.monotonic()
        drop = self._unwanted()
        if drop is None:
            self._last_taken_s = time.monotonic()
            drop = Drop.REPLACED if self._worker.hand(serialized) else None
        if drop is not None:
            self._tally.dropped[drop] += 1

    def _unwanted(self) -> Drop | None:
        """Why an image that arrives now is not looked at."""
        config = self._parameters.node
        if not self._enabled:
            return Drop.DISABLED
        if self._awaited is not None:
            return None
        if not config.continuous:
            return Drop.NOT_ASKED
        if config.max_rate_hz > 0 and (time.monotonic() - self._last_taken_s) * config.max_rate_hz < 1:
            return Drop.RATE_LIMITED
        return None

    def _on_camera_info(self, msg: CameraInfo) -> None:
        if self._pipeline.cameras.note(msg):
            self._log.info(f"camera_info of {msg.header.frame_id!r}: {msg.width} x {msg.height} px")

    def _broadcast_map_from_odom(self) -> None:
        """Say again what the last fix said of the odometry: until it is too old, it holds."""
        now_ns, config = self._now_ns(), self._parameters.node
        if now_ns == self._broadcast_ns:  # simulated time stands still
            return
        self._broadcast_ns = now_ns
        with self._pipeline.tracker_lock:
            map_from_odom = self._pipeline.tracker.map_from_odom(now_ns) if self._enabled else None
        if map_from_odom is not None:
            stamp = now_ns + int(config.transform_tolerance * 1e9)
            self._transforms.broadcast(map_from_odom, config.odom_frame, stamp)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        response.success, response.message = True, "enabled" if request.data else "disabled"
        return response

    def _on_reinitialize(self, request: Empty.Request, response: Empty.Response) -> Empty.Response:
        self.reset_tracking("reinitialize_global_localization was called")
        return response

    async def _on_trigger(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Answer when an image is localized, or when time is up."""
        self._awaited = self._awaited or Future(executor=self._node.executor)
        limit_s = self._parameters.node.trigger_timeout
        timer = self._node.create_timer(limit_s, self._on_trigger_timeout, clock=self._steady_clock)
        failure = await self._awaited
        self._node.destroy_timer(timer)
        response.success, response.message = not failure, failure or "localized"
        return response

    def _on_trigger_timeout(self) -> None:
        last = self._outcome
        self._answer_trigger(f"not localized in time: {last.detail or last.reason if last else 'no image was tried'}")

    def _answer_trigger(self, failure: str = "") -> None:
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            awaited.set_result(failure)
            if self._node.executor is not None:
                self._node.executor.wake()

    def _on_initial_pose(self, msg: PoseWithCovarianceStamped) -> None:
        """Search near a pose that someone gave. It is not published: the first image that agrees with it is."""
        map_frame = self._parameters.node.map_frame
        try:
            if msg.header.frame_id.removeprefix("/") != map_frame:
                raise ValueError(f"its frame {msg.header.frame_id!r} is not {map_frame!r}")
            map_from_base, covariance = rigid_from_msg(msg.pose.pose), covariance_from_msg(msg)
        except ValueError as error:
            self._log.error(f"initialpose refused: {error}")
            return
        self._search_near(map_from_base, covariance, stamp_ns(msg.header.stamp) or self._now_ns())

    def _on_set_initial_pose(self, request: Any, response: Any) -> Any:
        """The same as a service; it has no word for no, so a refusal is in the log alone."""
        self._on_initial_pose(request.pose)
        return response

    def _search_near(self, map_from_base: pycolmap.Rigid3d, covariance: NDArray, time_ns: int) -> None:
        with self._pipeline.tracker_lock:
            self._pipeline.tracker.hint(Fix(time_ns, map_from_base, covariance, self._odometry_near(time_ns)))
        self._log.info(f"initialpose {map_from_base.translation.round(2).tolist()} m, waiting for an image that agrees")

    def _odometry_near(self, time_ns: int):
        """The odometry at a time, or the newest if that is not here yet, as for an initial pose given just now."""
        if not self._parameters.node.uses_odometry:
            return None
        found = self._transforms.odom_from_base(time_ns, 0.0)
        return self._transforms.latest_odom_from_base() if isinstance(found, Missing) else found

    # ---- threads of their own

    def _on_repeated_error(self, error: Exception) -> None:
        if self._node.context.ok():
            self._log.error("".join(traceback.format_exception(error)), throttle_duration_sec=5.0)

    # ---- the worker thread

    def _on_frame(self, serialized: bytes) -> None:
        """Localize one image; publish its pose at the image's own stamp, or report why there is none."""
        outcome = self._pipeline.process(serialized)
        self._tally.processed += 1
        if outcome.fix is not None and self._enabled:
            self._publish(outcome.fix)
            self._tally.published += 1
        self._note(outcome)
        if self._pipeline.pixels is not None:
            self._visualization.show_query(self._pipeline.pixels, outcome.evidence, outcome.stamp_ns)

    def _publish(self, fix: Fix) -> None:
        config = self._parameters.node
        self._pose.publish(pose_with_covariance_msg(fix.map_from_base, fix.covariance, fix.stamp_ns, config.map_frame))
        pose = pose_stamped_msg(fix.map_from_base, fix.stamp_ns, config.map_frame)
        self._pose_stamped.publish(pose)
        self._poses_so_far.append(pose)
        if self._path.get_subscription_count():
            self._path.publish(Path(header=pose.header, poses=list(self._poses_so_far)))
        if config.tf_mode == "map_to_base":
            # At its own time: moved into the future, the robot would be shown where it was.
            self._transforms.broadcast(fix.map_from_base, config.base_frame, fix.stamp_ns)

    def _note(self, outcome: Outcome) -> None:
        before, self._outcome = self._outcome, outcome
        if outcome.fix is not None:
            self._answer_trigger()
        if before is None or before.reason != outcome.reason:
            self._report()

    def _on_worker_error(self, error: Exception) -> None:
        if not self._node.context.ok():
            return  # shut down while an image was in hand: nothing can be published any more
        self._tally.dropped[Drop.INTERNAL_ERROR] += 1
        self._log.error("".join(traceback.format_exception(error)))
        self._note(Outcome(0, None, Drop.INTERNAL_ERROR.name.lower(), f"{type(error).__name__}: {error}"))

    # ---- the pose over a restart

    def _remember_pose(self) -> None:
        """Search first where the robot was when it was switched off, unless something newer is known."""
        with self._pipeline.tracker_lock:
            if self._pipeline.tracker.last is None and (saved := self._keeper.load(self._map_id, self._now_ns())):
                self._pipeline.tracker.hint(saved)

    def _save_pose(self) -> None:
        self._keeper.save(self._map_id, self._pipeline.tracker.last)

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds
