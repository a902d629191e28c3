"""Run workers on Ray: processes of this machine, or of all machines of a cluster. Needs extra `ray`.

Ray moves functions, arguments and results between its processes with pickle: anyone with access to a Ray cluster can
run code on it. So this connects only to a cluster that the user named.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from deviloc_ros.workers.base import Result, Shared, WorkError, Workers, name_task

LOCAL = "local"
CURRENT_CLUSTER = Path("/tmp/ray/ray_current_cluster")  # it is not deleted when the cluster dies
RETRIES = 3  # of a task whose worker died, or that had an error of the file system
TASKS_AHEAD = 4  # submitted per core: enough that no core waits, few enough that their arguments fit into memory
TASKS_PER_GPU = 4
ANSWER_WITHIN_S = 5.0


class RayWorkers(Workers):
    """Run each task on a core, and if this process uses a GPU on a share of one.

    The last bits of convolutions and matrix products depend on the number of threads and on the device. So tasks use as
    many threads as this process, and a GPU if it does, to get the same results.

    Args:
        address: `local`, `auto` (the cluster that this machine belongs to) or HOST:PORT.

    Raises:
        ValueError: Ray is not installed, nothing answers at the address, or the cluster lacks a GPU.
    """

    def __init__(self, address: str, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet)
        self._ray = connect_ray(address)
        self._threads = torch.get_num_threads()
        resources = self._ray.cluster_resources()
        self._ahead = TASKS_AHEAD * max(1, int(resources.get("CPU", 1)))
        self._gpus = gpu_share(address, resources)

    def __exit__(self, *error: object) -> None:
        self._ray.shutdown()

    def share(self, value: Shared) -> Shared:
        return self._ray.put(value)

    def _results(
        self, function: Callable[..., Result], tasks: Iterable[tuple], names: Sequence[str], on_threads: bool
    ) -> Iterator:
        options = {"num_cpus": 1, "num_gpus": self._gpus, "max_retries": RETRIES, "retry_exceptions": [OSError]}
        remote, here = self._ray.remote(**options)(run_in_worker), Path.cwd()
        waiting: deque[tuple[str, Any]] = deque()
        try:
            for name, task in zip(names, tasks, strict=True):
                if len(waiting) == self._ahead:
                    yield self._result(*waiting.popleft())
                waiting.append((name, remote.options(name=name).remote(self._threads, here, function, *task)))
            while waiting:
                yield self._result(*waiting.popleft())
        finally:
            for _, reference in waiting:
                self._ray.cancel(reference, force=True)

    def _result(self, name: str, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise name_task(error.cause, name) from error
        except self._ray.exceptions.RayError as error:
            raise WorkError(
                f"{name}: given up: {1 + RETRIES} workers died or were killed while running it: {error}"
            ) from error


def run_in_worker(threads: int, folder: Path, function: Callable[..., Result], *arguments: Any) -> Result:
    """Run a task in a worker, with the working directory of this process."""
    torch.set_num_threads(threads)
    if folder.is_dir():
        os.chdir(folder)
    return function(*arguments)


def connect_ray(address: str) -> Any:
    """Start Ray or connect to it. Raises ValueError naming the flag."""
    if find_spec("ray") is None:
        raise ValueError("--ray needs the extra `ray`: pip install ray, or deviloc_ros[ray]")
    check_answer(find_cluster_address() if address == "auto" else address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    import ray

    # Ray would give tasks one thread; threads of many tasks must not spin while they wait for each other.
    variables = {"OMP_NUM_THREADS": str(torch.get_num_threads()), "OMP_WAIT_POLICY": "passive", "TQDM_DISABLE": "1"}
    started = {"include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address, runtime_env={"env_vars": variables}, logging_level="warning", **started)
    except (ConnectionError, RuntimeError, ValueError) as error:
        advice = "" if address == LOCAL else "; if the cluster wants a token, RAY_AUTH_MODE=token sends it"
        raise ValueError(f"--ray {address}: {error}{advice}") from error
    return ray


def find_cluster_address() -> str:
    """Return HOST:PORT of this machine's cluster, from the environment or Ray's file; empty if unknown."""
    return os.environ.get("RAY_ADDRESS") or (CURRENT_CLUSTER.read_text() if CURRENT_CLUSTER.is_file() else "")


def check_answer(address: str) -> None:
    """Raise ValueError if nothing answers at HOST:PORT; Ray would try for minutes and then end this process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), ANSWER_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"--ray {address}: no Ray cluster answers there ({error}); `ray status` tells more") from error


def gpu_share(address: str, resources: dict[str, float]) -> float:
    """Return the share of a GPU per task. Raises ValueError if this process uses a GPU and the cluster has none."""
    if not torch.cuda.is_available():
        return 0.0
    if not resources.get("GPU"):
        raise ValueError(
            f"--ray {address}: this machine computes on a GPU and the cluster has none, so that results would differ; "
            "CUDA_VISIBLE_DEVICES= in front of the command makes all compute on CPUs"
        )
    return 1 / TASKS_PER_GPU
