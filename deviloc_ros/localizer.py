"""Localize one image in a map: the recipe that leads to a pose or to the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config
from deviloc_ros.imaging import ImageError, Mask, paint_hidden, read_used, to_gray
from deviloc_ros.lifting import create_online_inference
from deviloc_ros.lifting.base import OnlinePointInference
from deviloc_ros.maps.retrieval.covisibility import cluster_by_covisibility
from deviloc_ros.maps.retrieval.global_descriptors import load_learned_descriptor
from deviloc_ros.maps.store import Map
from deviloc_ros.matching import create_matcher
from deviloc_ros.pose.aggregation import aggregate
from deviloc_ros.pose.solve import solve_pnp
from deviloc_ros.pose.standstill import drop_still_matches
from deviloc_ros.status import Status
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.types import (
    Correspondences,
    Evidence,
    Features,
    Localized,
    Lost,
    Matches,
    Prior,
    ReferenceView,
    Result,
)

LEAST_SUPPORT = 0.5  # share of the first pose's inliers; views of one place give three quarters and more


@dataclass(frozen=True, slots=True, eq=False)
class QueryState:
    """Hold what was extracted from an image, and its matches with each view it was matched with, by name."""

    features: Features
    camera: Camera
    watch: Stopwatch = field(default_factory=Stopwatch)
    matches: dict[str, Matches] = field(default_factory=dict)


class Localizer:
    """Localize images in one map. It is not thread-safe: one thread owns it."""

    def __init__(self, reference_map: Map, config: Config | None = None, mask: Mask | None = None) -> None:
        """Load what the config needs; `mask` is of the images to be localized, where they have none of their own."""
        self.config = config or reference_map.config
        self.map = reference_map
        self.mask = mask
        self.matcher = create_matcher(self.config.matcher)
        self.map.check_matcher(self.config.matcher, self.matcher.weights_id, self.matcher.descriptor_size)
        self.map.describe_with(load_learned_descriptor(self.config.retrieval))
        self.inference = create_online_inference(reference_map.config.lift, self.config.lift)

    def localize(
        self,
        image: NDArray,
        camera: Camera,
        prior: Prior | None = None,
        candidates: Sequence[str] | None = None,
        mask: Mask | None = None,
    ) -> Result:
        """Return the pose of the camera in the map, or why there is none.

        Args:
            image: (H, W) gray or (H, W, 3) BGR, uint8, of the size `camera` says.
            camera: intrinsics of this image.
            prior: where the camera probably is; None searches the whole map, and then again near what was found.
            candidates: names of the views to match with, best first, where retrieval was done before.
            mask: which of its pixels are used; None: the localizer's.
        """
        watch = Stopwatch()
        try:
            gray = to_gray(image, camera)
            used = read_used(mask or self.mask, (camera.width, camera.height))
        except ImageError as error:
            return Lost(Status.BAD_IMAGE, str(error))
        with watch.stage("extract"):
            query = QueryState(self.matcher.extract(gray, used=used), camera, watch)
        if len(query.features) < self.config.pose.min_inliers:
            return Lost(Status.NO_FEATURES, f"{len(query.features)} keypoints", Evidence(stages_ms=watch.stages_ms))
        with watch.stage("retrieve"):
            if candidates is None:
                shown = paint_hidden(gray, used)
                references = self.map.nearby_views(query.features, camera, prior, self.config.retrieval, shown)
            else:
                references = self.map.views_named(candidates, self.config.retrieval.references)
        if not references:
            return Lost(Status.NO_REFERENCES, evidence=Evidence(stages_ms=watch.stages_ms))
        result = self.localize_among(references, query)
        searched = prior is None and candidates is None
        if searched and self.config.retrieval.refine and isinstance(result, Localized):
            return self.localize_near(result, query)
        return result

    def localize_near(self, found: Localized, query: QueryState) -> Result:
        """Localize the same query by the views near what was found without a prior, as if that were one."""
        with query.watch.stage("retrieve"):
            prior = Prior(found.cam_from_world)
            references = self.map.nearby_views(query.features, query.camera, prior, self.config.retrieval)
        if {view.name for view in references} == set(found.evidence.references):
            return found
        return choose_supported(found, self.localize_among(references, query))

    def localize_among(self, references: list[ReferenceView], query: QueryState) -> Result:
        """Localize a query by its matches with these views."""
        with query.watch.stage("match"):
            unmatched = [view for view in references if view.name not in query.matches]
            found = self.matcher.match(query.features, [view.features for view in unmatched]) if unmatched else []
            query.matches.update(zip((view.name for view in unmatched), found, strict=True))
        with query.watch.stage("lift"):
            matches = drop_still_matches([query.matches[view.name] for view in references], references)
            parts = lift_matches(matches, references, self.inference)
        result = self.solve_groups(parts, references, query.camera, query.watch)
        return query.watch.annotate(result, references=tuple(view.name for view in references))

    def solve_groups(
        self, parts: list[Correspondences], references: list[ReferenceView], camera: Camera, watch: Stopwatch
    ) -> Result:
        """Solve the pose from all references' correspondences, or choose the best of one for each covisible group."""
        groups = [list(range(len(references)))]
        if self.config.retrieval.covisibility_clusters:
            groups = cluster_by_covisibility([view.landmarks.ids for view in references])
        results = []
        for group in groups:
            with watch.stage("aggregate"):
                merged = aggregate(Correspondences.concatenate([parts[n] for n in group]), self.config.aggregation)
            with watch.stage("pose"):
                results.append(solve_pnp(merged, camera, self.config.pose))
        return max(results, key=lambda result: (isinstance(result, Localized), result.evidence.inliers))


def choose_supported(found: Localized, again: Result) -> Result:
    """Choose between a pose found without a prior and what the views near it say.

    Those are the more precise, even with fewer inliers: what looks most alike may have been taken from one side. But
    they may see another place, as around a corner. So what they say does not count if it is no pose, or one that rests
    on far less than the first, which the gates let pass too.
    """
    supported = again.evidence.inliers >= LEAST_SUPPORT * found.evidence.inliers
    return again if isinstance(again, Localized) and supported else found


def lift_matches(
    matches: list[Matches], references: list[ReferenceView], inference: OnlinePointInference | None
) -> list[Correspondences]:
    """Turn 2D-2D matches into 2D-3D correspondences of each reference.

    A look-up, since the map holds every keypoint's 3D point; only where the matcher moved the keypoints and the lifting
    method can follow, they are lifted where they came to lie.
    """
    parts = []
    for number, (match, view) in enumerate(zip(matches, references, strict=True)):
        if inference is not None and match.moved is not None:
            keypoints, lifted = match.moved.query_keypoints, inference.lift_moved(match.moved, view)
        else:
            keypoints, lifted = match.query_keypoints, view.lifted[match.reference_indices]
        from_here = np.full(len(keypoints), number)
        origins = np.broadcast_to(view.cam_from_world.tgt_origin_in_src(), (len(keypoints), 3))
        points = lifted.points_in_world, lifted.confidence, lifted.depths
        parts.append(Correspondences(keypoints, *points, from_here, origins))
    return parts


def warm_up(localizer: Localizer) -> None:
    """Localize noise, so that the first real image is not delayed by what is done once."""
    noise = np.random.default_rng(0).integers(0, 255, (480, 640), np.uint8)
    localizer.localize(noise, Camera("PINHOLE", 640, 480, (500.0, 500.0, 320.0, 240.0)))
