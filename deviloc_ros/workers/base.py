"""Run many tasks of one kind: in this process, or in parallel on Ray's workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

from deviloc_ros.threads import iterate_on_threads

Result = TypeVar("Result")
Shared = TypeVar("Shared")


class WorkError(ValueError):
    """Raise when a task fails; the message names it."""


class Workers(ABC):
    """Run tasks; as a context manager it starts and stops the workers.

    Args:
        quiet: show no progress bars.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:  # noqa: B027 - only some workers must be stopped
        pass

    def progress(self, items: Iterable | None = None, **options: Any) -> tqdm:
        """Return a tqdm progress bar."""
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
        """Yield the results of `function(*task)` in the order of the tasks, the same with any kind of workers.

        If a worker dies, its task is run again by another, so tasks must be repeatable.

        Args:
            function: it and its arguments must be picklable.
            names: of the tasks, for errors.
            desc, unit: of the progress bar, which is not shown for a single task.
            on_threads: tasks release the GIL most of the time, so that one process may run several in parallel.

        Raises:
            WorkError: a task raised ValueError or OSError, or its workers died; the message names the task.
            RuntimeError: any other exception of a task, which it names.
        """
        results = self._results(function, tasks, names, on_threads)
        if len(names) > 1:
            results = self.progress(results, total=len(names), desc=desc, unit=unit)
        yield from results

    def share(self, value: Shared) -> Shared:
        """Share a value with all workers, for many tasks; the result may only be used as an argument of a task."""
        return value

    @abstractmethod
    def _results(
        self, function: Callable[..., Result], tasks: Iterable[tuple], names: Sequence[str], on_threads: bool
    ) -> Iterator: ...


class Serial(Workers):
    """Run tasks in this process."""

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
    """Return the exception to raise for a task's: WorkError for errors of the user's input, else RuntimeError."""
    if isinstance(error, (ValueError, OSError)):
        return WorkError(str(error) if name in str(error) else f"{name}: {error}")
    return RuntimeError(f"{name}: {error!r}")
