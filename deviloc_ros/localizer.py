"""Localize one image in a map: the recipe that leads to a pose or to the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config, PoseConfig
from deviloc_ros.geometry import largest_std, translation_distance_m
from deviloc_ros.imaging import (
    ImageError,
    Mask,
    paint_hidden,
    read_used,
    to_gray,
    turn_image,
    turn_pixels_back,
)
from deviloc_ros.lifting import create_online_inference
from deviloc_ros.lifting.base import OnlinePointInference
from deviloc_ros.maps.retrieval.covisibility import cluster_by_covisibility
from deviloc_ros.maps.retrieval.global_descriptors import load_learned_descriptor
from deviloc_ros.maps.retrieval.local_similarity import match_roughly
from deviloc_ros.maps.store import Map
from deviloc_ros.matching import Matcher, create_matcher
from deviloc_ros.pose.aggregation import aggregate
from deviloc_ros.pose.gates import seen_distance_m
from deviloc_ros.pose.places import are_one_place, place_of, select_comparable
from deviloc_ros.pose.rig_consensus import localize_rig
from deviloc_ros.pose.solve import solve_pnp, solve_roughly
from deviloc_ros.pose.standstill import drop_still_matches
from deviloc_ros.status import Status
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.types import (
    USUAL_STD_PX,
    Correspondences,
    Evidence,
    Features,
    Localized,
    Lost,
    Matches,
    Place,
    Prior,
    ReferenceView,
    Result,
    RigImage,
)

SHOWN_IN_CELL, IN_SIGHT_CELLS = 0.004, 0.25  # a third and more of the cells where an image was localized
MOST_RIVALS = 8  # other places looked at for one image
PATIENCE, RARELY = 3, 8  # images
LEAST_SUPPORT = 0.5  # share of the first pose's inliers; views of one place give three quarters and more


@dataclass(frozen=True, slots=True, eq=False)
class QueryState:
    """Hold what was extracted from an image, and its matches with each view it was matched with, by name."""

    features: Features
    camera: Camera
    watch: Stopwatch = field(default_factory=Stopwatch)
    quarter_turns: int = 0
    matches: dict[str, Matches] = field(default_factory=dict)

    def turn_back(self, keypoints: NDArray) -> NDArray:
        """Return where (N, 2) pixels of its features lie in the image as it is, not turned."""
        return turn_pixels_back(keypoints, self.quarter_turns, (self.camera.width, self.camera.height))


@dataclass(slots=True, eq=False)
class SearchState:
    """Hold what the search for one image has found so far."""

    config: PoseConfig
    results: list[Result] = field(default_factory=list)
    in_sight: bool = False
    everywhere: bool = False

    @property
    def places(self) -> list[Place]:
        """Return where the image fits, each place once, those with most inliers first."""
        found = [place for result in self.results if (place := place_of(result, self.config)) is not None]
        found.sort(key=lambda place: (-place.passes, -place.inliers))
        once: list[Place] = []
        for place in found:
            if not any(are_one_place(place.cam_from_world, other.cam_from_world) for other in once):
                once.append(place)
        return sorted(once, key=lambda place: -place.inliers)

    @property
    def poses(self) -> list[pycolmap.Rigid3d]:
        """Return the poses cam_from_world of these places."""
        return [place.cam_from_world for place in self.places]

    @property
    def best(self) -> Result:
        """Return the pose with most inliers, or why there is none, as the views that were tried first say it."""
        if not self.results:
            return Lost(Status.NO_REFERENCES)
        return max(
            self.results,
            key=lambda result: (
                isinstance(result, Localized),
                result.evidence.inliers if isinstance(result, Localized) else 0,
            ),
        )


@dataclass(slots=True)
class Turns:
    """Remember how images have to be turned, and for how many in a row nothing helped.

    A camera that is mounted sideways stays so. What fits nowhere costs four times as much when it is turned, so after
    PATIENCE such images only one in RARELY is.
    """

    usual: int = 0
    failures: int = 0

    def to_try(self, others: bool) -> list[int]:
        """Return the quarter turns to try for the next image, in order."""
        if others and (self.failures < PATIENCE or self.failures % RARELY == 0):
            return [self.usual, *(turns for turns in range(4) if turns != self.usual)]
        return [self.usual]

    def note_success(self, quarter_turns: int) -> None:
        """Note what gave a pose."""
        self.usual, self.failures = quarter_turns, 0

    def note_failure(self) -> None:
        """Note that nothing gave one."""
        self.failures += 1


class Localizer:
    """Localize images in one map. It is not thread-safe: one thread owns it.

    config: the map's, unless given. mask: of the images to be localized, where they have none of their own.
    matcher: in place of the one the config names, for a map that was built with it.
    """

    def __init__(
        self,
        reference_map: Map,
        config: Config | None = None,
        mask: Mask | None = None,
        matcher: Matcher | None = None,
    ) -> None:
        self.config = config or reference_map.config
        self.map = reference_map
        self.mask = mask
        self.matcher = matcher or create_matcher(self.config.matcher)
        self.map.check_matcher(self.config.matcher, self.matcher.weights_id, self.matcher.descriptor_size)
        self.map.describe_with(load_learned_descriptor(self.config.retrieval))
        self.turns = Turns()
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
        results = []
        for quarter_turns in self.turns.to_try(self.config.retrieval.try_turned):
            results.append(self.localize_turned(gray, used, quarter_turns, camera, prior, candidates, watch))
            if isinstance(results[-1], Localized):
                self.turns.note_success(quarter_turns)
                return results[-1]
            if results[-1].reason is Status.AMBIGUOUS:
                return results[-1]
        self.turns.note_failure()
        return results[0]

    def localize_turned(
        self,
        gray: NDArray,
        used: NDArray | None,
        quarter_turns: int,
        camera: Camera,
        prior: Prior | None,
        candidates: Sequence[str] | None,
        watch: Stopwatch,
    ) -> Result:
        """Localize an image by the features it has when it is turned; its own pixels and camera stay."""
        gray = turn_image(gray, quarter_turns)
        used = None if used is None else turn_image(used, quarter_turns)
        with watch.stage("extract"):
            query = QueryState(self.matcher.extract(gray, used=used), camera, watch, quarter_turns)
        if len(query.features) < self.config.pose.min_inliers:
            return Lost(Status.NO_FEATURES, f"{len(query.features)} keypoints", Evidence(stages_ms=watch.stages_ms))
        if candidates is not None:
            return self.localize_among(self.map.views_named(candidates, self.config.retrieval.references), query)
        search = self.search_near(prior, query) if prior is not None else SearchState(self.config.pose)
        if prior is None or prior.everywhere or prior.rivals_m > 0:
            self.search_map(search, prior, query, paint_hidden(gray, used))
        return self.tell_apart(search)

    def search_near(self, prior: Prior, query: QueryState) -> SearchState:
        """Search each of the places that a prior names."""
        search = SearchState(self.config.pose)
        for number, pose in enumerate((prior.cam_from_world, *prior.others)):
            if number and any(are_one_place(pose, found) for found in search.poses):
                continue  # two guesses that came to the same
            there = replace(prior, cam_from_world=pose)
            with query.watch.stage("retrieve"):
                references = self.map.nearby_views(query.features, query.camera, there, self.config.retrieval)
            search.results.append(self.localize_among(references, query))
            if not number and references:
                search.in_sight = self.is_in_sight(references, pose, query.camera)
        return search

    def search_map(self, search: SearchState, prior: Prior | None, query: QueryState, gray: NDArray) -> None:
        """Search the views that look alike, until no place is left that the image may fit as well."""
        with query.watch.stage("retrieve"):
            alike = self.map.alike_views(query.features, self.config.retrieval, gray)
            if prior is not None and not prior.everywhere:
                alike = [view for view in alike if is_near(view, prior)]
        search.everywhere = prior is None or prior.everywhere
        if alike and not any(isinstance(result, Localized) for result in search.results):
            first = self.localize_among(alike[: self.config.retrieval.references], query)
            if self.config.retrieval.refine and isinstance(first, Localized):
                first = self.localize_again(first, query)
            search.results.append(first)
        self.search_rivals(search, alike, query)

    def search_rivals(self, search: SearchState, alike: list[ReferenceView], query: QueryState) -> None:
        """Look for places that the image fits beside those found: among views that look alike and are out of sight."""
        left = alike
        for _ in range(MOST_RIVALS):
            for pose in search.poses:
                left = self.map.views_out_of_sight(left, pose, query.camera)
            if not left:
                return
            there = left[0]
            left = self.map.views_out_of_sight(left[1:], there.cam_from_world, query.camera)
            with query.watch.stage("rivals"):
                keypoints, points = match_roughly(query.features, there)
                rough = solve_roughly(query.turn_back(keypoints), points, query.camera, self.config.pose)
            if rough is not None:
                search.results = [self.match_with_more(result, query) for result in search.results]
                search.results.append(self.localize_at(rough[0], query))

    def is_in_sight(self, views: list[ReferenceView], cam_from_world: pycolmap.Rigid3d, camera: Camera) -> bool:
        """Return whether views should match what is seen from a pose, by geometry."""
        shown = self.map.shown_from(views, cam_from_world, camera).sum(0)
        return float((shown > SHOWN_IN_CELL).mean()) > IN_SIGHT_CELLS

    def match_with_more(self, result: Result, query: QueryState) -> Result:
        """Return what all views near a pose say that a few made sure: places are compared by their inliers."""
        if not isinstance(result, Localized) or len(result.evidence.references) > self.config.retrieval.few:
            return result
        again = self.localize_at(result.cam_from_world, query)
        return again if isinstance(again, Localized) else result

    def localize_at(self, cam_from_world: pycolmap.Rigid3d, query: QueryState) -> Result:
        """Return what all views near a pose say."""
        with query.watch.stage("retrieve"):
            prior = Prior(cam_from_world)
            references = self.map.nearby_views(query.features, query.camera, prior, self.config.retrieval)
        return self.localize_with(references, query)

    def tell_apart(self, search: SearchState) -> Result:
        """Return the pose, or that there are several places that the image fits."""
        best, places = search.best, tuple(search.places)
        evidence = replace(best.evidence, places=places, in_sight=search.in_sight, everywhere=search.everywhere)
        rivals = select_comparable(places)
        if len(rivals) > 1:
            return Lost(Status.AMBIGUOUS, "; ".join(map(str, rivals)), evidence)
        return replace(best, evidence=evidence)

    def localize_rig(self, images: Sequence[RigImage], prior: Prior | None = None) -> Result:
        """Return rig_from_world, as the pose of one camera is given, from images that a rig's cameras took at one time.

        Args:
            prior: where the rig probably is.
        """

        def localize_one(image: RigImage, prior: Prior | None) -> Result:
            return self.localize(image.pixels, image.camera, prior, mask=image.mask)

        return localize_rig(images, prior, localize_one, self.config.pose)

    def localize_again(self, found: Localized, query: QueryState) -> Result:
        """Localize the same query by the views near what was found without a prior, as if that were one."""
        with query.watch.stage("retrieve"):
            prior = Prior(found.cam_from_world)
            references = self.map.nearby_views(query.features, query.camera, prior, self.config.retrieval)
        names, matched = [view.name for view in references], set(found.evidence.references)
        if matched in (set(names), set(names[: self.config.retrieval.few])):
            return found
        return choose_supported(found, self.localize_among(references, query, least_support(found)))

    def localize_among(self, references: list[ReferenceView], query: QueryState, least_inliers: float = 0) -> Result:
        """Localize a query by its matches with the first few of these views, or with all unless those make it sure."""
        few = references[: self.config.retrieval.few]
        if len(few) < len(references):
            result = self.localize_with(few, query)
            if result.evidence.inliers >= least_inliers and self.is_sure(result):
                return result
        return self.localize_with(references, query)

    def is_sure(self, result: Result) -> bool:
        """Return whether more references could hardly make the pose more precise."""
        if not isinstance(result, Localized):
            return False
        inliers = result.evidence.correspondences[result.evidence.inlier_mask]
        enough_m = self.config.retrieval.sure_std * seen_distance_m(inliers, result.cam_from_world)
        return largest_std(result.covariance[:3, :3]) <= enough_m

    def localize_with(self, references: list[ReferenceView], query: QueryState) -> Result:
        """Localize a query by its matches with these views."""
        if not references:
            return Lost(Status.NO_REFERENCES, evidence=Evidence(stages_ms=query.watch.stages_ms))
        with query.watch.stage("match"):
            unmatched = [view for view in references if view.name not in query.matches]
            found = self.match(query.features, unmatched) if unmatched else []
            found = [turn_matches_back(matches, query) for matches in found]
            query.matches.update(zip((view.name for view in unmatched), found, strict=True))
        with query.watch.stage("lift"):
            matches = drop_still_matches([query.matches[view.name] for view in references], references)
            noise_px = self.matcher.noise_px * float(query.features.scales.mean())
            parts = lift_matches(matches, references, self.inference, noise_px)
        result = self.solve_groups(parts, references, query.camera, query.watch)
        return query.watch.annotate(result, references=tuple(view.name for view in references))

    def match(self, query: Features, views: list[ReferenceView]) -> list[Matches]:
        """Match with views; unless keypoints are lifted where they are matched, only with those whose points count."""
        useful = None
        if self.inference is None:
            useful = [view.lifted.confidence > self.config.aggregation.min_confidence for view in views]
        return self.matcher.match(query, [view.features for view in views], useful)

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


def is_near(view: ReferenceView, prior: Prior) -> bool:
    """Return whether a view may see what is seen from where a prior's rivals can be."""
    return translation_distance_m(view.cam_from_world, prior.cam_from_world) <= prior.rivals_m + prior.radius_m


def turn_matches_back(matches: Matches, query: QueryState) -> Matches:
    """Return the matches of a turned query where they lie in the query as it is."""
    moved = matches.moved
    if moved is not None:
        moved = replace(moved, query_keypoints=query.turn_back(moved.query_keypoints))
    return replace(matches, query_keypoints=query.turn_back(matches.query_keypoints), moved=moved)


def choose_supported(found: Localized, again: Result) -> Result:
    """Choose between a pose found without a prior and what the views near it say.

    Those are the more precise, even with fewer inliers: what looks most alike may have been taken from one side. But
    they may see another place, as around a corner. So what they say does not count if it is no pose, or one that rests
    on far less than the first, which the gates let pass too.
    """
    supported = again.evidence.inliers >= least_support(found)
    return again if isinstance(again, Localized) and supported else found


def least_support(found: Localized) -> float:
    """Return the inliers below which another pose does not take the place of this one."""
    return LEAST_SUPPORT * found.evidence.inliers


def lift_matches(
    matches: list[Matches],
    references: list[ReferenceView],
    inference: OnlinePointInference | None,
    noise_px: float = USUAL_STD_PX,
) -> list[Correspondences]:
    """Turn 2D-2D matches into 2D-3D correspondences of each reference.

    A look-up, since the map holds every keypoint's 3D point; only where the matcher moved the keypoints and the lifting
    method can follow, they are lifted where they came to lie. noise_px: how well the matcher places a match.
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
        ids = np.append(view.landmarks.ids, -1)[lifted.landmark_rows]
        stds_px = np.full(len(keypoints), noise_px)
        parts.append(Correspondences(keypoints, *points, from_here, origins, lifted.depth_stds, stds_px, ids))
    return parts


def warm_up(localizer: Localizer) -> None:
    """Localize noise, so that the first real image is not delayed by what is done once."""
    noise = np.random.default_rng(0).integers(0, 255, (480, 640), np.uint8)
    localizer.localize(noise, Camera("PINHOLE", 640, 480, (500.0, 500.0, 320.0, 240.0)))
