"""The recipe: one image in, a pose or a reason out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.aggregation import aggregate
from deviloc_ros.config import Config
from deviloc_ros.imaging import ImageError, to_gray
from deviloc_ros.maps.store import Map
from deviloc_ros.matching import create_matcher
from deviloc_ros.pose import solve_pnp
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.types import Camera, Correspondences, Evidence, Lost, Matches, Prior, Reason, ReferenceView, Result


class Localizer:
    """Localizes images in one map. Not thread-safe: one thread owns it."""

    def __init__(self, reference_map: Map, config: Config | None = None) -> None:
        self.config = config or reference_map.config
        self.map = reference_map
        self.matcher = create_matcher(self.config.matcher)
        self.map.check_matcher(self.config.matcher)

    def localize(self, image: NDArray, camera: Camera, prior: Prior | None = None) -> Result:
        """Pose of the camera in the map.

        Args:
            image: (H, W) gray or (H, W, 3) BGR, uint8, of the size `camera` says.
            camera: intrinsics of this image.
            prior: where the camera probably is; None searches the whole map.
        """
        watch = Stopwatch()
        try:
            gray = to_gray(image, camera)
        except ImageError as error:
            return Lost(Reason.BAD_IMAGE, str(error))
        with watch.stage("extract"):
            query = self.matcher.extract(gray)
        if len(query) < self.config.pose.min_inliers:
            return Lost(Reason.NO_FEATURES, f"{len(query)} keypoints", Evidence(stages_ms=watch.stages_ms))
        with watch.stage("retrieve"):
            references = self.map.nearby_views(query, prior, self.config.retrieval)
        if not references:
            return Lost(Reason.NO_REFERENCES, evidence=Evidence(stages_ms=watch.stages_ms))
        with watch.stage("match"):
            matches = self.matcher.match(query, [view.features for view in references])
        with watch.stage("aggregate"):
            correspondences = aggregate(lift(matches, references), self.config.aggregation)
        with watch.stage("pose"):
            result = solve_pnp(correspondences, camera, self.config.pose)
        return watch.note(result, references=tuple(view.name for view in references))


def lift(matches: list[Matches], references: list[ReferenceView]) -> Correspondences:
    """2D-2D matches -> 2D-3D correspondences: a look-up, since the map holds every keypoint's 3D point."""
    parts = []
    for number, (match, view) in enumerate(zip(matches, references, strict=True)):
        rows = match.reference_indices
        parts.append(
            Correspondences(
                match.query_keypoints,
                view.lifted.points_in_world[rows],
                view.lifted.confidence[rows],
                view.lifted.depths[rows],
                np.full(len(rows), number),
            )
        )
    return Correspondences.concatenate(parts)
