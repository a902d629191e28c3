"""Localize images for `query_bench`, one a line of JSON, by whatever version of this package is on the path.

It is run as a script, by older versions too, so it imports only what they all have.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

MATRIX_SIDE = 2048
COPIED_BYTES = 256 << 20
KILOBYTE = 1024  # the unit of ru_maxrss on Linux


def serve() -> None:
    """Answer each request with one line; what the package prints goes to stderr."""
    answers, sys.stdout = sys.stdout, sys.stderr
    localizers: dict[str, Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "ceilings" in request:
            answer = measure_ceilings()
        elif "images" in request:
            answer = build(**request)
        else:
            answer = localize(localizers, **request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def build(folder: str, images: list[dict[str, Any]], matcher: str) -> dict[str, Any]:
    """Make a map of posed images and return how long it took."""
    import pycolmap

    from deviloc_ros.config import Config
    from deviloc_ros.types import Camera

    build_map = import_first("deviloc_ros.mapping.build", "deviloc_ros.maps.build").build_map
    posed_image = import_first("deviloc_ros.sources.base", "deviloc_ros.maps.sources").PosedImage
    posed = [
        posed_image(
            image["name"],
            Path(image["path"]),
            make_camera(Camera, image["camera"]),
            pycolmap.Rigid3d(image["cam_from_world"]),
        )
        for image in images
    ]
    config = replace(Config(), matcher=replace(Config().matcher, name=matcher))
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    build_map(posed, Path(folder), config, quiet=True)
    return {"build_s": time.perf_counter() - wall_s, "build_cpu_s": time.process_time() - cpu_s}


def make_camera(kind: Any, camera: list[Any]) -> Any:
    """Return a camera of a model, a width, a height and parameters."""
    model, width, height, params = camera
    return kind(model, width, height, tuple(params))


def import_first(*names: str) -> Any:
    """Import the first of these modules that this version of the package has."""
    return importlib.import_module(next(name for name in names if has_module(name)))


def has_module(name: str) -> bool:
    """Return whether there is such a module, and the package it is in."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def localize(
    localizers: dict[str, Any],
    folder: str,
    path: str,
    camera: list[Any],
    prior: list[list[float]] | None = None,
    count: bool = False,
) -> dict[str, Any]:
    """Localize one image and return how long it took; with `count` what that amounts to as well.

    Args:
        folder: the map. camera: model, width, height, parameters. prior: (3, 4) cam_from_world.
    """
    import pycolmap

    from deviloc_ros.imaging import read_gray
    from deviloc_ros.localizer import Localizer
    from deviloc_ros.maps.store import Map
    from deviloc_ros.types import Camera, Localized, Prior

    if folder not in localizers:
        localizers[folder] = Localizer(Map.open(Path(folder)))
    localizer = localizers[folder]
    gray, of_image = read_gray(path), make_camera(Camera, camera)
    expected = None if prior is None else Prior(pycolmap.Rigid3d(prior))
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    result = localizer.localize(gray, of_image, expected)
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    answer = {
        "ms": wall_s * 1e3,
        "cpu_s": cpu_s,
        "stages_ms": result.evidence.stages_ms,
        "localized": isinstance(result, Localized),
        "references": len(result.evidence.references),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE,
    }
    if count:
        answer["work"] = count_work(localizer, gray, [localizer.map.view(n) for n in range(answer["references"])])
    return answer


def count_work(localizer: Any, gray: Any, views: list[Any]) -> dict[str, dict[str, float]]:
    """Count by stage the operations of networks and products, and the bytes their operands have."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import FlopCounterMode

    from deviloc_ros.matching import create_matcher

    class ByteCounter(TorchDispatchMode):
        """Add up the sizes of what operations read and write."""

        total = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            """Run the operation and count."""
            result = function(*args, **(kwargs or {}))
            if not function.is_view:
                leaves = tree_leaves((args, kwargs, result))
                self.total += sum(t.nbytes for t in leaves if isinstance(t, torch.Tensor))
            return result

    matcher = create_matcher(replace(localizer.config.matcher, engine="torch"))
    features = matcher.extract(gray)
    work = {}
    for stage, run in {
        "extract": lambda: matcher.extract(gray),
        "match": lambda: matcher.match(features, [view.features for view in views]),
    }.items():
        with FlopCounterMode(display=False) as operations, ByteCounter() as moved:
            run()
        work[stage] = {"operations": float(operations.get_total_flops()), "bytes": float(moved.total)}
    products = sum(2 * len(features) * len(view.features) * features.descriptors.shape[1] for view in views)
    if matcher.name == "xfeat":  # multiplied on other threads, where nothing is counted
        work["match"]["operations"] += products
    return work


def measure_ceilings() -> dict[str, float]:
    """Measure what the machine gives at best: float32 operations a second of a product, bytes a second of a copy."""
    import torch

    a, b = torch.rand(MATRIX_SIDE, MATRIX_SIDE), torch.rand(MATRIX_SIDE, MATRIX_SIDE)
    source, target = (torch.zeros(COPIED_BYTES, dtype=torch.uint8) for _ in range(2))
    product_s = min(time_call(lambda: a @ b) for _ in range(5))
    copy_s = min(time_call(lambda: target.copy_(source)) for _ in range(5))
    return {"operations_per_s": 2 * MATRIX_SIDE**3 / product_s, "bytes_per_s": 2 * COPIED_BYTES / copy_s}


def time_call(function: Any) -> float:
    """Return the seconds that a function takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    serve()
