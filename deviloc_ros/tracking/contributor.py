"""Keep images that the map can be extended with: where the pose is sure but the map has few or different views."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from deviloc_ros.config import ContributeConfig
from deviloc_ros.geometry import isotropic_covariance, largest_std, move_covariance
from deviloc_ros.imaging import to_gray
from deviloc_ros.maps.retrieval.by_pose import centres_and_axes, distance_to_nearest
from deviloc_ros.maps.store import Map
from deviloc_ros.masks import Mask, read_mask
from deviloc_ros.sources.contributions import (
    Contribution,
    delete_contribution,
    list_entries,
    measure_contribution,
    pack_contribution,
    read_contributions,
    write_contribution,
)
from deviloc_ros.tracking.rig_images import TakenTogether
from deviloc_ros.types import Localized, RigImage

BYTES_PER_MB = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class KeptEntry:
    """Hold an entry of the folder and its size."""

    entry: Contribution
    size_bytes: int


class Contributor:
    """Keep images in a folder of bounded size. To be called only by the thread that follows.

    problem: why the last wanted image could not be kept; empty if it was.

    Raises:
        ValueError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, config: ContributeConfig) -> None:
        self._folder, self._config = folder, config
        self.problem = ""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".probe"
            probe.touch()
            probe.unlink()
        except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
            why = error.strerror if isinstance(error, OSError) else ""
            raise ValueError(f"contribute_path {folder}: cannot be written to: {why or error}") from error
        there = read_contributions(folder)[0] if any(folder.glob("*.json")) else []
        self._kept = {entry.name: KeptEntry(entry, measure_contribution(folder, entry.name)) for entry in there}

    @property
    def summary(self) -> str:
        """Return in words how much is kept."""
        return f"{len(self._kept)} images, {self._size_bytes / BYTES_PER_MB:.1f} MB"

    @property
    def _size_bytes(self) -> int:
        return sum(kept.size_bytes for kept in list(self._kept.values()))

    def offer(self, reference_map: Map, taken: TakenTogether, result: Localized, mask: Mask | None = None) -> None:
        """Keep those images of a believed pose that the map could use.

        Args:
            mask: for images that have none of their own.
        """
        for image, entry in make_entries(taken, result, reference_map.identity):
            if self._is_wanted(entry, reference_map):
                self._keep(entry, image, image.mask or mask)

    def _is_wanted(self, entry: Contribution, reference_map: Map) -> bool:
        """Return whether the pose is sure, the map has few views there, and no similar image is kept for this map."""
        config, pose = self._config, entry.cam_from_world
        if largest_std(entry.covariance[:3, :3]) > config.max_position_std_m:
            return False
        is_far = distance_to_nearest(reference_map.centres, reference_map.axes, pose) > config.far_view_m
        if entry.inliers >= config.few_inliers and not is_far:
            return False
        kept = [k.entry.cam_from_world for k in self._kept.values() if k.entry.map_id == entry.map_id]
        return distance_to_nearest(*centres_and_axes(kept), pose) >= config.spacing_m

    def _keep(self, entry: Contribution, image: RigImage, mask: Mask | None) -> None:
        """Write an entry if there is room for it, or if less useful ones can make room."""
        try:
            used = read_mask(mask, (image.camera.width, image.camera.height))
            files = pack_contribution(entry, to_gray(image.pixels, image.camera), used)
            size_bytes = sum(map(len, files.values()))
            if self._make_room(entry, size_bytes):
                write_contribution(self._folder, entry.name, files)
                self._kept[entry.name] = KeptEntry(entry, size_bytes)
            self.problem = ""
        except (OSError, ValueError) as error:  # an image that cannot be kept takes no pose away
            why = error.strerror if isinstance(error, OSError) else ""
            self.problem = f"contribute_path {self._folder}: {why or error}"

    def _make_room(self, entry: Contribution, size_bytes: int) -> bool:
        """Delete entries with the most inliers while the folder is full; return whether there is room then."""
        budget_bytes = self._config.budget_mb * BYTES_PER_MB
        if self._size_bytes + size_bytes > budget_bytes:
            self._forget_deleted()
        while self._size_bytes + size_bytes > budget_bytes:
            known_best = max((k.entry for k in self._kept.values()), key=lambda e: e.inliers, default=entry)
            if known_best.inliers <= entry.inliers:
                return False
            delete_contribution(self._folder, known_best.name)
            del self._kept[known_best.name]
        return True

    def _forget_deleted(self) -> None:
        """Forget the entries that somebody has taken out of the folder meanwhile."""
        there = {path.stem for path in list_entries(self._folder)}
        self._kept = {name: kept for name, kept in self._kept.items() if name in there}


def make_entries(taken: TakenTogether, result: Localized, map_id: str) -> Iterator[tuple[RigImage, Contribution]]:
    """Yield each image that took part in a pose with its entry: the camera's pose, for a rig by that of the rig."""
    reports = {report.name: report for report in result.evidence.cameras if report.used}
    as_taken = {image.name: image for image in taken.images}
    for image in taken.rig_images:
        name = entry_name(as_taken[image.name].stamp_ns, image.name)
        pose, inliers = (result.cam_from_world, result.covariance), result.evidence.inliers
        entry = Contribution(name, Path(), image.camera, *pose, inliers, map_id)
        if len(taken.rig_images) == 1:
            yield image, entry
        elif image.name in reports:
            yield image, place_on_rig(entry, image, result, reports[image.name].inliers)


def place_on_rig(entry: Contribution, image: RigImage, result: Localized, inliers: int) -> Contribution:
    """Return the entry with the pose of one camera of a rig; the uncertainty of its mount is added."""
    world_from_rig = result.cam_from_world.inverse()
    covariance = move_covariance(world_from_rig, result.covariance, image.rig_from_cam)
    covariance = covariance + isotropic_covariance(image.std_m, image.std_rad)
    cam_from_world = image.rig_from_cam.inverse() * result.cam_from_world
    return replace(entry, cam_from_world=cam_from_world, covariance=covariance, inliers=inliers)


def entry_name(stamp_ns: int, camera: str) -> str:
    """Return the name of an entry from stamp and camera, which may be a topic with slashes."""
    plain = re.sub(r"\W+", "_", camera).strip("_")
    return f"{stamp_ns}-{plain}" if plain else str(stamp_ns)
