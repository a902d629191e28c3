"""The recent past of one frame: its parent, and where it was in it."""

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from tf2_ros.algebra import Transform, interpolate
from tf2_ros.exceptions import ExtrapolationException


class Sample(NamedTuple):
    """Where a frame was in its parent at one time."""

    stamp_ns: int
    parent: str
    parent_from_child: Transform


class TimeCache:
    """Samples of a moving frame, oldest first; of equal stamps in the order of arrival.

    Whatever is older than `length_ns` is forgotten before the next sample comes, so one more than that is kept.
    """

    def __init__(self, length_ns: int):
        self._length_ns = length_ns
        self._stamps_ns: list[int] = []
        self._samples: list[Sample] = []

    @property
    def latest(self) -> Sample | None:
        """The newest sample; of several with its stamp the last that came."""
        return self._samples[-1] if self._samples else None

    @property
    def oldest_ns(self) -> int:
        """The stamp of the oldest sample; 0 if there is none."""
        return self._stamps_ns[0] if self._stamps_ns else 0

    def __len__(self) -> int:
        return len(self._samples)

    def insert(self, sample: Sample) -> bool:
        """Add a sample, unless the very same is there; False if it is too old."""
        if self._stamps_ns:
            oldest_ns = self._stamps_ns[-1] - self._length_ns
            self._forget_before(oldest_ns)
            if sample.stamp_ns < oldest_ns:
                return False
        index = bisect_right(self._stamps_ns, sample.stamp_ns)
        if sample not in self._samples[bisect_left(self._stamps_ns, sample.stamp_ns) : index]:
            self._stamps_ns.insert(index, sample.stamp_ns)
            self._samples.insert(index, sample)
        return True

    def at(self, time_ns: int) -> Sample:
        """The frame at a time (0: the latest).

        Raises:
            ExtrapolationException: the time lies outside the samples, or there is none.
        """
        if not self._samples:
            raise ExtrapolationException(
                f"Lookup would require extrapolation at time {seconds(time_ns)}, but nothing is in the buffer"
            )
        if time_ns in (0, self._stamps_ns[-1]):
            return self._samples[-1]
        if time_ns == self._stamps_ns[0]:
            return self._samples[0]
        if not self._stamps_ns[0] < time_ns < self._stamps_ns[-1]:
            raise ExtrapolationException(self._out_of_reach(time_ns))
        index = bisect_right(self._stamps_ns, time_ns)
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

    oldest_ns = 0

    def __init__(self) -> None:
        self._sample: Sample | None = None

    @property
    def latest(self) -> Sample | None:
        """The sample, with the stamp 0 that stands for any time."""
        return self._sample._replace(stamp_ns=0)

    def __len__(self) -> int:
        return 1

    def insert(self, sample: Sample) -> bool:
        self._sample = sample
        return True

    def at(self, time_ns: int) -> Sample:
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
