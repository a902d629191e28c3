"""Refuse transforms from the network that would harm tf2's buffer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

MAX_FRAMES, MAX_NAME = 20_000, 256  # tf2 keeps every frame forever
MAX_TRANSLATION_M = 1e9  # beyond anything on Earth, far below where squares overflow
MAX_QUATERNION = 2.0  # of a component; tf2 itself checks the length


class TransformSieve:
    """Pass transforms on to a tf2 buffer, except those that would break it, fill it up, or clear it.

    A transform that is stamped further ahead than the buffer is long makes tf2 drop all present transforms and refuse
    new ones until that time. refused: number of transforms by reason.
    """

    def __init__(self, buffer: Any, buffer_s: float, now_ns: Callable[[], int]) -> None:
        self.refused: Counter[str] = Counter()
        self._buffer = buffer
        self._buffer_ns = int(buffer_s * 1e9)
        self._now_ns = now_ns
        self._frames: set[str] = set()

    def set_transform(self, transform: Any, authority: str = "") -> None:
        """Pass on a transform of /tf, unless something is wrong with it."""
        if self._accepts(transform):
            self._buffer.set_transform(transform, authority)

    def set_transform_static(self, transform: Any, authority: str = "") -> None:
        """Pass on a transform of /tf_static, unless something is wrong with it."""
        if self._accepts(transform):
            self._buffer.set_transform_static(transform, authority)

    def _accepts(self, transform: Any) -> bool:
        why_not = self._fault(transform)
        if why_not:
            self.refused[why_not] += 1
        return not why_not

    def _fault(self, transform: Any) -> str:
        header, child = transform.header, transform.child_frame_id
        if not 0 < len(child) <= MAX_NAME or not 0 < len(header.frame_id) <= MAX_NAME:
            return "name of a frame"
        if child not in self._frames and len(self._frames) >= MAX_FRAMES:
            return "too many frames"
        if header.stamp.sec < 0:
            return "negative stamp"
        now_ns = self._now_ns()
        if now_ns > 0 and header.stamp.sec * 1_000_000_000 > now_ns + self._buffer_ns:
            return "stamp far in the future"
        if not is_bounded(transform.transform):
            return "numbers"
        self._frames.add(child)
        return ""


def is_bounded(transform: Any) -> bool:
    """Return whether all numbers of a geometry_msgs/Transform are finite and of a possible size."""
    t, q = transform.translation, transform.rotation
    small = all(math.isfinite(value) and abs(value) <= MAX_QUATERNION for value in (q.x, q.y, q.z, q.w))
    return small and all(math.isfinite(value) and abs(value) <= MAX_TRANSLATION_M for value in (t.x, t.y, t.z))
