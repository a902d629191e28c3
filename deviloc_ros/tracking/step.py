"""Define a step, the outcome of one image or of a rig's images, which the node publishes and evaluations record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from deviloc_ros.camera import Camera
from deviloc_ros.status import NotTried, Status
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.grouping import Group, GroupedImage
from deviloc_ros.tracking.rig_images import StampedImage
from deviloc_ros.types import Area, CameraReport, Evidence, Lost, Prior, Result

T = TypeVar("T")


class RefusedImage(NamedTuple):
    """Hold an image that cannot be localized: its camera's name, its stamp [ns], and why."""

    camera: str
    stamp_ns: int
    why: NotTried


@dataclass(frozen=True, slots=True, eq=False)
class ReadGroup:
    """Hold the images of one time: those that can be localized, and the reasons for the others."""

    stamp_ns: int
    images: list[StampedImage]
    refused: list[RefusedImage]

    def __len__(self) -> int:
        return len(self.images) + len(self.refused)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Hold the outcome of one image, or of the images of a rig.

    stamp_ns: of a rig, that of the newest image. fix: the robot's pose if it is believed. detail: why it is not, with
    numbers. prior: where the camera was searched for, for a rig the robot. stages_ms: milliseconds by stage, in order.
    seen: the robot's pose by the image, believed or not. camera: of the image; None for a rig. map_name: the map that
    the image shows, if there are several.
    """

    stamp_ns: int
    status: Status
    detail: str = ""
    fix: Fix | None = None
    evidence: Evidence = field(default_factory=Evidence)
    prior: Prior | Area | None = None
    stages_ms: dict[str, float] = field(default_factory=dict)
    seen: Fix | None = None
    camera: Camera | None = None
    map_name: str = ""


def read_group(group: Group[T], read: Callable[[GroupedImage[T]], StampedImage]) -> ReadGroup:
    """Read the images of one time; those that cannot be read are returned with the reason.

    Args:
        read: raises NotTried for an image that cannot be localized, whatever it shows.
    """
    images, refused = [], []
    for given in group:
        try:
            images.append(read(given))
        except NotTried as why:
            refused.append(RefusedImage(given.camera, given.stamp_ns, why))
    return ReadGroup(group[-1].stamp_ns, images, refused)


def report_refused(refused: Sequence[RefusedImage]) -> list[CameraReport]:
    """Return reports on a rig's images that were refused; a single camera has no report."""
    return [
        CameraReport(camera, why.status, False, 0, str(why), stamp_ns=stamp_ns)
        for camera, stamp_ns, why in refused
        if camera
    ]


def add_stages(step: Step, watch: Stopwatch) -> Step:
    """Return the step with the stages of a watch beside its own."""
    return replace(step, stages_ms=step.stages_ms | watch.stages_ms)


def explain_step(result: Result, step: Step) -> Step:
    """Return the step with the reason of a result that is Lost; unchanged for any other."""
    return replace(step, status=result.reason, detail=str(result)) if isinstance(result, Lost) else step


def group_not_tried(group: Group, status: Status) -> Step:
    """Return the step of images that never reached the localizer, all for one reason."""
    cameras = tuple(
        CameraReport(image.camera, status, False, 0, status.sentence, stamp_ns=image.stamp_ns)
        for image in group
        if image.camera
    )
    return Step(group[-1].stamp_ns, status, status.sentence, evidence=Evidence(cameras=cameras))


def step_not_tried(stamp_ns: int, why: NotTried) -> Step:
    """Return the step of an image that never reached the localizer."""
    return Step(stamp_ns, why.status, str(why))
