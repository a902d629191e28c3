"""The transforms of a whole recording, asked for at any time, as tf2 answers: interpolated, never extrapolated."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np
import pycolmap

from deviloc_ros.messages.headers import rigid_of_transform, stamp_ns

TF, TF_STATIC = "/tf", "/tf_static"


class TransformError(ValueError):
    """No transform between two frames at a time; the message says why."""


class Edge:
    """Where a frame was in its parent over time; a single pose that always holds if it is static."""

    def __init__(self, parent: str, static: bool) -> None:
        self.parent, self.static = parent, static
        self._poses: dict[int, pycolmap.Rigid3d] = {}
        self._times_ns: list[int] = []

    def add(self, time_ns: int, parent_from_child: pycolmap.Rigid3d) -> None:
        """Of two at one time the first stays, as in tf2; of a static one the last."""
        if self.static:
            self._poses = {0: parent_from_child}
        elif time_ns not in self._poses:
            self._poses[time_ns] = parent_from_child
            self._times_ns = []

    def at(self, time_ns: int) -> pycolmap.Rigid3d:
        """parent_from_child. Raises TransformError outside the times that were recorded."""
        if self.static:
            return self._poses[0]
        times_ns = self._times_ns = self._times_ns or sorted(self._poses)
        after = bisect_left(times_ns, time_ns)
        if after < len(times_ns) and times_ns[after] == time_ns:
            return self._poses[time_ns]
        if after in (0, len(times_ns)):
            ends = f"{times_ns[0] * 1e-9:.3f} to {times_ns[-1] * 1e-9:.3f} s"
            raise TransformError(f"asked for {time_ns * 1e-9:.3f} s, recorded from {ends}")
        before_ns, after_ns = times_ns[after - 1], times_ns[after]
        share = (time_ns - before_ns) / (after_ns - before_ns)
        return pycolmap.Rigid3d.interpolate(self._poses[before_ns], self._poses[after_ns], share)


class TransformTree:
    """All transforms of a recording."""

    def __init__(self) -> None:
        self._edges: dict[str, Edge] = {}

    @property
    def frames(self) -> set[str]:
        return {*self._edges, *(edge.parent for edge in self._edges.values())}

    def add(self, message: Any, static: bool) -> None:
        """Take a tf2_msgs/TFMessage; transforms that are none are left out, as tf2 does."""
        for stamped in message.transforms:
            parent, child = stamped.header.frame_id.lstrip("/"), stamped.child_frame_id.lstrip("/")
            try:
                parent_from_child = rigid_of_transform(stamped.transform)
            except ValueError:
                continue
            self.insert(parent, child, stamp_ns(stamped), parent_from_child, static)

    def insert(
        self, parent: str, child: str, time_ns: int, parent_from_child: pycolmap.Rigid3d, static: bool = False
    ) -> None:
        """Take one transform. A frame that changes its parent has only the new one."""
        edge = self._edges.get(child)
        if edge is None or edge.static != static or edge.parent != parent:
            edge = self._edges[child] = Edge(parent, static)
        edge.add(time_ns, parent_from_child)

    def lookup(self, target: str, source: str, time_ns: int) -> pycolmap.Rigid3d:
        """target_from_source at a time.

        Raises:
            TransformError: a frame is unknown, the two are not connected, or nothing was recorded around that time.
        """
        unknown = [frame for frame in (target, source) if frame not in self.frames]
        if unknown and target != source:
            known = ", ".join(sorted(self.frames)) or "none"
            raise TransformError(
                f"no frame {' or '.join(map(repr, unknown))} in the recording's transforms, only {known}"
            )
        above_target, above_source = self._way_up(target), self._way_up(source)
        common = next((frame for frame in above_source if frame in above_target), None)
        if common is None:
            raise TransformError(f"frames {target!r} and {source!r} are not connected in the recording's transforms")
        up = self._along(above_source[: above_source.index(common)], time_ns)
        down = self._along(above_target[: above_target.index(common)], time_ns)
        return down.inverse() * up

    def _way_up(self, frame: str) -> list[str]:
        way = [frame]
        while (edge := self._edges.get(way[-1])) is not None and edge.parent not in way:
            way.append(edge.parent)
        return way

    def _along(self, frames: list[str], time_ns: int) -> pycolmap.Rigid3d:
        """parent_from_first, the parent being that of the last of the frames."""
        total = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.zeros(3))
        for frame in frames:
            try:
                total = self._edges[frame].at(time_ns) * total
            except TransformError as error:
                raise TransformError(f"{self._edges[frame].parent} <- {frame}: {error}") from error
        return total
