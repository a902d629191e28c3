"""Add new images to a map, whose views do not change; the cost is that of the new views."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from deviloc_ros.config_fields import change_config
from deviloc_ros.geometry import transform_points
from deviloc_ros.mapping.build import find_body_in_sample, hide_body, make_graph, split_readable, to_source, try_matcher
from deviloc_ros.mapping.pose_errors import state_pose_errors
from deviloc_ros.mapping.sensor_correction import fit_depth_correction
from deviloc_ros.mapping.views import BuildReport, Observation, ViewMaker
from deviloc_ros.maps.edit import open_for_change, points_by_id, shift_ids
from deviloc_ros.maps.provenance import BODY, POSE_ERRORS, POSE_FIT
from deviloc_ros.maps.retrieval.by_pose import nearest_by_pose
from deviloc_ros.maps.store import Map
from deviloc_ros.matching.base import Matcher
from deviloc_ros.sfm.body_in_view import BodyInView
from deviloc_ros.sfm.landmarks import MAX_EPIPOLAR_ERROR_PX, MAX_PAIR_ANGLE_DEG, triangulate_landmarks
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sfm.pose_fit import PoseFit, epipolar_errors_with_view
from deviloc_ros.sfm.uncertainty import add_depth_stds
from deviloc_ros.sources.base import PosedImage, Skipped, Source, check_names, error_for_none_left
from deviloc_ros.types import Features, Landmarks, Matches, Prior, ReferenceView
from deviloc_ros.workers.base import Serial, Workers

log = logging.getLogger(__name__)
VIEWS_MATCHED = 10  # of the map, with each new image


def update_map(
    source: Source | Sequence[PosedImage],
    folder: Path | str,
    *,
    quiet: bool = False,
    matcher: Matcher | None = None,
    descriptor_file: str = "",
    session: str = "",
    identity: str = "",
) -> BuildReport:
    """Add images, posed in the map's frame, to a map, with the config it was built with.

    New images get landmarks of their own, triangulated among themselves, and those of the map's views that they match.
    Images whose name the map has already are skipped. The report says how well the new poses fit the map's views.

    Args:
        descriptor_file: the network that described the map's views, if one did.
        session: a name for when, or in which light, the images were taken.
        identity: of the map in which the images were posed; empty: any.

    Raises:
        SourceError: two images of one name, or no usable image is left.
        MapError: there is no map, another process is writing it or has changed it since, or its views were described by
            another network.
    """
    source = to_source(source)
    check_names(image.name for image in source.images)
    with open_for_change(Path(folder), identity) as (reference_map, writer):
        workers = Serial(quiet=quiet)
        images, skipped = select_new_images(source, reference_map, workers)
        if matcher is not None:
            try_matcher(matcher, images)
        networks = load_networks_of(reference_map, matcher, descriptor_file)
        points = points_by_id(reference_map)
        own, body = collect_own_landmarks(images, networks, workers, max(points, default=-1) + 1)
        notes = {}
        if body is not None:
            images, notes[BODY] = hide_body(images, body), str(body)
        for record in reference_map.records:
            writer.keep_view(record)
        depth, observe = fit_depth_correction(images, own), partial(observe_map, reference_map, networks)
        new = ViewMaker(writer, networks, workers, observe, reference_map, session).make_views(images, own, depth)
        retrieval = reference_map.retrieval()
        retrieval = retrieval.extend(new.describe_all(retrieval.vlad))
        fit = replace(PoseFit.from_pairs(new.errors_px), advice="are they posed in the map's frame?")
        if fit.contradicts:
            log.warning("pose fit: %s", fit)
        added = len(new.views)
        provenance = reference_map.manifest.provenance.add_change(reference_map.identity, added=added).add_notes(notes)
        provenance = provenance.append_pose_fit(f"{added} added: {fit}")
        writer.finish(points | new.points_by_id(), retrieval, provenance)
    if said := state_pose_errors(Path(folder), networks, workers):
        notes[POSE_ERRORS] = said
    warned = frozenset([*notes, *([POSE_FIT] if fit.contradicts else [])])
    return replace(new.to_report(skipped, {POSE_FIT: str(fit), **notes}), body=body, warned=warned)


def select_new_images(source: Source, reference_map: Map, workers: Workers) -> tuple[list[PosedImage], list[Skipped]]:
    """Return the usable images that the map does not have, and those left out. Raises SourceError if none is left."""
    known = [Skipped(i.name, "the map has a view of this name") for i in source.images if i.name in reference_map]
    unknown = [image for image in source.images if image.name not in reference_map]
    images, unreadable = split_readable(unknown, workers)
    skipped = [*source.skipped, *known, *unreadable]
    if not images:
        raise error_for_none_left(skipped)
    return images, skipped


def load_networks_of(reference_map: Map, matcher: Matcher | None, descriptor_file: str) -> Networks:
    """Load the networks that the map's views were made with. Raises MapError if these differ."""
    config = change_config(reference_map.config, retrieval={"descriptor_file": descriptor_file})
    networks = Networks(config, matcher).load_all()
    reference_map.check_matcher(networks.matcher.name, networks.matcher.weights_id, networks.matcher.descriptor_size)
    reference_map.describe_with(networks.global_descriptor)
    return networks


def collect_own_landmarks(
    images: list[PosedImage], networks: Networks, workers: Workers, first_id: int
) -> tuple[dict[str, Landmarks], BodyInView | None]:
    """Return landmarks of the new images by name, the source's own or triangulated, and the robot in view.

    Ids count from `first_id`.
    """
    own = {image.name: image.landmarks for image in images if image.landmarks is not None}
    if len(own) < len(images):
        graph = make_graph(images, networks, workers)
        own, body = triangulate_landmarks(images, graph), graph.body
    else:
        body = find_body_in_sample(images, workers)
    return {name: shift_ids(landmarks, first_id) for name, landmarks in add_depth_stds(images, own).items()}, body


def observe_map(
    reference_map: Map, networks: Networks, image: PosedImage, features: Features, own: Landmarks
) -> Observation:
    """Return a new image's landmarks, its own and those of the map's views near it, and how its pose fits these."""
    matched = match_views_near(reference_map, image, features, networks)
    found = find_map_landmarks(image, matched, reference_map.config.lift.landmark_radius_px)
    errors_px = [errors for pair in matched if len(errors := epipolar_errors_with_view(image, *pair))]
    return Observation(join_landmarks(own, found), errors_px)


def match_views_near(
    reference_map: Map, image: PosedImage, features: Features, networks: Networks
) -> list[tuple[ReferenceView, Matches]]:
    """Match a new image with the map's views near it; return the views with the matches."""
    views = find_views_near(reference_map, image)
    if not views or not len(features):
        return []
    matches = networks.matcher.match(replace(features, dense=None), [view.features for view in views])
    return list(zip(views, matches, strict=True))


def find_views_near(reference_map: Map, image: PosedImage) -> list[ReferenceView]:
    """Return the views of a map nearest to an image that look in the same direction, nearest first."""
    prior = Prior(image.cam_from_world, angle_deg=MAX_PAIR_ANGLE_DEG)
    weight = reference_map.config.retrieval.meters_per_radian
    numbers = nearest_by_pose(reference_map.centres, reference_map.axes, prior, VIEWS_MATCHED, weight)
    return [reference_map.view(int(number)) for number in numbers]


def find_map_landmarks(image: PosedImage, matched: list[tuple[ReferenceView, Matches]], radius_px: float) -> Landmarks:
    """Return the map's landmarks that a new image observes: those at matched keypoints that project near them."""
    found = Landmarks.empty()
    for view, matches in matched:
        found = join_landmarks(found, observe_through(view, matches, image, radius_px))
    return found


def observe_through(view: ReferenceView, matches: Matches, image: PosedImage, radius_px: float) -> Landmarks:
    """Return a view's landmarks within a radius of keypoints that the image matches, if they project near the match.

    Both poses are given, so the projection is the better measurement; the match shows that nothing occludes it.
    """
    if not len(matches) or not len(view.landmarks):
        return Landmarks.empty()
    keypoints = view.features.keypoints.cpu().numpy()[matches.reference_indices]
    distance_px, nearest = cKDTree(view.landmarks.keypoints).query(keypoints)
    landmarks = view.landmarks[nearest]
    projected = image.camera.project_visible(transform_points(image.cam_from_world, landmarks.points_in_world))
    error_px = np.linalg.norm(projected - matches.query_keypoints, axis=1)
    near = (distance_px < radius_px) & (np.nan_to_num(error_px, nan=np.inf) < MAX_EPIPOLAR_ERROR_PX)
    return replace(landmarks, keypoints=projected)[near]


def join_landmarks(first: Landmarks, second: Landmarks) -> Landmarks:
    """Return the union of both sets of landmarks."""
    ids = np.concatenate([first.ids, second.ids])
    keypoints = np.concatenate([first.keypoints, second.keypoints])
    points = np.concatenate([first.points_in_world, second.points_in_world])
    depth_stds = np.concatenate([first.depth_stds, second.depth_stds])
    _, rows = np.unique(ids, return_index=True)
    return Landmarks(ids, keypoints, points, depth_stds)[rows]
