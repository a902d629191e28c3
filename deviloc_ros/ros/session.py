"""Hold what lives from configure to cleanup: images come in, poses, transforms and diagnostics go out.

Callbacks only pass messages on, so that one single-threaded executor keeps up. The newest image goes to a worker, which
drops older ones: one of its threads decodes and extracts features, the other localizes. Only these two wait for
transforms.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import NavSatFix
from std_msgs.msg import String

from deviloc_ros.io.plain_files import expand_home
from deviloc_ros.localizer import Localizer
from deviloc_ros.messages.gnss import GnssRefused, read_gnss
from deviloc_ros.ros.control import Control
from deviloc_ros.ros.diagnostics import (
    Health,
    Rates,
    Tally,
    camera_values,
    describe_shortcoming,
    gnss_values,
    gpu_values,
    image_status_msg,
    localizer_values,
    tally_values,
)
from deviloc_ros.ros.endpoints import Endpoints, latched_qos, newest_only_qos
from deviloc_ros.ros.image_decoder import ImageDecoder
from deviloc_ros.ros.image_intake import ImageIntake
from deviloc_ros.ros.parameters import Parameters, get_given
from deviloc_ros.ros.pipeline import Pipeline, ReadImages
from deviloc_ros.ros.poses import PosePublisher
from deviloc_ros.ros.saved_pose import PoseKeeper
from deviloc_ros.ros.transforms import LOG_EVERY_S, Transforms
from deviloc_ros.ros.visualization import Visualization
from deviloc_ros.ros.waiting_calls import WaitingCalls
from deviloc_ros.ros.worker import Repeater, ThreadState, Worker, describe_failure
from deviloc_ros.status import Status
from deviloc_ros.tracking.contributor import Contributor
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.gnss import GnssBuffer
from deviloc_ros.tracking.grouping import Group
from deviloc_ros.tracking.step import Step, group_not_tried

LEAST_REST_S = 0.01  # between checks for images that have waited too long for those of other cameras


class Session:
    """Run the configured node: endpoints exist from construction to `close`, and it localizes from `start` to `stop`.

    report: called, from any thread, when the status of an image differs from that of the one before.
    """

    def __init__(
        self,
        node: LifecycleNode,
        localizers: Sequence[Localizer],
        parameters: Parameters,
        report: Callable[[], None],
    ) -> None:
        self._node = node
        self._log = node.get_logger()
        self._parameters = parameters
        self._report = report
        self._tally = Tally()
        self._rates = Rates(parameters.node.diagnostics_period_s, time.monotonic())
        self._step: Step | None = None  # of the last image
        self._last_taken_s = -float("inf")
        self._broadcast_ns = -1
        self._pose_awaits_clock = True
        self.about = localizer_values(localizers[0])
        self._device = localizers[0].matcher.device
        self._gnss = GnssBuffer(parameters.gnss)
        self._triggers = WaitingCalls(node)
        self._running = ExitStack()
        self._keeper = PoseKeeper(parameters.node.save_pose_path, self._log)
        with ExitStack() as opened:  # closes all if a step fails
            self._open_pipeline(opened, localizers)
            self._open_endpoints(opened, localizers[0])
            self._opened = opened.pop_all()

    def _open_pipeline(self, opened: ExitStack, localizers: Sequence[Localizer]) -> None:
        """Open transforms, follower and pipeline."""
        node, parameters = self._node, self._parameters
        self._transforms = Transforms(node, parameters.node)
        opened.callback(self._transforms.close)
        self._threads: list[Callable[[], ThreadState]] = [self._transforms.state]
        decoder = ImageDecoder(self._log)
        opened.callback(decoder.close)
        self._follower = Follower(
            localizers,
            parameters.tracking,
            is_planar=parameters.node.two_d_mode,
            rig=parameters.rig,
            contributor=open_contributor(parameters),
            gnss=self._gnss,
        )
        opened.callback(self._follower.release)
        self.map_ids = self._follower.map_ids
        self._pipeline = Pipeline(self._follower, self._transforms, parameters, self._now_ns, decoder.pixels)
        self._intake = ImageIntake(node, self._pipeline, parameters, self._tally, self._hand_over)

    def _open_endpoints(self, opened: ExitStack, localizer: Localizer) -> None:
        """Open publishers and services; the visualization begins with this localizer's map."""
        node, parameters = self._node, self._parameters
        endpoints = Endpoints(node, opened, self._intake.incompatible_qos)
        self._poses = PosePublisher(endpoints, self._transforms, parameters.node)
        self._status = endpoints.open_publisher(DiagnosticStatus, "~/status", QoSProfile(depth=50))
        self._map_name = endpoints.open_publisher(String, "~/map_name", latched_qos())
        self._visualization = Visualization(node, endpoints, localizer.map, parameters.node.map_frame)
        self._shown = localizer
        self._control = Control(node, endpoints, self._follower, self._transforms, parameters, self.reset_tracking)

    def start(self) -> None:
        """Listen to images and broadcast the transform."""
        config = self._parameters.node
        self._say_map_name()
        with ExitStack() as running:
            endpoints = Endpoints(self._node, running, self._intake.incompatible_qos)
            running.callback(self._save_pose)
            self._worker: Worker[Group[bytes], ReadImages] = Worker(
                self._pipeline.read, self._on_images, self._on_worker_error
            )
            running.callback(self._worker.join)
            self._threads = [*self._worker.states, self._transforms.state]
            self._intake.listen(endpoints, self._parameters)
            if config.gnss_topic:
                endpoints.subscribe(NavSatFix, config.gnss_topic, self._on_gnss, newest_only_qos())
            if len(self._parameters.cameras) > 1:
                period_s = max(self._parameters.rig.window_s / 2, LEAST_REST_S)
                self._repeat(running, "rig", period_s, self._intake.hand_over_overdue)
            if config.tf_mode == "map_to_odom":
                period_s = 1 / config.tf_publish_rate_hz
                self._repeat(running, "broadcast", period_s, self._broadcast_map_from_odom)
            if config.save_pose_path and config.save_pose_rate > 0:
                self._repeat(running, "save_pose", 1 / config.save_pose_rate, self._save_pose)
            self._running = running.pop_all()
        self._say_topics()

    def _say_topics(self) -> None:
        """Log the topics and frames of input and output, so that a wrong name is noticed early."""
        config, resolve = self._parameters.node, self._node.resolve_topic_name
        odometry = f", odometry {config.odom_frame} -> {config.base_frame} on TF" if config.uses_odometry else ""
        transforms = {"map_to_odom": config.odom_frame, "map_to_base": config.base_frame}
        child = transforms.get(config.tf_mode)
        gives = f"{config.base_frame} in {config.map_frame} on {resolve('~/pose')}"
        self._log.info(f"listening: {self._intake.describe_topics()}{odometry}")
        self._log.info(f"giving: {gives}" + (f", {config.map_frame} -> {child} on TF" if child else ", no transform"))
        if unused := [name for name in get_given(self._node) if not self._node.has_parameter(name)]:
            self._log.warning(f"of no topic, or no policy that can be set: {', '.join(sorted(unused))}")

    def _repeat(self, running: ExitStack, name: str, period_s: float, call: Callable[[], None]) -> None:
        repeater = Repeater(name, period_s, call, self._on_repeated_error)
        running.callback(repeater.join)
        self._threads.append(repeater.state)

    def stop(self) -> None:
        """Stop listening, and wait for the image that is being processed."""
        self._threads = [self._transforms.state]  # threads that end now are not to be reported as dead
        self._running.close()
        self._triggers.answer("the node was stopped")

    def close(self) -> None:
        """Stop, and close everything."""
        self.stop()
        self._opened.close()

    def apply(self, parameters: Parameters) -> None:
        """Apply new values of the live parameters."""
        self._parameters = self._control.parameters = self._pipeline.parameters = parameters
        self._follower.configure(parameters.localizer, parameters.tracking, is_planar=parameters.node.two_d_mode)

    def take_maps(self, localizers: Sequence[Localizer]) -> None:
        """Replace the maps; listening continues."""
        self._follower.use_maps(localizers)
        self.map_ids = self._follower.map_ids
        self._show_map(localizers[0])

    def describe_maps(self) -> list[dict[str, str]]:
        """Return a description of each map with its network."""
        return [localizer_values(localizer) for localizer in self._follower.localizers]

    def _show_map(self, localizer: Localizer) -> None:
        """Show another map as the one that poses are in from now on."""
        self._shown, self.about = localizer, localizer_values(localizer)
        self._poses.forget()
        self._visualization.show_map(localizer.map)
        self._say_map_name()

    def _say_map_name(self) -> None:
        """Publish the name of the map that the robot is in, if it is known."""
        if name := self._follower.map_name:
            self._map_name.publish(String(data=name))

    async def trigger(self) -> str:
        """Wait until a pose is published; return an empty string, or why none was published in time."""
        limit_s, asked_s = self._parameters.node.trigger_timeout_s, time.monotonic()
        return await self._triggers.wait(limit_s, lambda: f"not localized in time: {self._explain_no_pose(asked_s)}")

    def reset_tracking(self, why: str) -> None:
        """Forget where the robot was: the next image searches the whole map."""
        self._follower.forget()
        self._poses.forget()
        self._log.info(f"tracking starts anew: {why}")

    def health(self, phase: str) -> Health:
        """Return the state of the node for /diagnostics."""
        now_ns, now_s, config = self._now_ns(), time.monotonic(), self._parameters.node
        state, last = self._follower.state(now_ns), self._follower.last_fix
        listens = phase == "active"
        return Health(
            phase=phase,
            threads=tuple(state() for state in self._threads),
            enabled=self._control.enabled,
            continuous=config.continuous,
            rests=self._is_resting(self._parameters.tracking.coasting_after_s),
            state=state,
            step=self._step,
            last_fix_age_s=None if last is None else (now_ns - last.stamp_ns) * 1e-9,
            silent_s=self._intake.measure_silence_s(now_s),
            image_topic=", ".join(self._intake.topics.values()) if listens else "",
            missing_images=self._intake.explain_silence(now_s) if listens else "",
            incompatible_qos=tuple(self._intake.incompatible_qos.values()),
            calibration_complaint=self._follower.calibration_complaint,
            complaints=self._list_complaints(now_s) if listens else (),
            missing_odometry=config.uses_odometry and last is not None and last.odometry is None,
            values=self.about
            | gpu_values(self._device)
            | tally_values(self._tally, self._rates, now_s)
            | camera_values(self._intake.tallies, now_s)
            | (gnss_values(self._gnss) if config.gnss_topic else {})
            | ({"contributed": kept} if (kept := self._follower.contributed) else {})
            | self._list_failures(),
        )

    def _list_failures(self) -> dict[str, str]:
        """Return how often transforms and masks did not arrive in time, or were refused."""
        failures = {f"tf_failures.{name}": str(count) for name, count in dict(self._transforms.failures).items()}
        failures |= {
            "masks_missing" if not name else f"camera.{name}.masks_missing": str(book.missing)
            for name, book in self._pipeline.masks.items()
            if book.missing
        }
        return failures | {f"tf_refused.{name}": str(count) for name, count in self._transforms.refused.items()}

    def _list_complaints(self, now_s: float) -> tuple[str, ...]:
        """Return what is wrong with cameras of a rig while others work, with what is kept, or with a receiver."""
        of_others = self._follower.contribution_problem, self._follower.gnss_complaint, self._keeper.problem
        return (
            *self._intake.list_silent_cameras(now_s),
            *self._intake.list_apart_cameras(now_s),
            *(f"camera {name}: {what}" for name, what in self._follower.camera_complaints.items()),
            *filter(None, of_others),
        )

    # ---- callbacks of the executor

    def _hand_over(self, group: Group[bytes]) -> None:
        """Give the images of one time to the worker, or report why they are not localized."""
        drop = self._refuse_images()
        if drop is None:
            self._last_taken_s = time.monotonic()
            replaced = self._worker.hand_over(group)
            if replaced is None:
                return
            drop, group = Status.REPLACED, replaced
        self._tally.dropped[drop] += len(group)
        self._publish_status(group_not_tried(group, drop))

    def _refuse_images(self) -> Status | None:
        """Return why images that arrive now are not localized; None if they are."""
        config = self._parameters.node
        if not self._control.enabled:
            return Status.DISABLED
        if self._triggers:
            return None
        if not config.continuous:
            return Status.NOT_ASKED
        return Status.RATE_LIMITED if self._is_resting(0.0) else None

    def _is_resting(self, slack_s: float) -> bool:
        """Return whether max_rate_hz blocks images now, or did so up to `slack_s` ago."""
        max_rate_hz = self._parameters.node.max_rate_hz
        return max_rate_hz > 0 and time.monotonic() - self._last_taken_s < 1 / max_rate_hz + slack_s

    def _on_gnss(self, msg: NavSatFix) -> None:
        try:
            self._gnss.note(read_gnss(msg, self._parameters.gnss))
        except GnssRefused as why:
            self._gnss.refuse(str(why))

    def _broadcast_map_from_odom(self) -> None:
        """Broadcast map->odom by the last fix again, until that is too old."""
        now_ns, config = self._now_ns(), self._parameters.node
        if now_ns == self._broadcast_ns:  # simulated time stands still
            return
        self._broadcast_ns = now_ns
        map_from_odom = self._follower.map_from_odom(now_ns) if self._control.enabled else None
        if map_from_odom is not None:
            stamp = now_ns + int(config.transform_tolerance * 1e9)
            self._transforms.broadcast(map_from_odom, config.odom_frame, stamp)

    # ---- threads of the repeaters

    def _on_repeated_error(self, error: BaseException) -> None:
        if self._node.context.ok():
            self._log.error("".join(traceback.format_exception(error)), throttle_duration_sec=LOG_EVERY_S)

    # ---- threads of the worker: the one that localizes, and for errors also the one that reads

    def _on_images(self, images: ReadImages) -> None:
        """Localize the images of one time; publish the pose at the newest's stamp, or report why there is none."""
        if self._pose_awaits_clock and self._now_ns() > 0:  # simulated time starts with the first /clock
            self._pose_awaits_clock = False
            self._remember_pose()
        step = self._pipeline.follow(images)
        if step.fix is not None and self._follower.localizer is not self._shown:
            self._log.info(f"the robot is in map {self._follower.map_name}")
            self._show_map(self._follower.localizer)
        elif step.fix is not None and not self._tally.published:
            self._say_map_name()
        self._tally.processed += len(images.group)
        if not step.status.tried:
            self._tally.dropped[step.status] += len(images.group)
        if step.fix is not None and self._control.enabled:
            self._poses.publish(step.fix)
            self._tally.published += 1
            self._triggers.answer("")
        self._note(step)
        if images.pixels:
            self._visualization.show_query(images.pixels, step.evidence, step.stamp_ns)

    def _note(self, step: Step) -> None:
        before, self._step = self._step, step
        self._publish_status(step)
        if before is None or before.status is not step.status:
            self._report()

    def _publish_status(self, step: Step) -> None:
        """Publish the status of an image if someone subscribes; from any thread."""
        if self._status.get_subscription_count():
            self._status.publish(image_status_msg(self._node.get_name(), step))

    def _explain_no_pose(self, since_s: float) -> str:
        """Return what kept the node from publishing a pose since a (monotonic) time."""
        if not self._control.enabled:
            return "disabled by ~/enable"
        if (self._tally.last_received_s or since_s) <= since_s:
            return f"no image on {', '.join(self._intake.topics.values())}"
        return describe_shortcoming(self._step)

    def _on_worker_error(self, group: Group[bytes], error: BaseException) -> None:
        if not self._node.context.ok():
            return  # shut down while an image was processed: nothing can be published any more
        self._tally.dropped[Status.INTERNAL_ERROR] += len(group)
        self._log.error("".join(traceback.format_exception(error)), throttle_duration_sec=LOG_EVERY_S)
        self._note(Step(group[-1].stamp_ns, Status.INTERNAL_ERROR, describe_failure(error)))

    # ---- the pose that is kept over a restart

    def _remember_pose(self) -> None:
        """Take the saved pose as a hint, unless something newer is known."""
        self._follower.hint_if_untouched(lambda: self._keeper.load(self.map_ids, self._now_ns()))

    def _save_pose(self) -> None:
        self._keeper.save(self._follower.localizer.map.identity, self._follower.last_fix)

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds


def open_contributor(parameters: Parameters) -> Contributor | None:
    """Return the contributor if `contribute_path` is set. Raises ValueError if its folder cannot be written."""
    path = parameters.node.contribute_path
    return Contributor(expand_home(path), parameters.contribute) if path else None
