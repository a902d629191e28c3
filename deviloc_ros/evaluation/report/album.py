"""Draw localized images: what each was matched with, its points by depth, and all of them in the map."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.evaluation.report.figures import add_legend
from deviloc_ros.evaluation.report.trajectories import KEYFRAME, draw_ground_plan, draw_views, outline_map
from deviloc_ros.io.atomic import write_whole
from deviloc_ros.io.figures import save_figure
from deviloc_ros.io.match_pictures import draw_best_match, draw_depths
from deviloc_ros.maps.store import Map
from deviloc_ros.types import Localized, Result

LOCALIZED_COLOR = "#1e7d4f"


class Album:
    """Write pictures into a folder: `NAME.matches.jpg` and `NAME.depth.jpg` an image, and `map.svg`."""

    def __init__(self, folder: Path, reference_map: Map) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._map = folder, reference_map
        self._names: dict[str, int] = {}
        self._poses: list[pycolmap.Rigid3d] = []
        self._count = 0

    def add(self, name: str, gray: NDArray, result: Result) -> None:
        """Write the pictures of one image."""
        stem = self._name_file(name)
        self._write(f"{stem}.matches.jpg", draw_best_match(gray, result.evidence, self._map.view_named))
        if isinstance(result, Localized):
            self._poses.append(result.cam_from_world.inverse())
            self._write(f"{stem}.depth.jpg", draw_depths(gray, result, self._map.unit))

    def finish(self) -> int:
        """Write the map from above with all poses; return how many pictures there are."""
        outline = outline_map(self._map)
        figure, axes, plane = draw_ground_plan(outline, self._poses)
        draw_views(axes, outline.views, plane, KEYFRAME, f"reference views ({len(outline.views)})")
        if self._poses:
            draw_views(axes, self._poses, plane, LOCALIZED_COLOR, f"localized ({len(self._poses)})")
        add_legend(axes)
        save_figure(figure, self._folder / "map.svg")
        return self._count + 1

    def _name_file(self, name: str) -> str:
        """Return a file's name that is no other picture's, and leads to no other folder."""
        stem = re.sub(r"[^\w.-]+", "_", Path(name).name).strip("._") or "image"
        seen = self._names[stem] = self._names.get(stem, 0) + 1
        return stem if seen == 1 else f"{stem}-{seen}"

    def _write(self, name: str, picture: NDArray) -> None:
        path = self._folder / name
        write_whole(path, cv2.imencode(".jpg", picture)[1].tobytes())
        self._count += 1
