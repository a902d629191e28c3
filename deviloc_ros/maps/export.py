"""Write a map for other programs: as a COLMAP model, or its landmarks as a point cloud."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap

from deviloc_ros.io.atomic import replace_files_on_success
from deviloc_ros.maps.store import Map, MapError
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.sources.colmap import build_reconstruction, pixels_to_colmap


def export_colmap(reference_map: Map, folder: Path, *, text: bool = False) -> pycolmap.Reconstruction:
    """Write cameras, poses and landmarks as a COLMAP model, binary by default.

    Raises:
        MapError: with `text`, a view's name has a space in it, at which COLMAP's text files would cut it.
    """
    spaced = [record.name for record in reference_map.records if record.name.split() != [record.name]]
    if text and spaced:
        raise MapError(f"view {spaced[0]!r}: COLMAP's text files take no spaces in names; leave --text out")
    reconstruction = to_reconstruction(reference_map)
    with replace_files_on_success(folder) as beside:
        reconstruction.write_text(str(beside)) if text else reconstruction.write_binary(str(beside))
    return reconstruction


def export_ply(reference_map: Map, path: Path) -> pycolmap.Reconstruction:
    """Write the landmarks that views observe as a PLY point cloud."""
    reconstruction = to_reconstruction(reference_map)
    with replace_files_on_success(path.parent) as beside:
        reconstruction.export_PLY(str(beside / path.name))
    return reconstruction


def to_reconstruction(reference_map: Map) -> pycolmap.Reconstruction:
    """Build a COLMAP model: image ids count from 1 in the map's order; each image has the landmarks it observes."""
    posed = [PosedImage(r.name, Path(r.name), r.camera, r.cam_from_world) for r in reference_map.records]
    reconstruction = build_reconstruction(posed)
    tracks: dict[int, pycolmap.Track] = {}
    points: dict[int, np.ndarray] = {}
    for number in range(len(reference_map)):
        observed = reference_map.landmarks_of(number)
        pixels = pixels_to_colmap(observed.keypoints.astype(float))
        reconstruction.image(number + 1).points2D = pycolmap.Point2DList([pycolmap.Point2D(xy) for xy in pixels])
        for row, (id_, point) in enumerate(zip(observed.ids.tolist(), observed.points_in_world, strict=True)):
            tracks.setdefault(id_, pycolmap.Track()).add_element(number + 1, row)
            points[id_] = point.astype(float)
    for id_, track in tracks.items():
        reconstruction.add_point3D(points[id_], track)
    return reconstruction
