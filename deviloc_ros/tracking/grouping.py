"""Group images of several cameras that were taken at one time, by their stamps. No ROS and no clock of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

# If a gap within a group is this many times the one before the group, the group begins at the wrong camera.
WRONG_CUT = 1.5
DEAD_AFTER = 2  # periods without an image after which a camera is no longer waited for


@dataclass(frozen=True, slots=True, eq=False)
class GroupedImage(Generic[T]):
    """Hold an image with its camera's name, its stamp, and when it was received [ns]."""

    camera: str
    stamp_ns: int
    received_ns: int
    image: T


Group = list[GroupedImage[T]]
"""Images of different cameras, in order of their stamps."""


@dataclass(slots=True)
class Rhythm:
    """Hold when a camera took its last image, and its period; 0 while that is unknown."""

    last_ns: int
    period_ns: int = 0

    def note(self, stamp_ns: int) -> None:
        """Take an image into account."""
        self.period_ns = max(stamp_ns - self.last_ns, 0)
        self.last_ns = stamp_ns

    @property
    def next_ns(self) -> int:
        """Return when the next image is expected."""
        return self.last_ns + self.period_ns


class ImageGrouper(Generic[T]):
    """Group images that cameras took at one time. Not thread-safe.

    Each image is in one group, and no group has two of a camera. A group is complete when it has an image of each
    camera whose next image is due before that of the group's first camera: cameras that are dead or slower are not
    waited for. An image that does not belong to the group closes it earlier, and so does time, when its first image has
    waited for `window_ns`. If the cameras are not synchronized, groups settle so that they begin after the longest gap.

    window_ns: the longest wait for an image. span_ns: the longest time between images of a group.
    """

    def __init__(self, cameras: Sequence[str], window_ns: int, span_ns: int | None = None) -> None:
        self._cameras = tuple(cameras)
        self._window_ns = window_ns
        self._span_ns = window_ns if span_ns is None else span_ns
        self._rhythms: dict[str, Rhythm] = {}
        self._waiting: Group[T] = []
        self._pause_ns = 0  # before the group that waits
        self._newest_ns: int | None = None  # of all images before it

    def add(self, camera: str, stamp_ns: int, received_ns: int, image: T) -> list[Group[T]]:
        """Take an image; return the groups that it closes, in order. One without a stamp is a group of its own."""
        given = GroupedImage(camera, stamp_ns, received_ns, image)
        if stamp_ns <= 0:
            return [[given]]
        ended = self.close_overdue(received_ns)
        if self._waiting and not self._belongs(given):
            ended += self.close()
        if not self._waiting:
            self._pause_ns = abs(stamp_ns - self._newest_ns) if self._newest_ns is not None else 0
        self._waiting.append(given)
        self._rhythms.setdefault(camera, Rhythm(stamp_ns)).note(stamp_ns)
        return ended + (self.close() if self._is_complete() else [])

    def close_overdue(self, now_ns: int) -> list[Group[T]]:
        """Return the open group if it has waited long enough at this time, or if time went back; else no group."""
        is_overdue = self._waiting and not 0 <= now_ns - self._waiting[0].received_ns < self._window_ns
        return self.close() if is_overdue else []

    def close(self) -> list[Group[T]]:
        """Close and return the open group, if there is one."""
        group, self._waiting = self._waiting, []
        if not group:
            return []
        group.sort(key=lambda image: image.stamp_ns)
        self._newest_ns = group[-1].stamp_ns
        return [group]

    def _belongs(self, given: GroupedImage[T]) -> bool:
        """Return whether an image belongs to the open group."""
        stamps = [image.stamp_ns for image in self._waiting]
        if any(image.camera == given.camera for image in self._waiting):
            return False
        if max(*stamps, given.stamp_ns) - min(*stamps, given.stamp_ns) > self._span_ns:
            return False
        return given.stamp_ns - max(stamps) <= WRONG_CUT * self._pause_ns or self._newest_ns is None

    def _is_complete(self) -> bool:
        """Return whether no other camera's image needs to be waited for."""
        first, newest_ns = self._waiting[0], max(image.stamp_ns for image in self._waiting)
        there = {image.camera for image in self._waiting}
        return not any(
            self._is_awaited(self._rhythms[camera], self._rhythms[first.camera], newest_ns)
            for camera in self._cameras
            if camera not in there and camera in self._rhythms
        )

    def _is_awaited(self, other: Rhythm, first: Rhythm, newest_ns: int) -> bool:
        if not other.period_ns or not first.period_ns:
            return True  # nothing is known of one yet
        is_dead = newest_ns > other.last_ns + DEAD_AFTER * other.period_ns
        return not is_dead and other.next_ns < first.next_ns and other.next_ns - first.last_ns <= self._span_ns
