"""Detect repeated images: sent again by a driver, or recorded while another recording was played in a loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from deviloc_ros.bags.reader import RecordedMessage
from deviloc_ros.messages.headers import stamp_ns


@dataclass(slots=True)
class RepeatCounter:
    """Count images whose stamp an earlier one had. laps: how often the stamps started over."""

    count: int = 0
    laps: int = 0
    _seen: dict[tuple[str, int], None] = field(default_factory=dict)  # topic and stamp

    def first_only(self, images: Iterable[RecordedMessage]) -> Iterator[RecordedMessage]:
        """Yield each image with a new stamp, and all images without a stamp."""
        for image in images:
            try:
                time_ns = stamp_ns(image.message())
            except ValueError:  # damaged: whoever tries it says so
                yield image
                continue
            key = image.topic, time_ns
            if time_ns == 0 or key not in self._seen:
                self._seen[key] = None
                yield image
                continue
            self.count += 1
            self.laps += len(self._seen) > 1 and key == next(iter(self._seen))

    def __str__(self) -> str:
        words = f"{self.count} images have the stamp of an earlier one and were left out"
        if self.laps:
            words += f": the recording was made while another was played in a loop, {self.laps + 1} laps of it"
        return words
