"""Drop views from maps, merge maps and move them to other frames, without the original images."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pycolmap
import torch
from numpy.typing import NDArray

from deviloc_ros.config import select_largest_map_stds
from deviloc_ros.config_fields import change_config
from deviloc_ros.maps.alignment.similarity import move_points, move_pose
from deviloc_ros.maps.georeference import GEOREFERENCE, Georeference, move_note
from deviloc_ros.maps.provenance import Provenance, join_provenances
from deviloc_ros.maps.retrieval.global_descriptors import Vlad, sample_descriptors, sample_for_retrieval
from deviloc_ros.maps.retrieval.index import Retrieval
from deviloc_ros.maps.store import Map, MapError
from deviloc_ros.maps.tensors import LARGEST_GRAIN_M, measure_grain
from deviloc_ros.maps.writer import MapWriter
from deviloc_ros.types import Landmarks, ReferenceView

log = logging.getLogger(__name__)
RUINOUS_GRAIN_M = 0.02  # of coordinates in single precision; 260 km from the origin


@contextmanager
def open_for_change(folder: Path, identity: str = "") -> Iterator[tuple[Map, MapWriter]]:
    """Open a map with a writer that replaces it, and lock it against other processes.

    Args:
        identity: of the map that the change was computed for; empty: any.

    Raises:
        MapError: there is no map, another process is writing it, or it has been changed since.
    """
    with MapWriter(folder, Map.open(folder).config, overwrite=True) as writer:
        reference_map = Map.open(folder)  # again, now that nobody else changes it
        check_identity(reference_map, identity)
        writer.config = reference_map.config
        yield reference_map, writer


def check_identity(reference_map: Map, identity: str) -> None:
    """Raise MapError if a map does not have this identity; an empty one accepts any map."""
    if identity and reference_map.identity != identity:
        raise MapError(f"{reference_map.folder}: another process has changed this map in the meantime; run this again")


def drop_views(folder: Path, names: Iterable[str], identity: str = "") -> None:
    """Drop views from a map, with the landmarks that no other view observes.

    Args:
        identity: as of `open_for_change`.

    Raises:
        MapError: a name is unknown, no view would be left, or as `open_for_change`.
    """
    dropped = set(names)
    with open_for_change(folder, identity) as (reference_map, writer):
        if unknown := sorted(name for name in dropped if name not in reference_map):
            raise MapError(f"{folder}: no view is named {unknown[0]!r}")
        kept = [n for n, record in enumerate(reference_map.records) if record.name not in dropped]
        if not kept:
            raise MapError(f"{folder}: dropping all of its {len(reference_map)} views would leave no map")
        for number in kept:
            writer.keep_view(reference_map.records[number])
        observed = {id_ for number in kept for id_ in reference_map.landmarks_of(number).ids.tolist()}
        points = {id_: point for id_, point in points_by_id(reference_map).items() if id_ in observed}
        provenance = reference_map.manifest.provenance.add_change(reference_map.identity, dropped=len(dropped))
        writer.finish(points, reference_map.retrieval().keep_rows(kept), provenance)


def merge_maps(folders: list[Path], output: Path, *, prefix: bool = False, overwrite: bool = False) -> int:
    """Merge maps that share a world frame into one, and return its number of views.

    VLAD descriptors are computed anew, with a codebook learned from all maps.

    Args:
        prefix: put the map's name in front of its views' names.

    Raises:
        MapError: the maps were made with different matchers, weights or networks, some are in metres and some are not,
            or two of their views have one name.
    """
    maps = [Map.open(folder) for folder in folders]
    check_together(maps)
    with MapWriter(output, maps[0].config, overwrite=overwrite) as writer:
        maps = [Map.open(folder) for folder in folders]  # again: one may be the map that is replaced, and have changed
        check_together(maps)
        stds = select_largest_map_stds(*(reference_map.config.pose for reference_map in maps))
        writer.config = change_config(maps[0].config, pose=stds)
        points: dict[int, NDArray] = {}
        for reference_map in maps:
            first_id = max(points, default=-1) + 1
            for number in range(len(reference_map)):
                view = reference_map.view(number)
                features = writer.write_dense(len(writer.records), view.features, view.tower)
                name = f"{reference_map.folder.stem}/{view.name}" if prefix else view.name
                view = replace(view, name=name, features=features)
                writer.add_view(view, shift_ids(view.landmarks, first_id), reference_map.records[number].session)
            points |= {first_id + id_: point for id_, point in points_by_id(reference_map).items()}
        provenance = join_provenances(
            [(m.folder.stem, m.manifest.provenance) for m in maps],
            [{"identity": m.identity, "views": len(m)} for m in maps],
        )
        warn_of_lost_place(output, maps, provenance)
        writer.finish(points, join_retrieval(maps), provenance)
    return sum(len(reference_map) for reference_map in maps)


def align_map(
    folder: Path,
    new_from_world: pycolmap.Sim3d,
    output: Path,
    notes: dict[str, Any],
    *,
    overwrite: bool = False,
    identity: str = "",
) -> None:
    """Write a copy of a map in another frame, scaled by `new_from_world.scale`.

    Args:
        notes: about frame and scale, for the copy's manifest.
        identity: of the map that the transform was computed for; empty: any.

    Raises:
        MapError: another process has changed the map since; the scale changes and the map holds what its lifting
            method computed at the old one; or it would lie so far from its origin that points could not be told apart.
    """
    with MapWriter(output, Map.open(folder).config, overwrite=overwrite) as writer:
        reference_map = Map.open(folder)  # again: it may be the map that is replaced, and have changed
        check_identity(reference_map, identity)
        std_m = float(new_from_world.scale * reference_map.config.pose.map_position_std_m)
        writer.config = change_config(reference_map.config, pose={"map_position_std_m": std_m})
        check_grain(folder, move_points(new_from_world, reference_map.centres))
        for number in range(len(reference_map)):
            view = move_view(reference_map.view(number), new_from_world)
            if view.tower and abs(new_from_world.scale - 1) > 1e-9:
                raise MapError(f"{folder}: maps of lift method {writer.config.lift.method!r} keep their scale")
            features = writer.write_dense(len(writer.records), view.features, view.tower)
            writer.add_view(replace(view, features=features), view.landmarks, reference_map.records[number].session)
        ids, points = reference_map.landmarks_and_ids()
        moved = dict(zip(ids.tolist(), move_points(new_from_world, points), strict=True))
        provenance = reference_map.manifest.provenance.add_change(reference_map.identity, aligned=len(reference_map))
        provenance = replace(provenance, notes=move_note(provenance.notes, new_from_world)).add_notes(notes)
        writer.finish(moved, reference_map.retrieval(), provenance)


def check_grain(folder: Path, centres: NDArray) -> None:
    """Raise MapError, or warn, where single precision would blur the points around (V, 3) camera centres."""
    grain_m, words = measure_grain(centres)
    if grain_m > RUINOUS_GRAIN_M:
        raise MapError(f"{folder}: {words}")
    if grain_m > LARGEST_GRAIN_M:
        log.warning(words)


def move_view(view: ReferenceView, new_from_world: pycolmap.Sim3d) -> ReferenceView:
    """Return a view whose pose, 3D points and depths are expressed in the new frame."""
    lifted = replace(
        view.lifted,
        points_in_world=move_points(new_from_world, view.lifted.points_in_world),
        depths=new_from_world.scale * view.lifted.depths,
    )
    points = move_points(new_from_world, view.landmarks.points_in_world)
    return replace(
        view,
        cam_from_world=move_pose(new_from_world, view.cam_from_world),
        lifted=lifted,
        landmarks=replace(view.landmarks, points_in_world=points),
    )


def check_together(maps: list[Map]) -> None:
    """Raise MapError unless the maps can be merged."""
    for other in maps[1:]:
        check_compatible(maps[0], other)
    check_scales(maps)


def check_compatible(one: Map, other: Map) -> None:
    """Raise MapError unless queries can be matched with both maps at once."""
    said = one.manifest.provenance
    if one.matcher_name != other.matcher_name:
        raise MapError(
            f"{other.folder}: built with matcher {other.matcher_name!r}, {one.folder} with {one.matcher_name!r}"
        )
    other.check_matcher(one.matcher_name, said.weights_id, said.descriptor_size or 0)
    if said.networks != other.manifest.provenance.networks:
        raise MapError(f"{other.folder}: its views are described by another network than those of {one.folder}")
    if other.config.lift.method != one.config.lift.method:
        raise MapError(
            f"{other.folder}: built with lift method {other.config.lift.method!r}, "
            f"{one.folder} with {one.config.lift.method!r}"
        )


def check_scales(maps: list[Map]) -> None:
    """Raise MapError if only some maps are in metres; warn if each may have a unit of its own."""
    arbitrary = [reference_map for reference_map in maps if not reference_map.manifest.provenance.is_metric]
    if 0 < len(arbitrary) < len(maps):
        raise MapError(f"{arbitrary[0].folder}: its scale is arbitrary, that of others is metres; `map align` it first")
    if len(arbitrary) > 1:
        log.warning("the scale of each map is arbitrary: joined they are right only if they come from one structure")


def join_retrieval(maps: list[Map]) -> Retrieval:
    """Build the retrieval of merged maps: VLAD with a new codebook, or a network's descriptors unchanged."""
    if maps[0].manifest.provenance.descriptor_id:
        return Retrieval.learn(torch.cat([reference_map.retrieval().descriptors for reference_map in maps]), None)

    def features() -> Iterator:
        return (sample_for_retrieval(m.view(number).features) for m in maps for number in range(len(m)))

    count = sum(len(m) for m in maps)
    vlad = Vlad.learn(sample_descriptors((f.descriptors for f in features()), count))
    return Retrieval.learn(torch.stack([vlad.describe(None, f) for f in features()]), vlad)


def warn_of_lost_place(output: Path, maps: list[Map], provenance: Provenance) -> None:
    """Log a warning if maps say where on Earth they lie, and what is joined of them does not."""
    placed = [reference_map.folder.stem for reference_map in maps if reference_map.georeference]
    if placed and Georeference.from_note(provenance.notes.get(GEOREFERENCE)) is None:
        why = (
            "its maps say it differently"
            if len(placed) == len(maps)
            else f"of its maps only {', '.join(placed)} say it"
        )
        log.warning(
            "%s: it is not known where on Earth it lies: %s (`map align --positions FILE --geographic`)", output, why
        )


def points_by_id(reference_map: Map) -> dict[int, NDArray]:
    """Return each landmark's position [m] by its id."""
    ids, points = reference_map.landmarks_and_ids()
    return dict(zip(ids.tolist(), points, strict=True))


def shift_ids(landmarks: Landmarks, by: int) -> Landmarks:
    """Return the landmarks with ids increased by `by`."""
    return replace(landmarks, ids=landmarks.ids + by)
