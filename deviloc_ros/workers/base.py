"""Do many pieces of work of one kind: in this process, one after the other, or on Ray's workers, side by side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

from deviloc_ros.threads import iterate_on_threads

Result = TypeVar("Result")
Shared = TypeVar("Shared")


class WorkError(ValueError):
    """Raise when a piece of work cannot be done; the message names it."""


class Workers(ABC):
    """Do pieces of work, as a context that starts and stops whoever does them.

    Args:
        quiet: show no bars of progress.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:  # noqa: B027 - only workers that were started have to go
        pass

    def progress(self, items: Iterable | None = None, **options: Any) -> tqdm:
        """Return a bar of progress, as tqdm's."""
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
        on_threads: bool = False,
    ) -> Iterator[Result]:
        """Yield the results of `function(*task)` in the order of the tasks, the same whoever computes them.

        A worker that dies costs what it was doing, which another does again: a task has to bear being begun twice.

        Args:
            function: with its arguments it has to bear being sent to another process.
            names: of the tasks, for errors. desc, unit: of the bar, which a single task does not have.
            on_threads: tasks spend their time outside of Python's lock: one process may do several side by side.

        Raises:
            WorkError: a task was refused by a ValueError or OSError, or its workers die; the message names the task.
            RuntimeError: any other exception of a task, which it names.
        """
        results = self._results(function, tasks, names, on_threads)
        if len(names) > 1:
            results = self.progress(results, total=len(names), desc=desc, unit=unit)
        yield from results

    def share(self, value: Shared) -> Shared:
        """Put what many tasks take where all workers find it; the result is good as an argument of a task only."""
        return value

    @abstractmethod
    def _results(
        self, function: Callable[..., Result], tasks: Iterable[tuple], names: Sequence[str], on_threads: bool
    ) -> Iterator: ...


class Serial(Workers):
    """Do the work in this process."""

    def _results(
        self, function: Callable[..., Result], tasks: Iterable[tuple], names: Sequence[str], on_threads: bool
    ) -> Iterator:
        def do_task(named: tuple[str, tuple]) -> Result:
            name, task = named
            try:
                return function(*task)
            except Exception as error:
                raise name_task(error, name) from error

        each = zip(names, tasks, strict=True)
        yield from iterate_on_threads(do_task, each) if on_threads else map(do_task, each)


def name_task(error: Exception, name: str) -> Exception:
    """Return what to raise of a task's exception: errors of what the user gave stay such."""
    if isinstance(error, (ValueError, OSError)):
        return WorkError(str(error) if name in str(error) else f"{name}: {error}")
    return RuntimeError(f"{name}: {error!r}")
