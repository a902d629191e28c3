"""Time queries by stage, and compare with an older version of this package in the same run.

Versions take turns image by image, each in a process of its own, so that other load on the machine affects both.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deviloc_ros.evaluation.protocols.scenes import load_protocol
from deviloc_ros.evaluation.speed import render_views
from deviloc_ros.sources.base import PosedImage

PROTOCOL = "kitchen-36"
RENDERED_VIEWS, RENDERED_QUERIES = 9, 4
WARM_UPS = 2  # queries that read views and start threads
GLOBAL, TRACKING = "global", "tracking"
NOW, BEFORE, LOADED = "", "baseline_", "loaded_"
SPIN = "while True: pass"


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """Define the benchmark. every: use every n-th query. baseline: a git ref. loaded: also with a busy core."""

    data: Path | None
    every: int = 1
    baseline: str = ""
    loaded: bool = False
    matchers: tuple[str, ...] = ("xfeat", "xfeat-lighterglue")


def measure_queries(bench: BenchPlan) -> dict[str, Any]:
    """Measure every case; the result is what --json writes.

    Raises:
        SourceError: the data is not there.
        ValueError: the baseline is no commit of this package.
    """
    package = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        map_images, queries = read_images(bench, folder)
        workers = {NOW: stack.enter_context(start_worker(package))}
        if bench.baseline:
            unpack_version(package, bench.baseline, folder / "baseline")
            workers[BEFORE] = stack.enter_context(start_worker(folder / "baseline"))
        spinner = stack.enter_context(start_spinner()) if bench.loaded else None
        ceilings = workers[NOW].ask({"ceilings": True})
        cases = []
        for matcher in bench.matchers:
            built = build_maps(workers, map_images, folder, matcher)
            for mode in (GLOBAL, TRACKING):
                measured = measure_case(workers, spinner, folder / matcher, queries, mode, ceilings)
                cases.append({"name": f"{matcher}/{mode}"} | built | measured)
    return {"ceilings": ceilings, "cores": len(os.sched_getaffinity(0)), "baseline": bench.baseline, "cases": cases}


def build_maps(
    workers: dict[str, BenchWorker], images: list[PosedImage], folder: Path, matcher: str
) -> dict[str, float]:
    """Let every version build its own map in a folder of the matcher; return the seconds per view."""
    (folder / matcher).mkdir()
    described = [describe_image(image) | {"cam_from_world": pose_of(image), "name": image.name} for image in images]
    seconds: dict[str, float] = {}
    for version, worker in workers.items():
        request = {"folder": str(folder / matcher / f"{version}map"), "images": described, "matcher": matcher}
        took = worker.ask(request)
        seconds |= {f"{version}{key}_per_view": value / len(images) for key, value in took.items()}
    return seconds


def read_images(bench: BenchPlan, folder: Path) -> tuple[list[PosedImage], list[PosedImage]]:
    """Return the images of a map and the queries: of kitchen-36, or without data rendered ones."""
    if bench.data is not None:
        (fold,) = load_protocol(PROTOCOL, bench.data, bench.every).folds
        return fold.map_images, fold.queries
    views = render_views(folder, RENDERED_VIEWS + RENDERED_QUERIES)
    queries = views[1 :: len(views) // RENDERED_QUERIES][:RENDERED_QUERIES]
    return [view for view in views if view not in queries], queries


def measure_case(
    workers: dict[str, BenchWorker],
    spinner: Spinner | None,
    folder: Path,
    queries: list[PosedImage],
    mode: str,
    ceilings: dict[str, float],
) -> dict[str, Any]:
    """Measure one matcher in one mode: each query by each version in turn, and by this one beside the spinner."""
    requests = [request_for(query, mode) for query in queries]
    maps = {version: {"folder": str(folder / f"{version}map")} for version in workers}
    for version, worker in workers.items():
        for request in requests[:WARM_UPS]:
            worker.ask(request | maps[version])
    answers: dict[str, list[dict[str, Any]]] = {NOW: [], BEFORE: [], LOADED: []}
    for request in requests:
        for version, worker in workers.items():
            answers[version].append(worker.ask(request | maps[version]))
        if spinner is not None:
            with spinner:
                answers[LOADED].append(workers[NOW].ask(request | maps[NOW]))
    case: dict[str, Any] = {}
    for version in (version for version, given in answers.items() if given):
        case |= {version + key: value for key, value in summarize(answers[version]).items()}
    for version, name in ((BEFORE, "ratio"), (LOADED, "loaded_ratio")):
        if answers[version]:
            pairs = zip(answers[version], answers[NOW], strict=True)
            case[name] = float(np.median([theirs["ms"] / ours["ms"] for theirs, ours in pairs]))
    work = workers[NOW].ask(requests[-1] | maps[NOW] | {"count": True})["work"]
    return case | {"floor": {stage: find_floor(work[stage], ceilings) for stage in work}}


def request_for(query: PosedImage, mode: str) -> dict[str, Any]:
    """Return the request for a query; in tracking mode the prior is its true pose."""
    return describe_image(query) | ({"prior": pose_of(query)} if mode == TRACKING else {})


def describe_image(image: PosedImage) -> dict[str, Any]:
    """Return the file and camera of an image for a worker."""
    camera = image.camera
    return {"path": str(image.path), "camera": [camera.model, camera.width, camera.height, list(camera.params)]}


def pose_of(image: PosedImage) -> list[list[float]]:
    """Return the (3, 4) matrix of the image's pose."""
    return image.cam_from_world.matrix().tolist()


def summarize(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians over the queries, 95 % quantiles, and the peak of memory."""
    stages = answers[0]["stages_ms"]
    of_stage = {stage: [answer["stages_ms"].get(stage, 0.0) for answer in answers] for stage in stages}
    return {
        "ms": float(np.median([answer["ms"] for answer in answers])),
        "p95_ms": float(np.quantile([answer["ms"] for answer in answers], 0.95)),
        "cpu_s": float(np.median([answer["cpu_s"] for answer in answers])),
        "stages_ms": {stage: [float(np.median(ms)), float(np.quantile(ms, 0.95))] for stage, ms in of_stage.items()},
        "localized": sum(answer["localized"] for answer in answers),
        "queries": len(answers),
        "references": float(np.mean([answer["references"] for answer in answers])),
        "peak_bytes": answers[-1]["peak_bytes"],
    }


def find_floor(work: dict[str, float], ceilings: dict[str, float]) -> dict[str, float]:
    """Return the counts of operations and bytes, and the milliseconds that they take at the machine's peak rates."""
    operations_ms = work["operations"] / ceilings["operations_per_s"] * 1e3
    bytes_ms = work["bytes"] / ceilings["bytes_per_s"] * 1e3
    return work | {"operations_ms": operations_ms, "bytes_ms": bytes_ms}


class BenchWorker:
    """Hold a process that localizes with one version of the package."""

    def __init__(self, process: subprocess.Popen[str], package: Path) -> None:
        self.process, self.package = process, package

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return the answer. Raises ValueError if the process ended; stderr has the reason."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise ValueError(f"the version under {self.package} cannot localize, see above")
        return json.loads(line)


@contextmanager
def start_worker(package: Path) -> Iterator[BenchWorker]:
    """Start a process that imports the package of this folder."""
    script = Path(__file__).with_name("query_worker.py")
    # An editable install would fill in the modules that an older version lacks.
    code = (
        "import runpy, sys; sys.path.insert(0, sys.argv[1]); "
        "sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in repr(finder).lower()]; "
        f"runpy.run_path({str(script)!r}, run_name='__main__')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(package)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))},
    )
    try:
        yield BenchWorker(process, package)
    finally:
        process.kill()
        process.communicate()


class Spinner:
    """Keep one core busy with a process inside `with` blocks of this object."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def __enter__(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGSTOP)


@contextmanager
def start_spinner() -> Iterator[Spinner]:
    """Start the spinning process, asleep."""
    process = subprocess.Popen([sys.executable, "-c", SPIN])
    spinner = Spinner(process)
    spinner.__exit__()
    try:
        yield spinner
    finally:
        process.kill()
        process.wait()


def unpack_version(package: Path, ref: str, target: Path) -> None:
    """Write the package of a commit to a folder. Raises ValueError if there is no such commit or no repository."""
    archive = subprocess.run(["git", "-C", str(package), "archive", ref, "deviloc_ros"], capture_output=True)
    if archive.returncode:
        raise ValueError(f"--baseline {ref}: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(target, filter="data")


def render_report(found: dict[str, Any]) -> str:
    """Return what was measured as tables to read."""
    ceilings = found["ceilings"]
    lines = [
        f"{found['cores']} cores; ceilings now: {ceilings['operations_per_s'] / 1e9:.0f} GFLOP/s (matrix product), "
        f"{ceilings['bytes_per_s'] / 1e9:.1f} GB/s (memory copy)"
    ]
    for case in found["cases"]:
        lines += ["", describe_case(case), describe_building(case)]
        for stage, (median, high) in case["stages_ms"].items():
            before = case.get("baseline_stages_ms", {}).get(stage)
            line = f"  {stage:<10} {median:7.1f} ms   95 %: {high:7.1f}"
            line += f"   baseline {before[0]:7.1f}" if before else ""
            lines.append(line + describe_floor(case["floor"].get(stage), median))
    return "\n".join(lines)


def describe_case(case: dict[str, Any]) -> str:
    """Return the line above a case's stages."""
    line = (
        f"{case['name']}: {case['ms']:.0f} ms (95 %: {case['p95_ms']:.0f}), {case['cpu_s'] * 1e3:.0f} ms of CPU, "
        f"{case['references']:.1f} references, {case['localized']} of {case['queries']} localized, "
        f"peak {case['peak_bytes'] / 2**20:.0f} MiB"
    )
    if "ratio" in case:
        line += f"; {case['ratio']:.2f} x as fast as the baseline ({case['baseline_ms']:.0f} ms, "
        line += f"{case['baseline_cpu_s'] * 1e3:.0f} ms of CPU)"
    if "loaded_ratio" in case:
        line += f"; beside a program that keeps a core busy {case['loaded_ms']:.0f} ms ({case['loaded_ratio']:.2f} x)"
    return line


def describe_building(case: dict[str, Any]) -> str:
    """Return the line that says what its map took."""
    line = f"  map: {case['build_s_per_view']:.2f} s a view, {case['build_cpu_s_per_view']:.2f} s of CPU"
    if "baseline_build_s_per_view" in case:
        line += f"; baseline {case['baseline_build_s_per_view']:.2f} s, {case['baseline_build_cpu_s_per_view']:.2f} s"
    return line


def describe_floor(floor: dict[str, float] | None, median_ms: float) -> str:
    """Return the ratio of a stage's time to the machine's best; empty if nothing was counted."""
    if floor is None or not floor["operations_ms"]:
        return ""
    times = median_ms / floor["operations_ms"]
    return (
        f"   floor {floor['operations_ms']:.1f} ms of {floor['operations'] / 1e9:.2f} GFLOP ({times:.1f} x), "
        f"{floor['bytes_ms']:.1f} ms of {floor['bytes'] / 1e6:.0f} MB"
    )
