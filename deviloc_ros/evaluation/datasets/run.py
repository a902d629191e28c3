"""Map each scene, localize its queries with the references that the pairs file names, score or submit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from deviloc_ros.config import Config
from deviloc_ros.evaluation.datasets.files import BenchmarkQuery, BenchmarkScene
from deviloc_ros.evaluation.metrics import QueryOutcome, compare_to_truth, summarize
from deviloc_ros.imaging import ImageError, read_gray
from deviloc_ros.io.named_poses import format_named_pose
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.build import build_map
from deviloc_ros.maps.store import Map
from deviloc_ros.sources.base import SourceError
from deviloc_ros.status import Status
from deviloc_ros.types import Localized, Lost, Result


def run_scenes(
    readers: list[Callable[[], BenchmarkScene]], config: Config, every: int, submission: Path | None
) -> list[dict[str, object]]:
    """Return a summary of each scene whose truth is known; all poses go to `submission`.

    Args:
        every: localize every n-th query only.
    """
    lines, summaries = [], []
    for read in readers:
        scene = read()
        if not scene.map_images or not scene.queries:
            raise SourceError(f"{scene.name}: {len(scene.map_images)} images to map, {len(scene.queries)} queries")
        outcomes = []
        for query, result in localize_queries(scene, config, every):
            lines += submission_lines(query, result)
            if query.cam_from_world is not None:
                outcomes.append(compare_to_truth(query.name, result, query.cam_from_world))
        if outcomes:
            summaries.append(summarize_scene(scene, config, outcomes))
    if submission is not None:
        submission.write_text("".join(line + "\n" for line in lines))
    return summaries


def localize_queries(scene: BenchmarkScene, config: Config, every: int) -> list[tuple[BenchmarkQuery, Result]]:
    """Return each query with its result."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.map"
        build_map(scene.map_images, path, config)
        localizer = Localizer(Map.open(path), config)
        for query in tqdm(scene.queries[::every], desc=scene.name, unit="query", dynamic_ncols=True):
            try:
                candidates = scene.candidates.get(query.name, []) if scene.candidates else None
                result = localizer.localize(read_gray(query.path), query.camera, candidates=candidates)
            except ImageError as error:
                result = Lost(Status.BAD_IMAGE, str(error))
            results.append((query, result))
    return results


def submission_lines(query: BenchmarkQuery, result: Result) -> list[str]:
    """Return `name qw qx qy qz tx ty tz` (cam_from_world) as visuallocalization.net reads it.

    Nothing for a lost query.
    """
    if not isinstance(result, Localized):
        return []
    return [format_named_pose(query.submitted, result.cam_from_world)]


def summarize_scene(scene: BenchmarkScene, config: Config, outcomes: list[QueryOutcome]) -> dict[str, object]:
    """Return the summary of a scene with what it was made with."""
    return {
        "protocol": scene.name,
        "matcher": config.matcher.name,
        "lift": config.lift.method,
        "references": config.retrieval.references,
        "retrieval": "pairs" if scene.candidates else "global",
        **summarize(outcomes),
    }
