"""Follow a robot, image by image: from images to a pose that is believed, or the reason why none is.

No ROS and no clock of its own. The node converts messages, follows and publishes; the offline evaluation decodes,
follows and records. So both do the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pycolmap
import torch

from deviloc_ros.config import Config, RigConfig, TrackingConfig
from deviloc_ros.io.arguments import check_argument
from deviloc_ros.localizer import Localizer
from deviloc_ros.messages.gnss import GnssFix
from deviloc_ros.status import Status
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.tracking.camera_checks import CameraChecks
from deviloc_ros.tracking.contributor import Contributor
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.gnss import GnssBuffer, select_agreeing
from deviloc_ros.tracking.rig_images import OdometryAt, StampedImage, TakenTogether, take_together
from deviloc_ros.tracking.several_maps import Answer, MapsInUse, Search
from deviloc_ros.tracking.sighting import Sighting, attach_odometry, make_sighting
from deviloc_ros.tracking.step import (
    ReadGroup,
    Step,
    add_stages,
    explain_step,
    report_refused,
    step_not_tried,
)
from deviloc_ros.tracking.tracker import TrackingState
from deviloc_ros.types import (
    Area,
    CameraReport,
    Localized,
    Lost,
    Prior,
    Result,
    RigImage,
)


class Follower:
    """Follow one robot through a map, or through several such as floors, image by image.

    `follow` may be called from one thread at a time; everything else from any thread meanwhile. Therefore the lock,
    which guards the maps in use and their trackers, is never held while images are localized or odometry is awaited. A
    result only counts if no hint, reset or other map came since its search began, which the tracker's epoch tells.

    tracking: when a pose is believed. is_planar: the robot drives on the plane z = 0 of the map. rig: which images of
    several cameras are localized together. contributor: keeps images that the map could use; None: none are kept. gnss:
    positions of a satellite receiver.
    """

    def __init__(
        self,
        localizers: Localizer | Sequence[Localizer],
        tracking: TrackingConfig | None = None,
        *,
        is_planar: bool = False,
        rig: RigConfig | None = None,
        contributor: Contributor | None = None,
        gnss: GnssBuffer | None = None,
    ) -> None:
        self._tracking = tracking or TrackingConfig()
        self._maps = MapsInUse(as_sequence(localizers), self._tracking)
        self._is_planar = is_planar
        self._rig = rig or RigConfig()
        self._checks = CameraChecks()
        self._contributor = contributor
        self._gnss = gnss or GnssBuffer()
        self._lock = threading.Lock()

    # ---- one image, or those of a rig

    def look_ahead(self, images: Sequence[StampedImage], watch: Stopwatch) -> None:
        """Extract the features that `follow` will need first; any thread may do so while another follows."""
        localizer = self.localizer
        for image in images:
            localizer.look_ahead(image.pixels, image.camera, image.mask, image.name, image.extracted, watch)

    def follow_group(self, group: ReadGroup, odometry_at: OdometryAt, now_ns: int | Callable[[], int]) -> Step:
        """Follow with those images of a group that could be read; report the others with the reasons."""
        if group.images:
            step = self.follow(group.images, odometry_at, now_ns)
        else:
            step = step_not_tried(group.stamp_ns, group.refused[-1].why)
        cameras = (*step.evidence.cameras, *report_refused(group.refused))
        return replace(step, evidence=replace(step.evidence, cameras=cameras))

    def follow(self, images: Sequence[StampedImage], odometry_at: OdometryAt, now_ns: int | Callable[[], int]) -> Step:
        """Localize near where the robot should be, and decide whether to believe the result.

        Args:
            images: of the only camera, or one of each camera. The pose is that at the time of the newest.
            odometry_at: called with a time [ns] and a bool, returns the odometry at that time, None if unknown. With
                True it first waits for odometry that may still arrive. That is used only before images of different
                times are localized, and for a pose that was found without odometry.
            now_ns: the time of the decision, or a clock to read then.
        """
        for image in images:
            check_argument("images: an image", image, StampedImage)
        # 1. Bring the images to one time, and get the odometry at that time
        watch = Stopwatch()
        with watch.stage("odometry"):
            taken = take_together(images, odometry_at, self._rig, self._tracking)
        # 2. Localize in each map in which the robot may be
        with self._lock:
            maps, gnss = self._maps, self._gnss.find_near(taken.stamp_ns, self._tracking)
            searches = maps.plan(taken.stamp_ns, taken.odometry, taken.base_from_seen.inverse(), gnss)
        answers = self._drop_contradicted([self._ask(search, taken) for search in searches], gnss)
        # 3. Choose the map, and learn about the cameras for the next images
        with self._lock:
            answer, rivals = maps.choose(answers)
        result, sighting = answer.result, answer.sighting
        self._checks.add_images(taken.rig_images, result.evidence)
        with self._lock:
            maps.change_configs(self._checks.widen)
        stages_ms = (watch.stages_ms if len(images) > 1 else {}) | result.evidence.stages_ms
        step = Step(
            taken.stamp_ns, Status.ACCEPTED, "", None, result.evidence, answer.search.prior, stages_ms,
            camera=taken.camera,
        )  # fmt: skip
        if not sighting.found or rivals:
            with self._lock:
                maps.note_missed([a for a in answers if a.search.epoch == a.where.tracker.epoch])
            return explain_rivals(answer, rivals, step) if rivals else explain_step(result, step)
        # 4. Decide whether to believe it
        if taken.odometry is None:
            with watch.stage("odometry"):
                sighting = attach_odometry(sighting, odometry_at(taken.stamp_ns, True))
            step = add_stages(step, watch)
        map_name = answer.where.name if maps.are_several else ""
        step = replace(step, seen=self._checks.add_sighting(sighting), map_name=map_name)
        step = self._judge(step, answer, sighting, answers, now_ns() if callable(now_ns) else now_ns)
        if step.fix is None:
            return step
        georeference = answer.where.localizer.map.georeference if gnss else None
        self._gnss.compare(step.fix, gnss, georeference, self._tracking.max_mahalanobis)
        return self._contribute(step, answer, taken)

    def _ask(self, search: Search, taken: TakenTogether) -> Answer:
        """Localize the images in one map."""
        result = localize_images(search.where.localizer, taken, search.prior)
        return Answer(
            search,
            result,
            make_sighting(result, taken.base_from_seen, taken.odometry, taken.stamp_ns, is_planar=self._is_planar),
        )

    def _drop_contradicted(self, answers: list[Answer], gnss: GnssFix | None) -> list[Answer]:
        """Return answers without the places that contradict a GNSS position, unless it contradicts all of them."""
        if gnss is None:
            return answers
        sightings, places = zip(*((a.sighting, a.where.localizer.map.georeference) for a in answers), strict=True)
        agreeing = select_agreeing(sightings, gnss, places, self._tracking.max_mahalanobis)
        return [replace(answer, sighting=sighting) for answer, sighting in zip(answers, agreeing, strict=True)]

    def _contribute(self, step: Step, answer: Answer, taken: TakenTogether) -> Step:
        """Offer the images of a believed pose to the contributor; return the step with the time that took."""
        if self._contributor is None or not isinstance(answer.result, Localized):
            return step
        watch, localizer = Stopwatch(), answer.where.localizer
        with watch.stage("contribute"):
            self._contributor.offer(localizer.map, taken, answer.result, localizer.mask)
        return add_stages(step, watch)

    def _judge(self, step: Step, answer: Answer, sighting: Sighting, answers: Sequence[Answer], now_ns: int) -> Step:
        """Let the map's tracker judge, unless the map or the tracker's epoch changed during the search."""
        where, result, is_new = answer.where, answer.result, False
        with self._lock:
            if where not in self._maps.all:
                return replace(step, status=Status.MAP_CHANGED, detail=Status.MAP_CHANGED.sentence)
            if answer.search.epoch != where.tracker.epoch:
                return replace(step, status=Status.OUTDATED, detail=Status.OUTDATED.sentence)
            status, fix = where.tracker.judge(sighting, now_ns)
            detail = where.tracker.explain(status)
            self._maps.note_missed(answers, but=where)
            is_new = fix is not None and self._maps.enter(where)
        if is_new:
            self._checks.clear()  # they compare poses within one map
        if status is Status.UNCONFIRMED and (complaint := self.calibration_complaint):
            detail = f"{detail}; {complaint}"
        if status is Status.UNCONFIRMED and isinstance(result, Lost) and result.reason is not Status.AMBIGUOUS:
            return explain_step(result, step)
        return replace(step, status=status, detail=detail, fix=fix)

    # ---- state

    @property
    def localizer(self) -> Localizer:
        """Return the localizer of the map that the robot is in; of the first map if that is unknown."""
        return self._maps.shown.localizer

    @property
    def localizers(self) -> list[Localizer]:
        """Return the localizers of all maps."""
        return [where.localizer for where in self._maps.all]

    @property
    def map_name(self) -> str:
        """Return the name of the map that the robot is in, empty if that is unknown."""
        return self._maps.present.name if self._maps.present else ""

    @property
    def map_ids(self) -> tuple[str, ...]:
        """Return the identities of all maps."""
        return tuple(where.localizer.map.identity for where in self._maps.all)

    @property
    def calibration_complaint(self) -> str:
        """Return what many images show to be wrong with calibrations, stamps or mounting; empty if nothing."""
        return self._checks.calibration_complaint(self._maps.shown.config.pose)

    @property
    def camera_complaints(self) -> dict[str, str]:
        """Return what many images show to be wrong with cameras' mounts, by the camera's name; empty if nothing."""
        return self._checks.camera_complaints

    @property
    def contributed(self) -> str:
        """Return how much the contributor keeps, in words; empty without a contributor."""
        return self._contributor.summary if self._contributor else ""

    @property
    def contribution_problem(self) -> str:
        """Return why images for the map cannot be kept; empty if they can."""
        return self._contributor.problem if self._contributor else ""

    @property
    def gnss_complaint(self) -> str:
        """Say what is wrong with GNSS positions or georeferences; empty if nothing is, or no position came."""
        if self._gnss.taken and not any(localizer.map.georeference for localizer in self.localizers):
            return "the receiver's positions are of no use: no map is aligned to coordinates (map align --geographic)"
        return self._gnss.complaint

    @property
    def last_fix(self) -> Fix | None:
        """Return the last believed fix."""
        return self._maps.shown.tracker.last

    def state(self, now_ns: int) -> TrackingState:
        """Return the tracking state, given the age of the last believed fix."""
        with self._lock:
            return self._maps.shown.tracker.state(now_ns)

    def map_from_odom(self, now_ns: int) -> pycolmap.Rigid3d | None:
        """Return the correction of the odometry, None if there is none or it is too old."""
        with self._lock:
            return self._maps.shown.tracker.map_from_odom(now_ns)

    # ---- input from outside

    def hint(self, guess: Fix) -> None:
        """Search near a guess from now on. It is not a fix: the first image that agrees with it gives one.

        The guess is in the map that the robot is in; if that is unknown, it is tried in all maps.
        """
        with self._lock:
            self._maps.hint(guess)

    def hint_if_untouched(self, recall: Callable[[], tuple[str, Fix] | None]) -> None:
        """Take a saved pose, with its map's identity, as a hint, unless a fix, a hint or a reset came before."""
        with self._lock:
            untouched = all(where.tracker.epoch == 0 and where.tracker.last is None for where in self._maps.all)
            if untouched and (remembered := recall()) is not None:
                map_id, guess = remembered
                self._maps.hint(guess, map_id)

    def forget(self) -> None:
        """Forget where the robot was: the next image searches the whole map."""
        with self._lock:
            self._maps.forget()

    def use_maps(self, localizers: Localizer | Sequence[Localizer]) -> None:
        """Replace the maps; tracking starts anew, since poses in the old maps mean nothing in the new ones."""
        with self._lock:
            self._maps = MapsInUse(as_sequence(localizers), self._tracking)
            self._maps.forget()  # starts an epoch, so that `hint_if_untouched` takes no pose of the old map
        self._checks.clear()

    def release(self) -> None:
        """Let go of the localizers and free their GPU memory. The follower cannot be used afterwards."""
        del self._maps
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def configure(self, config: Config, tracking: TrackingConfig, *, is_planar: bool) -> None:
        """Take new parameters; an image that is being processed may still use some of the old ones."""
        self._maps.configure(config, tracking)
        self._tracking, self._is_planar = tracking, is_planar


def as_sequence(localizers: Localizer | Sequence[Localizer]) -> Sequence[Localizer]:
    """Return a sequence of localizers from one or several."""
    if isinstance(localizers, str | Path):
        raise TypeError(f"localizers: Localizer({str(localizers)!r}) opens a map")
    return localizers if isinstance(localizers, Sequence) else (localizers,)


def localize_images(localizer: Localizer, taken: TakenTogether, prior: Prior | Area | None) -> Result:
    """Localize the image of a single camera, or the rig of several.

    For a rig the evidence reports on each camera, including those that were left out, with its image's stamp.
    """
    if len(taken.rig_images) > 1:
        result = localizer.localize_rig(taken.rig_images, prior)
        cameras = result.evidence.cameras
    else:
        (image,) = taken.rig_images
        result = localizer.localize(
            image.pixels, image.camera, prior, mask=image.mask, name=image.name, extracted=image.extracted
        )
        cameras = (report_alone(image, result),) if image.name else ()
    stamps_ns = {image.name: image.stamp_ns for image in taken.images}
    dated = tuple(replace(report, stamp_ns=stamps_ns[report.name]) for report in (*cameras, *taken.left_out))
    return replace(result, evidence=replace(result.evidence, cameras=dated))


def report_alone(image: RigImage, result: Result) -> CameraReport:
    """Return the report on a rig's camera that is the only one with an image."""
    if isinstance(result, Localized):
        return CameraReport(image.name, Status.ACCEPTED, True, result.evidence.inliers, evidence=result.evidence)
    return CameraReport(image.name, result.reason, False, 0, str(result), evidence=result.evidence)


def explain_rivals(answer: Answer, rivals: Sequence[Answer], step: Step) -> Step:
    """Return the step of an image that fits several maps about equally well."""
    named = "; ".join(str(one) for one in (answer, *rivals))
    return replace(step, status=Status.AMBIGUOUS, detail=f"{Status.AMBIGUOUS.sentence}: {named}")
