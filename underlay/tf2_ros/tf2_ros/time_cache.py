"""The recent past of one frame: its parent, and where it was in it."""

from bisect import bisect_left
from typing import NamedTuple

from tf2_ros.algebra import Transform, interpolate
from tf2_ros.exceptions import ExtrapolationException


class Sample(NamedTuple):
    """Where a frame was in its parent at one time."""

    stamp_ns: int
    parent: str
    parent_from_child: Transform


class TimeCache:
    """Samples of a moving frame, oldest first, at most `length_ns` long."""

    def __init__(self, length_ns: int):
        self._length_ns = length_ns
        self._stamps_ns: list[int] = []
        self._samples: list[Sample] = []

    @property
    def latest_ns(self) -> int | None:
        return self._stamps_ns[-1] if self._stamps_ns else None

    def insert(self, sample: Sample) -> bool:
        """Add a sample and forget what has become too old; False if it is itself too old or repeats a time."""
        if self._stamps_ns and sample.stamp_ns < self._stamps_ns[-1] - self._length_ns:
            return False
        index = bisect_left(self._stamps_ns, sample.stamp_ns)
        if index < len(self._stamps_ns) and self._stamps_ns[index] == sample.stamp_ns:
            return False
        self._stamps_ns.insert(index, sample.stamp_ns)
        self._samples.insert(index, sample)
        self._forget_before(self._stamps_ns[-1] - self._length_ns)
        return True

    def at(self, time_ns: int) -> Sample | None:
        """The frame at a time (0: the latest), or None if the cache is empty.

        Raises:
            ExtrapolationException: the time lies outside the samples.
        """
        if not self._samples:
            return None
        if time_ns == 0:
            return self._samples[-1]
        index = bisect_left(self._stamps_ns, time_ns)
        if index < len(self._samples) and self._stamps_ns[index] == time_ns:
            return self._samples[index]
        if index in (0, len(self._samples)):
            raise ExtrapolationException(self._out_of_reach(time_ns))
        return between(self._samples[index - 1], self._samples[index], time_ns)

    def clear(self) -> None:
        self._stamps_ns.clear()
        self._samples.clear()

    def _forget_before(self, oldest_ns: int) -> None:
        count = bisect_left(self._stamps_ns, oldest_ns)
        del self._stamps_ns[:count], self._samples[:count]

    def _out_of_reach(self, time_ns: int) -> str:
        oldest_ns, latest_ns = self._stamps_ns[0], self._stamps_ns[-1]
        if oldest_ns == latest_ns:
            reason = f"at time {seconds(time_ns)}, but only time {seconds(latest_ns)} is in the buffer"
        elif time_ns > latest_ns:
            reason = (
                f"into the future. Requested time {seconds(time_ns)} but the latest data is at {seconds(latest_ns)}"
            )
        else:
            reason = (
                f"into the past. Requested time {seconds(time_ns)} but the earliest data is at {seconds(oldest_ns)}"
            )
        return f"Lookup would require extrapolation {reason}"


class StaticCache:
    """A frame that never moves."""

    latest_ns = None

    def __init__(self) -> None:
        self._sample: Sample | None = None

    def insert(self, sample: Sample) -> bool:
        self._sample = sample
        return True

    def at(self, time_ns: int) -> Sample | None:
        return self._sample._replace(stamp_ns=time_ns)

    def clear(self) -> None:
        """Keep the sample: it holds at any time, and its publisher will not send it again."""


def between(before: Sample, after: Sample, time_ns: int) -> Sample:
    if before.parent != after.parent:
        return before  # the frame changed parents in between; there is no path from one to the other
    fraction = (time_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
    return Sample(time_ns, before.parent, interpolate(before.parent_from_child, after.parent_from_child, fraction))


def seconds(time_ns: int) -> str:
    return f"{time_ns // 10**9}.{time_ns % 10**9:09d}"
