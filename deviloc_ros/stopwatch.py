"""Measure the milliseconds that each stage of one query takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from deviloc_ros.types import Result


@dataclass(slots=True)
class Stopwatch:
    """Time named stages in the order they run."""

    stages_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block as stage `name`; a stage that runs again adds to its time."""
        start = time.perf_counter()
        yield
        self.add({name: (time.perf_counter() - start) * 1e3})

    def add(self, stages_ms: Mapping[str, float]) -> None:
        """Add times that were measured elsewhere."""
        for name, ms in stages_ms.items():
            self.stages_ms[name] = self.stages_ms.get(name, 0.0) + ms

    def annotate(self, result: Result, references: tuple[str, ...]) -> Result:
        """Return the result with these references and the measured stages in its evidence."""
        return replace(result, evidence=replace(result.evidence, references=references, stages_ms=self.stages_ms))
