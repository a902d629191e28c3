"""Look up transforms of a recording at any time, as tf2 does: interpolated, never extrapolated."""

from __future__ import annotations

import logging
import math
from bisect import bisect_right, insort
from collections import Counter
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import pycolmap

from deviloc_ros.geometry import rigid_from_quaternion
from deviloc_ros.messages.headers import stamp_ns

log = logging.getLogger(__name__)
TF, TF_STATIC = "/tf", "/tf_static"
CIRCLE = "the transforms go round in a circle"
SHORTEST_QUATERNION = 1e-3  # a shorter one has too few significant digits
LARGEST_LENGTH_ERROR = 5e-3  # tf2 accepts squared lengths within 0.01 of one


class TransformError(ValueError):
    """Raise when there is no transform between two frames at a time; the message says why.

    reason: the message without the time, so that equal reasons can be counted.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


@dataclass(frozen=True, slots=True)
class TransformSample:
    """Hold the pose of a frame in its parent at a time."""

    time_ns: int
    parent: str
    parent_from_child: pycolmap.Rigid3d


@dataclass(slots=True)
class Track:
    """Hold the samples of one frame in order of time, and of receipt for equal times; a single one if static."""

    static: bool
    samples: list[TransformSample] = field(default_factory=list)

    def add(self, sample: TransformSample) -> None:
        """Add a sample; a static frame keeps only the last one received."""
        if self.static:
            self.samples = [sample]
        else:
            insort(self.samples, sample, key=attrgetter("time_ns"))

    @property
    def span_text(self) -> str:
        """Return the first and last time as text."""
        return f"{self.samples[0].time_ns * 1e-9:.3f} to {self.samples[-1].time_ns * 1e-9:.3f} s"

    def at(self, time_ns: int) -> TransformSample | None:
        """Return the interpolated sample at a time; None outside the recorded times.

        As in tf2, of two samples at one time the newer counts, and between samples with different parents the older.
        """
        if self.static:
            return self.samples[0]
        after = bisect_right(self.samples, time_ns, key=attrgetter("time_ns"))
        if after == 0:
            return None
        before = self.samples[after - 1]
        if before.time_ns == time_ns:
            return before
        if after == len(self.samples):
            return None
        following = self.samples[after]
        if before.parent != following.parent:
            return before
        share = (time_ns - before.time_ns) / (following.time_ns - before.time_ns)
        between = pycolmap.Rigid3d.interpolate(before.parent_from_child, following.parent_from_child, share)
        return TransformSample(time_ns, before.parent, between)


class TransformTree:
    """Hold all transforms of a recording. As in tf2, a frame may change its parent, and may have two senders."""

    def __init__(self) -> None:
        self._tracks: dict[str, Track] = {}
        self._parents: dict[str, dict[str, None]] = {}  # of each frame, in the order in which they were received
        self.refused: Counter[str] = Counter()  # invalid transforms, in words
        self.corrected: Counter[str] = Counter()  # transforms whose quaternion was not of unit length

    @property
    def frames(self) -> set[str]:
        """Return the names of all frames."""
        return {*self._parents, *(parent for parents in self._parents.values() for parent in parents)}

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """Return the first and the last time of moving transforms; None if there are none."""
        ends = [t.samples[index].time_ns for t in self._tracks.values() if not t.static for index in (0, -1)]
        return (min(ends), max(ends)) if ends else None

    @property
    def several_parents(self) -> dict[str, list[str]]:
        """Return the frames that were published with more than one parent."""
        return {child: list(parents) for child, parents in self._parents.items() if len(parents) > 1}

    def parents_of(self, frame: str) -> list[str]:
        """Return all parents that were published for a frame."""
        return list(self._parents.get(frame, ()))

    def above(self, frame: str) -> list[str]:
        """Return all ancestors of a frame at any time, the nearest first."""
        found: dict[str, None] = {}
        waiting = self.parents_of(frame)
        while waiting:
            parent = waiting.pop(0)
            if parent not in found and parent != frame:
                found[parent] = None
                waiting += self.parents_of(parent)
        return list(found)

    def add(self, message: Any, static: bool) -> None:
        """Add a tf2_msgs/TFMessage; invalid transforms are left out and counted.

        Unlike in tf2, which drops it, a static transform whose quaternion is not of unit length is normalized, since
        its meaning is clear; it is counted in `corrected`.
        """
        for stamped in message.transforms:
            parent, child = stamped.header.frame_id.lstrip("/"), stamped.child_frame_id.lstrip("/")
            name = f"{parent} <- {child}"
            rotation, translation = stamped.transform.rotation, stamped.transform.translation
            xyzw = (rotation.x, rotation.y, rotation.z, rotation.w)
            length = math.hypot(*xyzw)
            try:
                if not parent or not child or parent == child:
                    raise ValueError("a frame without a name, or its own parent")
                if not SHORTEST_QUATERNION < length < math.inf:
                    raise ValueError("its quaternion is not a rotation")
                parent_from_child = rigid_from_quaternion(
                    [value / length for value in xyzw], (translation.x, translation.y, translation.z)
                )
            except ValueError as error:
                self.refused[f"{name}: {error}"] += 1
                continue
            if abs(length - 1) > LARGEST_LENGTH_ERROR:
                self.corrected[f"{name}: quaternion of length {length:.3g}"] += 1
            self.insert(parent, child, stamp_ns(stamped), parent_from_child, static)

    def insert(
        self, parent: str, child: str, time_ns: int, parent_from_child: pycolmap.Rigid3d, static: bool = False
    ) -> None:
        """Add one transform. If a frame changes between static and moving, its old transforms are dropped."""
        track = self._tracks.get(child)
        if track is None or track.static != static:
            track = self._tracks[child] = Track(static)
        track.add(TransformSample(time_ns, parent, parent_from_child))
        self._parents.setdefault(child, {})[parent] = None

    def lookup(self, target: str, source: str, time_ns: int) -> pycolmap.Rigid3d:
        """Return target_from_source at a time.

        Raises:
            TransformError: a frame is unknown, the two are not connected, nothing was recorded around that time, or the
                frames form a cycle.
        """
        if target == source:
            return pycolmap.Rigid3d()
        frames = self.frames
        if unknown := [frame for frame in (target, source) if frame not in frames]:
            known = ", ".join(sorted(frames)) or "none"
            raise TransformError(
                f"no frame {' or '.join(map(repr, unknown))} in the recording's transforms, only {known}"
            )
        from_target, from_source = self._walk_up(target, time_ns), self._walk_up(source, time_ns)
        for frame, frame_from_source in from_source.items():
            if frame in from_target:
                return from_target[frame].inverse() * frame_from_source
        for one, other in ((from_source, target), (from_target, source)):
            self._raise_if_out_of_time(list(one)[-1], other, time_ns)
        words = f"frames {target!r} and {source!r} are not connected in the recording's transforms"
        raise TransformError("; ".join([words, *self._claims(source)]))

    def _walk_up(self, frame: str, time_ns: int) -> dict[str, pycolmap.Rigid3d]:
        """Return ancestor_from_frame of the frame itself and of each above it at a time, the nearest first.

        Raises:
            TransformError: the frames form a cycle. tf2 answers some look-ups within a cycle, with a result that
                depends on the direction.
        """
        way = {frame: pycolmap.Rigid3d()}
        while (track := self._tracks.get(frame)) is not None and (sample := track.at(time_ns)) is not None:
            if sample.parent in way:
                names = list(way)
                circle = [*names[names.index(sample.parent) :], sample.parent]
                raise TransformError(f"{CIRCLE}: {' below '.join(circle)}")
            way[sample.parent] = sample.parent_from_child * way[frame]
            frame = sample.parent
        return way

    def _raise_if_out_of_time(self, top: str, other: str, time_ns: int) -> None:
        """Raise TransformError if the ancestors end at `top` at this time, but led to the other frame at others."""
        track = self._tracks.get(top)
        if track is None or track.at(time_ns) is not None or not {other, *self.above(other)} & {*self.above(top)}:
            return
        name = f"{' or '.join(self.parents_of(top))} <- {top}"
        raise TransformError(
            f"{name}: asked for {time_ns * 1e-9:.3f} s, recorded from {track.span_text}",
            f"{name} was recorded from {track.span_text} only",
        )

    def _claims(self, frame: str) -> list[str]:
        """Say which of a frame and its ancestors were published with several parents."""
        way = {frame, *self.above(frame)}
        return [
            f"{child!r} was published below {' and '.join(map(repr, parents))}"
            for child, parents in self.several_parents.items()
            if child in way
        ]

    def log_oddities(self) -> None:
        """Log transforms that were left out or normalized, and frames with two parents."""
        for what, count in self.refused.items():
            log.warning("transform %s: left out, %d times", what, count)
        for what, count in self.corrected.items():
            log.warning(
                "transform %s: scaled to one, %d times; tf2 drops it, so a robot has no such transform", what, count
            )
        for child, parents in self.several_parents.items():
            what = "frame %r was published below %s: as in tf2, the one before an image counts"
            log.warning(what, child, " and ".join(map(repr, parents)))
