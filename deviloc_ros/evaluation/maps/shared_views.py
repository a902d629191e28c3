"""Localize the views of one map in another, to compare or align their frames."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pycolmap
from tqdm import tqdm

from deviloc_ros.geometry import translation_distance_m
from deviloc_ros.localizer import Localizer
from deviloc_ros.maps.alignment.known_positions import fit_poses
from deviloc_ros.maps.store import Map
from deviloc_ros.pose.gates import seen_distance_m
from deviloc_ros.search.orientation import QueryImage
from deviloc_ros.search.places import QueryState
from deviloc_ros.sources.base import SourceError
from deviloc_ros.types import Localized

MOST_VIEWS = 50  # localized, evenly spread over the map
ONE_FRAME = 0.05  # of the distance to what is seen; in one frame, a view's poses in both maps differ by less
OUTLIERS = 3.0  # times the median error, beyond which views do not count


def find_views(reference_map: Map, localizer: Localizer, *, quiet: bool = False) -> dict[str, Localized]:
    """Localize a map's views in another map, with the features that the map stores; return the results by name.

    Raises:
        ValueError: the other map uses a learned global descriptor, which needs the images.
    """
    if localizer.config.retrieval.descriptor_file:
        raise ValueError(f"{localizer.map.folder}: its global descriptors are of images, so views are not found in it")
    count = len(reference_map)
    numbers = np.unique(np.linspace(0, count - 1, min(count, MOST_VIEWS)).round().astype(int)).tolist()
    found = {}
    for number in tqdm(numbers, desc=f"looking for views in {localizer.map.name}", unit="view", disable=quiet):
        view = reference_map.view(number)
        unseen = QueryImage(np.zeros((view.camera.height, view.camera.width), np.uint8), None, view.camera)
        result = localizer.localize_query(QueryState(view.features, view.camera), unseen)
        if isinstance(result, Localized):
            found[view.name] = result
    return found


def compare_frames(folders: list[Path], *, quiet: bool = False) -> list[str]:
    """Yield for each pair of maps whether images confirm that they share a frame, or why that cannot be checked."""
    said = []
    for first, second in combinations([Map.open(folder) for folder in folders], 2):
        try:
            said.append(compare_two(first, second, quiet=quiet))
        except (ValueError, OSError) as error:  # no network or weights to localize with
            said.append(f"{second.folder}: not looked for in {first.folder}: {error}")
    return said


def compare_two(first: Map, second: Map, *, quiet: bool = False) -> str:
    """Say whether images confirm that two maps share a frame."""
    found, poses = find_views(second, Localizer(first), quiet=quiet), poses_of(second)
    words = f"{second.folder}: {len(found)} of {min(len(second), MOST_VIEWS)} views are found in {first.folder}"
    if not found:
        return f"{words}: nothing shows whether they are of one frame"
    off_m = [translation_distance_m(result.cam_from_world, poses[name]) for name, result in found.items()]
    away_m = [seen_distance_m(result.evidence.inlying, result.cam_from_world) for result in found.values()]
    words += f", {np.median(off_m):.3g} {second.unit.symbol} from where they are said to be (median)"
    if np.median(np.divide(off_m, away_m)) <= ONE_FRAME:
        return words
    return (
        f"{words}. If both show one place, bring them into one frame: `map align {second.folder} --to {first.folder}`"
    )


def poses_of(reference_map: Map) -> dict[str, pycolmap.Rigid3d]:
    """Return cam_from_world of a map's views by name."""
    return {record.name: record.cam_from_world for record in reference_map.records}


def align_to_map(reference_map: Map, other: Map, *, rigid: bool, quiet: bool = False) -> tuple[pycolmap.Sim3d, str]:
    """Estimate other_from_world from views that the other map localizes; also say in words how well it fits.

    Raises:
        SourceError: too few views are localized.
        ValueError: as `find_views`.
    """
    found = {
        name: result.cam_from_world for name, result in find_views(reference_map, Localizer(other), quiet=quiet).items()
    }
    poses = {record.name: record.cam_from_world for record in reference_map.records}
    if len(found) < 2:
        raise SourceError(f"{len(found)} of {len(reference_map)} views are found in {other.folder}: two are needed")
    other_from_world, _ = fit_poses(poses, found, rigid=rigid)
    off_m = {name: distance_after(other_from_world, poses[name], there) for name, there in found.items()}
    near = {name: found[name] for name, off in off_m.items() if off <= OUTLIERS * np.median(list(off_m.values()))}
    return fit_poses(poses, near, rigid=rigid)


def distance_after(other_from_world: pycolmap.Sim3d, here: pycolmap.Rigid3d, there: pycolmap.Rigid3d) -> float:
    """Return the distance [m] between a camera moved to another frame and its pose there."""
    return float(np.linalg.norm(other_from_world * here.tgt_origin_in_src() - there.tgt_origin_in_src()))
