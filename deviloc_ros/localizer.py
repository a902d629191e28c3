"""Localize one image in a map: the recipe that leads to a pose or to the reason why there is none.

localize                     localize one image, in the orientation in which its camera's images gave poses before
  extract_query              extract features
  localize_query             let PlaceSearch choose the views of each place that the image may show, and for each
    localize_views           try the first few of them, then all, unless the few give a precise pose
      solve_views            match, lift, merge, PnP with gates: the method, once for each set of views
  OrientationCheck.compare   where much of the image contradicts the pose: does it fit better turned or mirrored?
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import NoneType

import numpy as np
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config, MatcherConfig
from deviloc_ros.geometry import largest_std
from deviloc_ros.imaging import ImageError, to_gray
from deviloc_ros.io.arguments import check_argument
from deviloc_ros.lifting import create_online_inference
from deviloc_ros.lifting.base import OnlinePointInference
from deviloc_ros.maps.retrieval.covisibility import cluster_by_covisibility
from deviloc_ros.maps.retrieval.global_descriptors import load_learned_descriptor
from deviloc_ros.maps.store import Map
from deviloc_ros.masks import Mask, paint_hidden, read_mask
from deviloc_ros.matching import Matcher, create_matcher
from deviloc_ros.matching.checks import check_attributes
from deviloc_ros.pose.aggregation import aggregate
from deviloc_ros.pose.gates import seen_distance_m
from deviloc_ros.pose.rig_consensus import solve_rig_by_consensus
from deviloc_ros.pose.solve import solve_pnp
from deviloc_ros.pose.still_matches import drop_still_matches
from deviloc_ros.search.orientation import CameraHabits, OrientationCheck, QueryImage
from deviloc_ros.search.places import PlaceSearch, QueryState
from deviloc_ros.status import Status
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.types import (
    USUAL_STD_PX,
    Area,
    Correspondences,
    Evidence,
    FeatureCache,
    Localized,
    Lost,
    Matches,
    Prior,
    ReferenceView,
    Result,
    RigImage,
)

LEAST_NOISE_SCALE = 0.4  # original pixels per network pixel: an image that is enlarged further does not get sharper
MOST_NAMED = 5  # unknown candidates in an error message
FITS_SOMEWHERE = (Status.AMBIGUOUS, Status.MISCALIBRATED)
"""Reasons for Lost although the image fits the map: in another orientation it would not fit better."""


class Localizer:
    """Localize images in one map, given as a `Map` or as its folder.

    It is not thread-safe: one thread owns it, another may only call `look_ahead`.

    config: default: the map's. mask: for images that have none of their own. matcher: used instead of the one that the
    config names; the map must have been built with it.
    """

    config: Config
    """Hold the parameters; another config may replace them between two images."""
    map: Map
    """Hold the map to localize in."""
    matcher: Matcher
    """Extract features and match them."""

    def __init__(
        self,
        reference_map: Map | Path | str,
        config: Config | None = None,
        mask: Mask | None = None,
        matcher: Matcher | None = None,
    ) -> None:
        check_argument("reference_map", reference_map, (Map, Path, str))
        check_argument("config", config, (Config, NoneType), 'as change_config(map.config, pose={"min_inliers": 40})')
        check_argument("mask", mask, (Mask, NoneType), "Mask(Path(FILE)) reads one from a file")
        if not isinstance(reference_map, Map):
            reference_map = Map.open(reference_map)
        self.config = config or reference_map.config
        self.map = reference_map
        self.mask = mask
        if matcher is not None:
            check_attributes(matcher)
        self.matcher = matcher or create_matcher(self.config.matcher)
        self.map.check_matcher(self.matcher.name, self.matcher.weights_id, self.matcher.descriptor_size)
        self.map.describe_with(load_learned_descriptor(self.config.retrieval))
        self.habits: defaultdict[str, CameraHabits] = defaultdict(CameraHabits)  # by a rig's camera; of one alone: ""
        self.inference = create_online_inference(reference_map.config.lift, self.config.lift)

    def localize(
        self,
        image: NDArray,
        camera: Camera,
        prior: Prior | Area | None = None,
        candidates: Iterable[str] | None = None,
        mask: Mask | None = None,
        name: str = "",
        extracted: FeatureCache | None = None,
    ) -> Result:
        """Return the pose of the camera in the map, or why there is none.

        Args:
            image: (H, W) gray or (H, W, 3) BGR, uint8, of the size `camera` says.
            camera: intrinsics of this image.
            prior: where the camera probably is; an area bounds only its position. None: the whole map is searched.
            candidates: names of the views to match with, best first, if you do the retrieval yourself.
            mask: which pixels are used; None: the localizer's mask.
            name: of the camera, if there are several: each may be mounted in another orientation.
            extracted: features of the image that are known already; those extracted here are added.

        Raises:
            TypeError: an argument is of the wrong type. An image that cannot be used is `Lost`, not an error.
        """
        check_query(image, camera, prior, candidates, mask)
        check_argument("name", name, str)
        check_argument("extracted", extracted, (dict, NoneType))
        candidates = None if candidates is None else list(candidates)
        watch = Stopwatch()
        try:
            query_image = self.prepare_image(image, camera, mask, extracted, prior, candidates)
        except ImageError as error:
            return Lost(Status.BAD_IMAGE, str(error))

        check = OrientationCheck(self.map, self.config, self.extract_query, self.localize_query, self.solve_views)
        habits, results = self.habits[name], []
        for quarter_turns in habits.turns.to_try(self.config.retrieval.try_turned, isinstance(prior, Prior)):
            # The camera's usual orientation first, the others until the image fits somewhere
            query = self.extract_query(query_image, quarter_turns, watch)
            result = self.localize_query(query, query_image)
            if isinstance(result, Localized):
                return check.compare(result, query, query_image, habits)
            if result.reason in FITS_SOMEWHERE:
                return result
            results.append(result)
        habits.turns.note_failure()
        return results[0]

    def look_ahead(
        self, image: NDArray, camera: Camera, mask: Mask | None, name: str, extracted: FeatureCache, watch: Stopwatch
    ) -> None:
        """Extract the features that `localize` will need first; any thread may do so while another localizes.

        An image that cannot be used is passed over: `localize` says why.
        """
        with suppress(ImageError):
            query_image = self.prepare_image(image, camera, mask, extracted)
            habits = self.habits.get(name) or CameraHabits()
            self.extract_query(query_image, habits.turns.usual, watch)

    def prepare_image(
        self,
        image: NDArray,
        camera: Camera,
        mask: Mask | None,
        extracted: FeatureCache | None,
        prior: Prior | Area | None = None,
        candidates: Sequence[str] | None = None,
    ) -> QueryImage:
        """Return the image in gray with its mask and other inputs. Raises ImageError if it cannot be used."""
        mask, known = mask or self.mask, {} if extracted is None else extracted
        gray, used = to_gray(image, camera), read_mask(mask, (camera.width, camera.height))
        return QueryImage(gray, used, camera, prior, candidates, mask, known)

    def extract_query(self, image: QueryImage, quarter_turns: int, watch: Stopwatch) -> QueryState:
        """Return the features of an image that is turned counterclockwise by a number of quarter turns."""
        extraction = self.matcher, image.mask, quarter_turns
        if extraction not in image.extracted:
            turned, used = image.turn_pixels(quarter_turns)
            with watch.stage("extract"):
                image.extracted[extraction] = self.matcher.extract(turned, used=used)
        return QueryState(image.extracted[extraction], image.camera, watch, quarter_turns)

    def localize_query(self, query: QueryState, image: QueryImage) -> Result:
        """Localize an image by its features in one orientation."""
        if len(query.features) < self.config.pose.min_inliers:
            detail = f"{len(query.features)} keypoints"
            return Lost(Status.NO_FEATURES, detail, Evidence(stages_ms=query.watch.stages_ms))

        # References: the named candidates, or the views of each place that the image may show
        if image.candidates is not None:
            named = self.map.views_named(image.candidates, self.config.retrieval.references)
            if not named:
                unknown = ", ".join(map(repr, image.candidates[:MOST_NAMED])) or "no view at all"
                detail = f"the candidates name none of the map's: {unknown}"
                return Lost(Status.NO_REFERENCES, detail, Evidence(stages_ms=query.watch.stages_ms))
            return self.localize_views(named, query)
        places = PlaceSearch(self.map, self.config, self.localize_views, self.solve_views)
        return places.search(query, image.prior, paint_hidden(*image.turn_pixels(query.quarter_turns)))

    def localize_views(self, references: list[ReferenceView], query: QueryState, least_inliers: float = 0) -> Result:
        """Localize a query with the first few of these views, then with all of them unless that pose is precise."""
        few = references[: self.config.retrieval.few]
        if len(few) < len(references):
            result = self.solve_views(few, query)
            if result.evidence.inliers >= least_inliers and self.is_sure(result):
                return result
        return self.solve_views(references, query)

    def solve_views(self, references: list[ReferenceView], query: QueryState) -> Result:
        """Solve a query's pose with these views: match, lift, merge, PnP. Each set of views is solved only once."""
        watch, names = query.watch, tuple(view.name for view in references)
        if not references:
            return Lost(Status.NO_REFERENCES, evidence=Evidence(stages_ms=watch.stages_ms))
        if (known := query.results.get(frozenset(names))) is not None:
            return known

        # 2D-2D matches with each view, without those on the robot itself, which stay at one pixel as the camera moves
        with watch.stage("match"):
            self.match_views(references, query)
            matches = drop_still_matches([query.matches[view.name] for view in references], references)

        # A 3D point for every matched keypoint: the map holds it
        with watch.stage("lift"):
            noise_px = self.matcher.noise_px * max(float(query.features.scales.mean()), LEAST_NOISE_SCALE)
            lifted = lift_matches(matches, references, self.inference, noise_px)

        results = []
        for group in self.group_views(references):
            # One correspondence where several views agree (CPA)
            with watch.stage("aggregate"):
                merged = aggregate(Correspondences.concatenate([lifted[n] for n in group]), self.config.aggregation)

            # RANSAC, refinement, covariance, gates
            with watch.stage("pose"):
                results.append(solve_pnp(merged, query.camera, self.config.pose))
        best = max(results, key=lambda result: (isinstance(result, Localized), result.evidence.inliers))
        return query.results.setdefault(frozenset(names), watch.annotate(best, references=names))

    def match_views(self, references: list[ReferenceView], query: QueryState) -> None:
        """Match the query with those of the views that it was not matched with yet.

        Only reference keypoints with a 3D point of enough confidence are matched, unless keypoints that the matcher
        moves are lifted online.
        """
        views = [view for view in references if view.name not in query.matches]
        if not views:
            return
        useful = None
        if self.inference is None:
            useful = [view.lifted.confidence > self.config.aggregation.min_confidence for view in views]
        found = self.matcher.match(query.features, [view.features for view in views], useful)
        for view, matches in zip(views, found, strict=True):
            query.matches[view.name] = query.turn_matches_back(matches)

    def group_views(self, references: list[ReferenceView]) -> list[list[int]]:
        """Return the indices of views that are solved together: all views, or groups that share landmarks."""
        if self.config.retrieval.covisibility_clusters:
            return cluster_by_covisibility([view.landmarks.ids for view in references])
        return [list(range(len(references)))]

    def is_sure(self, result: Result) -> bool:
        """Return whether the pose is so precise that more references are not worth matching."""
        if not isinstance(result, Localized):
            return False
        enough_m = self.config.retrieval.sure_std * seen_distance_m(result.evidence.inlying, result.cam_from_world)
        return largest_std(result.covariance[:3, :3]) <= enough_m

    def localize_rig(self, images: Sequence[RigImage], prior: Prior | Area | None = None) -> Result:
        """Return the pose of a rig from images that its cameras took at one time.

        The result's cam_from_world is rig_from_world, and its covariance that of world_from_rig.

        Args:
            images: one of each camera, with where the camera sits on the rig.
            prior: where the rig probably is.

        Raises:
            TypeError: an argument is of the wrong type.
            ValueError: there is no image.
        """
        check_argument("images", images, (list, tuple))
        if not images:
            raise ValueError("images: there is none")
        for image in images:
            check_argument("images: an image", image, RigImage)

        def localize_one(image: RigImage, prior: Prior | Area | None) -> Result:
            return self.localize(
                image.pixels, image.camera, prior, mask=image.mask, name=image.name, extracted=image.extracted
            )

        result = solve_rig_by_consensus(images, prior, localize_one, self.config.pose)
        places = tuple(replace(place, unit=self.map.unit) for place in result.evidence.places)
        return replace(result, evidence=replace(result.evidence, places=places))


def check_query(image: object, camera: object, prior: object, candidates: object, mask: object) -> None:
    """Raise TypeError naming the first argument of `Localizer.localize` that is of the wrong type."""
    check_argument("image", image, np.ndarray, "read_gray reads one from a file")
    check_argument("camera", camera, Camera)
    check_argument("prior", prior, (Prior, Area, NoneType), "as Prior(cam_from_world, radius_m=5.0)")
    check_argument("mask", mask, (Mask, NoneType), "Mask(Path(FILE)) reads one from a file")
    if isinstance(candidates, str):
        raise TypeError(f"candidates must be names of views, got one str {candidates!r}")
    check_argument("candidates", candidates, (Iterable, NoneType))


def lift_matches(
    matches: list[Matches],
    references: list[ReferenceView],
    inference: OnlinePointInference | None,
    noise_px: float = USUAL_STD_PX,
) -> list[Correspondences]:
    """Turn the 2D-2D matches with each reference into 2D-3D correspondences.

    This is a look-up, since the map holds every keypoint's 3D point. Only keypoints that the matcher moved are lifted
    online, if the lifting method can do so.

    Args:
        noise_px: standard deviation of a match's position in the query [px], in x and in y.
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


def create_localizers(maps: Sequence[Map], configs: Sequence[Config]) -> list[Localizer]:
    """Return a localizer for each map; those whose configs name the same matcher share its network."""
    matchers: dict[MatcherConfig, Matcher] = {}
    localizers = []
    for reference_map, config in zip(maps, configs, strict=True):
        localizers.append(Localizer(reference_map, config, matcher=matchers.get(config.matcher)))
        matchers[config.matcher] = localizers[-1].matcher
    return localizers


def warm_up(localizer: Localizer) -> None:
    """Localize an image of noise, so that one-time work does not delay the first real image."""
    noise = np.random.default_rng(0).integers(0, 255, (480, 640), np.uint8)
    localizer.localize(noise, Camera("PINHOLE", 640, 480, (500.0, 500.0, 320.0, 240.0)))
