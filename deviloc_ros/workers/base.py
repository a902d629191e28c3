"""Who does many pieces of work of one kind: this process, one after the other, or Ray's workers, side by side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

Result = TypeVar("Result")
Shared = TypeVar("Shared")


class WorkError(ValueError):
    """A piece of work that cannot be done; the message names it."""


class Workers(ABC):
    """Use it as a context. quiet: no bars of progress."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:  # noqa: B027 - only workers that were started have to go
        pass

    def progress(self, items: Iterable | None = None, **options: Any) -> tqdm:
        """A bar of progress, as tqdm's."""
        if self.quiet:  # else as $TQDM_DISABLE says
            options["disable"] = True
        return tqdm(items, dynamic_ncols=True, **options)

    def map(
        self,
        function: Callable[..., Result],
        tasks: Iterable[tuple],
        names: Sequence[str],
        *,
        desc: str,
        unit: str,
    ) -> Iterator[Result]:
        """Results of `function(*task)` in the order of the tasks, the same whoever computes them.

        A worker that dies costs what it was doing, which another does again: a task has to bear being begun twice.

        Args:
            function: with its arguments it has to bear being sent to another process.
            names: of the tasks, for errors. desc, unit: of the bar, which a single task does not have.

        Raises:
            WorkError: a task was refused by a ValueError or OSError, or its workers die; the message names the task.
            RuntimeError: any other exception of a task, which it names.
        """
        results = self._results(function, tasks, names)
        if len(names) > 1:
            results = self.progress(results, total=len(names), desc=desc, unit=unit)
        yield from results

    def share(self, value: Shared) -> Shared:
        """What many tasks take, put where all workers find it. The result is good as an argument of a task only."""
        return value

    @abstractmethod
    def _results(self, function: Callable[..., Result], tasks: Iterable[tuple], names: Sequence[str]) -> Iterator: ...


class Serial(Workers):
    """This process."""

    def _results(self, function: Callable[..., Result], tasks: Iterable[tuple], names: Sequence[str]) -> Iterator:
        for name, task in zip(names, tasks, strict=True):
            try:
                result = function(*task)
            except Exception as error:
                raise named(error, name) from error
            yield result


def named(error: Exception, name: str) -> Exception:
    """What is raised of a task's exception: errors of what the user gave stay such."""
    if isinstance(error, (ValueError, OSError)):
        return WorkError(str(error) if name in str(error) else f"{name}: {error}")
    return RuntimeError(f"{name}: {error!r}")
