"""Open a map on disk: a manifest, and one safetensors file per view, read when the view is first needed.

    kitchen.map/
      manifest.json                    version, config it was built with, views (name, camera, pose, file, hash)
      landmarks-3f….safetensors        ids, points_in_world
      retrieval-09….safetensors        centroids, descriptors
      index-5b….safetensors            only in maps of very many views
      views/a1….safetensors …
      views/dense-77….safetensors …    only for matchers with a fine map

Every file's SHA-256 is in the manifest and checked before the file is used. Files are read as a whole, not mapped into
memory, where another program could still truncate them. Nothing in a map is executed. `writer.py` writes maps,
`edit.py` changes them.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import MATCHERS, Config, RetrievalConfig
from deviloc_ros.io.suggestions import suggest
from deviloc_ros.io.units import Unit
from deviloc_ros.maps.checks import IDENTIFIER, LENGTH, check_array, check_landmark_arrays
from deviloc_ros.maps.files import Arrays, read_arrays, read_landmarks
from deviloc_ros.maps.georeference import GEOREFERENCE, Georeference
from deviloc_ros.maps.manifest import (
    MANIFEST,
    Manifest,
    MapError,
    StoredFile,
    ViewRecord,
    name_in_errors,
    read_manifest,
)
from deviloc_ros.maps.retrieval.by_pose import centres_and_axes, nearest_by_pose
from deviloc_ros.maps.retrieval.complementary_views import choose_complementary, predict_shown
from deviloc_ros.sampling import thin_evenly
from deviloc_ros.types import Area, Features, Landmarks, Prior, ReferenceView

if TYPE_CHECKING:
    from deviloc_ros.maps.retrieval.global_descriptors import LearnedDescriptor
    from deviloc_ros.maps.retrieval.index import Retrieval

VIEWS_IN_MEMORY, BYTES_IN_MEMORY = 512, 2 << 30
NEARBY_PER_REFERENCE = 3  # views near the prior that are compared with the query for each reference
NEARBY_IN_SHORTLIST = 100  # nearest views, of which those are chosen by what they should show of the query
SEEN_SHARE = 0.1  # a view of whose points a smaller share should be matched from a pose may see another place
POINTS_SEEN, SEEN_IN_MEMORY = 128, 10_000  # points per view, and views whose points are kept: 30 MB

__all__ = ["Map", "MapError", "ViewRecord"]


class Map:
    """Give access to the reference views of a map, read when first needed; the most recently used stay in memory."""

    folder: Path
    """Hold the path of the folder that the map was read from."""
    config: Config
    """Hold the parameters that the map was built with, the default of a Localizer."""
    records: list[ViewRecord]
    """Hold the name, camera and pose of each view, in the map's order."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.config, self.records = manifest.config, manifest.views
        self._numbers = {record.name: number for number, record in enumerate(self.records)}
        self.centres, self.axes = centres_and_axes([record.cam_from_world for record in self.records])
        sessions = np.array([record.session for record in self.records])
        self._rows_of_sessions = [np.flatnonzero(sessions == session) for session in self.sessions]
        self._views: OrderedDict[int, ReferenceView] = OrderedDict()
        self._view_bytes: dict[int, int] = {}
        self._views_lock = threading.Lock()  # the cameras of a rig are localized at the same time
        # A weak reference, since with a bound method of its own the map would only be freed by the garbage collector.
        itself = weakref.proxy(self)
        self._seen = lru_cache(SEEN_IN_MEMORY)(lambda number: itself._sample_points_seen(number))
        self._retrieval: Retrieval | None = None
        self._learned: LearnedDescriptor | None = None
        self._descriptor_size = 0  # known with the first view, or from the matcher

    @staticmethod
    def open(folder: Path | str) -> Map:
        """Open a map; this reads only its manifest.

        Raises:
            MapError: there is no map, its version is not supported, or its manifest is damaged.
        """
        return Map(Path(folder), read_manifest(Path(folder)))

    def __len__(self) -> int:
        """Return the number of views."""
        return len(self.records)

    def __contains__(self, name: str) -> bool:
        """Return whether there is a view of this name."""
        return name in self._numbers

    def __repr__(self) -> str:
        return f"<Map {str(self.folder)!r}: {len(self)} views, matcher {self.matcher_name!r}>"

    @property
    def identity(self) -> str:
        """Return the hash of everything in the map."""
        return self.manifest.identity

    @property
    def name(self) -> str:
        """Return the name of its folder."""
        return self.folder.resolve().name

    @property
    def sessions(self) -> list[str]:
        """Return the names of the sessions in which its views were taken; the empty name for views without one."""
        return list(dict.fromkeys(record.session for record in self.records))

    def list_views_of(self, session: str) -> list[str]:
        """Return the names of a session's views. Raises MapError if there are none."""
        names = [record.name for record in self.records if record.session == session]
        if not names:
            raise MapError(f"{self.folder}: no view is of session {session!r}{suggest(session, self.sessions)}")
        return names

    @property
    def unit(self) -> Unit:
        """Return the unit of its lengths: metres, or an arbitrary one."""
        return self.manifest.provenance.unit

    @cached_property
    def georeference(self) -> Georeference | None:
        """Return where on Earth the map lies, None if unknown. Raises MapError if the manifest's note is invalid."""
        try:
            return Georeference.from_note(self.manifest.provenance.notes.get(GEOREFERENCE))
        except ValueError as error:
            raise MapError(f"{self.folder / MANIFEST}: {error}") from error

    @property
    def size_bytes(self) -> int:
        """Return the size of all files in the map's folder."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    @property
    def matcher_name(self) -> str:
        """Return the name of the matcher that the map was built with."""
        return self.manifest.provenance.matcher or self.config.matcher.name

    @property
    def has_foreign_matcher(self) -> bool:
        """Return whether the map is known to be built with a matcher that is not one of the package's."""
        return self.matcher_name not in MATCHERS

    def check_matcher(self, name: str, weights_id: str = "", descriptor_size: int = 0) -> None:
        """Raise MapError if the map was built with a matcher of another name, other weights or other descriptors.

        Args:
            descriptor_size: that the views' descriptors must have; 0: any, but the same for all views.
        """
        said = self.manifest.provenance
        if name in MATCHERS and self.has_foreign_matcher:
            raise MapError(
                f"{self.folder}: built with the matcher {self.matcher_name!r}, which is not in the package: pass it "
                "to Localizer(map, matcher=...)"
            )
        # A map that does not name its matcher may be built with one that is not the package's
        if name != self.matcher_name and (said.matcher or name in MATCHERS):
            raise MapError(f"{self.folder}: built with matcher {self.matcher_name!r}, asked to match with {name!r}")
        if weights_id != said.weights_id:
            raise MapError(
                f"{self.folder}: built with other weights of the matcher {name!r} than those it is used with; "
                "build it again"
            )
        if descriptor_size and said.descriptor_size not in (None, descriptor_size):
            raise MapError(
                f"{self.folder}: built with descriptors of {said.descriptor_size} values, those of the matcher "
                f"{name!r} have {descriptor_size}; build it again"
            )
        self._descriptor_size = descriptor_size or self._descriptor_size

    def describe_with(self, learned: LearnedDescriptor | None) -> None:
        """Set the network that describes queries as it did the views; None: the map's own VLAD codebook.

        Raises:
            MapError: the views were described by something else.
        """
        known, given = self.manifest.provenance.descriptor_id, learned.identity if learned else ""
        if known and not given:
            raise MapError(
                f"{self.folder}: its views are described by a network (SHA-256 {known}); "
                "name its file, as --set retrieval.descriptor_file=FILE"
            )
        if known != given:
            raise MapError(f"{self.folder}: its views are not described by retrieval.descriptor_file; build it again")
        self._learned = learned

    def view(self, number: int) -> ReferenceView:
        """Return one view, read from its files unless it is still in memory.

        Raises:
            MapError: a file of it is missing or damaged.
        """
        with self._views_lock:
            return self._read_view(number)

    def _read_view(self, number: int) -> ReferenceView:
        if number in self._views:
            self._views.move_to_end(number)
            return self._views[number]
        from deviloc_ros.maps.tensors import read_view  # imports PyTorch, which only opening a map does not need

        with self.explain_missing_files():
            view, size_bytes = read_view(self.folder, self.records[number])
        self._check_descriptors(view)
        self._views[number], self._view_bytes[number] = view, size_bytes
        self._forget_views()
        return view

    def _check_descriptors(self, view: ReferenceView) -> None:
        size = view.features.descriptors.shape[-1]
        self._descriptor_size = self._descriptor_size or size
        if size != self._descriptor_size:
            raise MapError(
                f"{self.folder}: descriptors of view {view.name!r} have {size} values, others {self._descriptor_size}"
            )

    def _forget_views(self) -> None:
        """Drop the oldest views beyond the limits; at least one stays."""
        while len(self._views) > 1 and (
            len(self._views) > VIEWS_IN_MEMORY or sum(self._view_bytes.values()) > BYTES_IN_MEMORY
        ):
            del self._view_bytes[self._views.popitem(last=False)[0]]

    def nearby_views(
        self, query: Features, camera: Camera, prior: Prior, config: RetrievalConfig
    ) -> list[ReferenceView]:
        """Return the views near a prior to match a query with, best first.

        Args:
            camera: intrinsics of the query's image.
        """
        from deviloc_ros.maps.retrieval.local_similarity import put_same_place_first  # PyTorch, as in `view`

        large = self.records[0].dense is not None  # too large to read more than are matched
        count = config.references * (1 if large else NEARBY_PER_REFERENCE)
        rows = self._number_near(camera, prior, config, count)
        sessions = [self.records[row].session for row in rows]
        return put_same_place_first(query, [self.view(row) for row in rows], sessions, config.references)

    def views_by_pose(self, camera: Camera, prior: Prior, config: RetrievalConfig) -> list[ReferenceView]:
        """Return the views near a prior, nearest first, whatever the query looks like."""
        return [self.view(row) for row in self._number_near(camera, prior, config, config.references)]

    def alike_views(
        self, query: Features, config: RetrievalConfig, gray: NDArray | None = None, area: Area | None = None
    ) -> list[ReferenceView]:
        """Return the views of the whole map, or of an area, that look like a query's image, best first.

        Args:
            gray: that image, needed only by a learned global descriptor.
        """
        from deviloc_ros.maps.retrieval.local_similarity import sort_by_similarity  # PyTorch, as in `view`

        retrieval = self.retrieval()
        descriptor = self._learned or retrieval.vlad
        assert descriptor is not None  # `describe_with` has checked that
        among = None if area is None else np.flatnonzero(area.contains(self.centres))
        count = max(config.shortlist, config.references)
        rows = retrieval.nearest(descriptor.describe(gray, query), count, among)
        return sort_by_similarity(query, [self.view(int(row)) for row in rows])

    def views_out_of_sight(
        self, views: Sequence[ReferenceView], cam_from_world: pycolmap.Rigid3d, camera: Camera
    ) -> list[ReferenceView]:
        """Return those of the given views that see nothing of what is seen from a pose."""
        if not views:
            return []
        seen = self.shown_from(views, cam_from_world, camera).sum(1)
        return [view for view, share in zip(views, seen, strict=True) if share < SEEN_SHARE]

    def number_of(self, name: str) -> int:
        """Return the index of the view with this name. Raises KeyError."""
        return self._numbers[name]

    def shown_from(self, views: Sequence[ReferenceView], cam_from_world: pycolmap.Rigid3d, camera: Camera) -> NDArray:
        """Return (V, cells) shares of each view's points that should be matched from a pose: see `predict_shown`."""
        numbers = [self._numbers[view.name] for view in views]
        return predict_shown([self._seen(number) for number in numbers], self.centres[numbers], cam_from_world, camera)

    def _number_near(self, camera: Camera, prior: Prior, config: RetrievalConfig, count: int) -> list[int]:
        """Return the indices of views near a prior, alternating between sessions so that none displaces another."""
        by_session = [self._number_near_among(rows, camera, prior, config, count) for rows in self._rows_of_sessions]
        in_turns = chain.from_iterable(zip_longest(*by_session))
        return [int(row) for row in in_turns if row is not None][:count]

    def _number_near_among(
        self, among: NDArray, camera: Camera, prior: Prior, config: RetrievalConfig, count: int
    ) -> NDArray:
        """Return the numbers of the views to look at near a prior, of those among some."""
        centres, axes, shortlist = self.centres[among], self.axes[among], max(NEARBY_IN_SHORTLIST, count)
        rows = among[nearest_by_pose(centres, axes, prior, shortlist, config.meters_per_radian)]
        if len(rows) <= config.references or config.nearest >= config.references:
            return rows[:count]
        shown = predict_shown([self._seen(int(row)) for row in rows], self.centres[rows], prior.cam_from_world, camera)
        return rows[choose_complementary(shown, count, config.nearest)]

    def _sample_points_seen(self, number: int) -> NDArray:
        """Return (at most POINTS_SEEN, 3) landmarks [m, world] as a sample of what a view sees."""
        points = thin_evenly(self.landmarks_of(number).points_in_world, POINTS_SEEN)
        return points.copy()  # a slice would keep the whole file in memory

    def view_named(self, name: str) -> ReferenceView:
        """Return the view with this name. Raises KeyError."""
        return self.view(self._numbers[name])

    def views_named(self, names: Iterable[str], count: int) -> list[ReferenceView]:
        """Return the first `count` of the named views that the map has; unknown names are skipped."""
        numbers = [self._numbers[name] for name in names if name in self._numbers]
        return [self.view(number) for number in numbers[:count]]

    def landmarks(self) -> NDArray:
        """Return all landmarks, (L, 3) [m, world]."""
        return self.landmarks_and_ids()[1]

    def landmarks_and_ids(self) -> tuple[NDArray, NDArray]:
        """Return (L,) ids and (L, 3) points [m, world]."""
        arrays = self._read(self.manifest.landmarks)
        with name_in_errors(self.folder / self.manifest.landmarks.file):
            check_array(arrays, "ids", (len(arrays["ids"]),), IDENTIFIER)
            check_array(arrays, "points_in_world", (len(arrays["ids"]), 3), LENGTH)
            return arrays["ids"], arrays["points_in_world"]

    def landmarks_of(self, number: int) -> Landmarks:
        """Return the landmarks that one view observes."""
        stored = self.records[number].stored
        arrays = self._read(stored)
        with name_in_errors(self.folder / stored.file):
            check_landmark_arrays(arrays, self.records[number].camera)
            return read_landmarks(arrays)

    def retrieval(self) -> Retrieval:
        """Return the index of global descriptors, read when first needed."""
        if self._retrieval is None:
            from deviloc_ros.maps.retrieval.index import Retrieval  # PyTorch, as in `view`
            from deviloc_ros.maps.tensors import read_tensors

            stored, of_index = self.manifest.retrieval, self.manifest.index
            with self.explain_missing_files():
                tensors = read_tensors(self.folder, stored)
                index = read_tensors(self.folder, of_index) if of_index else None
            with name_in_errors(self.folder / (of_index or stored).file):
                self._retrieval = Retrieval.from_tensors(tensors, index, len(self))
        return self._retrieval

    def _read(self, stored: StoredFile) -> Arrays:
        with self.explain_missing_files():
            return read_arrays(self.folder, stored)

    @contextmanager
    def explain_missing_files(self) -> Iterator[None]:
        """Raise a clearer MapError if a file is missing because the map was changed after it was opened."""
        try:
            yield
        except MapError as error:
            if read_manifest(self.folder).identity != self.identity:
                raise MapError(f"{self.folder}: was changed since it was opened; open it again ({error})") from error
            raise
