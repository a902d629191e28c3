"""Extend a map with contributions, images that robots kept, after verifying their poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pycolmap
from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros.config import ContributeConfig
from deviloc_ros.config_fields import change_config
from deviloc_ros.geometry import pose_difference, rotation_distance_deg, squared_mahalanobis, translation_distance_m
from deviloc_ros.imaging import ImageError, read_gray
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.adjust_contributed import adjust_to_map, combine_poses
from deviloc_ros.mapping.update import update_map
from deviloc_ros.mapping.views import BuildReport
from deviloc_ros.maps.retrieval.by_pose import centres_and_axes, distance_to_nearest
from deviloc_ros.maps.store import Map
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sources.base import PosedImage, Skipped, Source
from deviloc_ros.sources.contributions import Contribution, read_contributions
from deviloc_ros.types import FeatureCache, Features, Localized, Prior, Result
from deviloc_ros.workers.base import Serial

MAX_SIGMAS = 5.0  # between the stated pose and the image's pose in the map
MAX_OFF_M, MAX_OFF_DEG = 0.1, 2.0  # poses farther apart contradict, whatever the covariances are
ALWAYS_NEAR_M, ALWAYS_NEAR_DEG = 0.01, 0.2  # poses nearer than this agree, whatever the covariances are
SEARCH_M, SEARCH_DEG = 5.0, 75.0  # around the stated pose


@dataclass(slots=True)
class ContributionReport:
    """Report the outcome of contributions.

    rounds: reports of those that were added; after each round the others are tried again with the new views. refused:
    those whose pose their image contradicts, or does not confirm. needless: those that show what the map has already.
    """

    rounds: list[BuildReport] = field(default_factory=list)
    refused: list[Skipped] = field(default_factory=list)
    needless: list[Skipped] = field(default_factory=list)

    @property
    def added(self) -> int:
        """Return how many views were added to the map."""
        return sum(report.views for report in self.rounds)


@dataclass(slots=True)
class Verdicts:
    """Hold the verdicts of a map, as it is, on contributions.

    agreed: those that it confirms, with the localization of the image. unconfirmed: those that are lost in it. refused:
    those that it contradicts. needless: those that add nothing to the map and to the agreed ones.
    """

    agreed: list[tuple[Contribution, Localized]] = field(default_factory=list)
    unconfirmed: list[tuple[Contribution, str]] = field(default_factory=list)
    refused: list[Skipped] = field(default_factory=list)
    needless: list[Skipped] = field(default_factory=list)


def add_contributions(
    folder: Path,
    kept_in: Path,
    wanted: ContributeConfig | None = None,
    *,
    of_any_map: bool = False,
    quiet: bool = False,
    descriptor_file: str = "",
    session: str = "",
) -> ContributionReport:
    """Add the contributions of a folder to a map as far as the map confirms them, in rounds.

    Args:
        wanted: which contributions a map needs; default: the robots' default.
        of_any_map: accept contributions of another map in the same frame; otherwise they are refused, since floors may
            look alike, and each has a frame of its own.
        descriptor_file: the network that described the map's views, if one did.
        session: a name for when, or in which light, the images were taken.

    Raises:
        SourceError: there are no contributions.
        MapError: there is no map, another process is writing it or has changed it meanwhile, or its views were
            described by another network.
    """
    left, damaged = read_contributions(kept_in)
    report, matcher, wanted = ContributionReport(refused=damaged), None, wanted or ContributeConfig()
    features: dict[str, Features] = {}
    if not of_any_map:
        left, others = split_by_map(Map.open(folder), left)
        report.refused += others
    while left:
        reference_map = Map.open(folder)
        config = change_config(reference_map.config, retrieval={"descriptor_file": descriptor_file})
        localizer = Localizer(reference_map, config, matcher=matcher)
        matcher = localizer.matcher
        verdicts = judge_contributions(localizer, left, features, wanted, quiet=quiet)
        images, moved_away = adjust_agreed(localizer, verdicts.agreed, features, quiet=quiet)
        report.needless += verdicts.needless
        report.refused += verdicts.refused + moved_away
        if not images:
            report.refused += [Skipped(entry.name, why) for entry, why in verdicts.unconfirmed]
            break
        source = Source(images, [])
        report.rounds.append(
            update_map(
                source,
                folder,
                quiet=quiet,
                matcher=matcher,
                descriptor_file=descriptor_file,
                session=session,
                identity=reference_map.identity,
            )
        )
        left = [entry for entry, _ in verdicts.unconfirmed]
        features = {entry.name: features[entry.name] for entry in left if entry.name in features}
    return report


def split_by_map(reference_map: Map, entries: Sequence[Contribution]) -> tuple[list[Contribution], list[Skipped]]:
    """Split contributions into those of a map, or of an earlier version of it, and the others."""
    provenance = reference_map.manifest.provenance
    own = [e for e in entries if e.map_id == reference_map.identity or provenance.is_of(e.map_id)]
    why = "kept with another map ({}), not with this one or what it was before; --of-any-map takes it all the same"
    return own, [Skipped(e.name, why.format(e.map_id[:16] or "unknown")) for e in entries if e not in own]


def judge_contributions(
    localizer: Localizer,
    entries: Sequence[Contribution],
    features: dict[str, Features],
    wanted: ContributeConfig,
    *,
    quiet: bool,
) -> Verdicts:
    """Return the verdicts of a map on contributions.

    Args:
        features: known ones by name of a contribution; those that are extracted are added.
    """
    verdicts = Verdicts()
    for entry in tqdm(entries, desc="contributions", unit="image", disable=quiet):
        if entry.path.name in localizer.map:
            verdicts.needless.append(Skipped(entry.name, "the map has a view of this name"))
            continue
        try:
            result = localize_entry(localizer, entry, features)
        except ImageError as error:
            verdicts.refused.append(Skipped(entry.name, str(error)))
            continue
        if not isinstance(result, Localized):
            why = f"nothing confirms its pose: in the map it gives none ({result})"
            verdicts.unconfirmed.append((entry, why))
        elif why := explain_contradiction(entry, result.cam_from_world, result.covariance):
            verdicts.refused.append(Skipped(entry.name, why))
        elif why := explain_needless(entry, result.evidence.inliers, localizer.map, verdicts.agreed, wanted):
            verdicts.needless.append(Skipped(entry.name, why))
        else:
            verdicts.agreed.append((entry, result))
    return verdicts


def localize_entry(localizer: Localizer, entry: Contribution, features: dict[str, Features]) -> Result:
    """Localize a contribution near its stated pose. Raises ImageError.

    Args:
        features: as in `judge_contributions`, of the image without turns.
    """
    prior = Prior(entry.cam_from_world, radius_m=SEARCH_M, angle_deg=SEARCH_DEG)
    upright = localizer.matcher, entry.mask, 0
    extracted: FeatureCache = {upright: features[entry.name]} if entry.name in features else {}
    result = localizer.localize(read_gray(entry.path), entry.camera, prior, mask=entry.mask, extracted=extracted)
    if upright in extracted:
        features[entry.name] = extracted[upright]
    return result


def adjust_agreed(
    localizer: Localizer,
    agreed: Sequence[tuple[Contribution, Localized]],
    features: dict[str, Features],
    *,
    quiet: bool,
) -> tuple[list[PosedImage], list[Skipped]]:
    """Adjust contributions to the map and to each other; return those to add, and those refused since they moved.

    One that shares too few landmarks keeps its stated pose.

    Args:
        features: known ones by name of a contribution.
    """
    images = [entry.to_posed_image() for entry, _ in agreed]
    networks = Networks(localizer.config, localizer.matcher)
    known = {entry.path.name: features[entry.name] for entry, _ in agreed if entry.name in features}
    adjusted = adjust_to_map(localizer.map, images, known, networks, Serial(quiet=quiet)) if images else {}
    added, refused = [], []
    for image, (entry, found) in zip(images, agreed, strict=True):
        if image.name not in adjusted:
            added.append(image)
            continue
        pose = combine_poses(found, adjusted[image.name])
        if why := explain_contradiction(entry, pose.cam_from_world, pose.covariance):
            refused.append(Skipped(entry.name, f"adjusted to the map and the other contributions, {why}"))
        else:
            added.append(replace(image, cam_from_world=pose.cam_from_world))
    return added, refused


def explain_contradiction(entry: Contribution, cam_from_world: pycolmap.Rigid3d, covariance: NDArray) -> str:
    """Say how the stated pose contradicts the image's pose in the map; empty if it does not.

    Args:
        covariance: (6, 6) of the pose in the map, as in `Localized`.
    """
    off_m = translation_distance_m(entry.cam_from_world, cam_from_world)
    off_deg = rotation_distance_deg(entry.cam_from_world, cam_from_world)
    if off_m <= ALWAYS_NEAR_M and off_deg <= ALWAYS_NEAR_DEG:
        return ""
    error = pose_difference(entry.cam_from_world.inverse(), cam_from_world.inverse())
    sigmas = squared_mahalanobis(error, entry.covariance + covariance) ** 0.5
    if off_m > MAX_OFF_M or off_deg > MAX_OFF_DEG or sigmas > MAX_SIGMAS:
        return (
            f"its pose is {off_m:.3f} m and {off_deg:.2f} deg ({sigmas:.0f} sigma) off what its image says in the map"
        )
    return ""


def explain_needless(
    entry: Contribution,
    inliers: int,
    reference_map: Map,
    agreed: Sequence[tuple[Contribution, Localized]],
    wanted: ContributeConfig,
) -> str:
    """Say why a contribution adds nothing to a map and to those added already; empty if it does."""
    to_view_m = distance_to_nearest(reference_map.centres, reference_map.axes, entry.cam_from_world)
    if to_view_m < wanted.spacing_m and inliers >= wanted.few_inliers:
        return f"the map shows it: a view {to_view_m:.2f} m away, {inliers} inliers"
    among = centres_and_axes([other.cam_from_world for other, _ in agreed])
    if (apart_m := distance_to_nearest(*among, entry.cam_from_world)) < wanted.spacing_m:
        return f"another contribution is {apart_m:.2f} m away"
    return ""
