"""Define the values that flow through the pipeline, one type per arrow.

Pixels are (x, y) with centres at integers (OpenCV); transforms are named ``target_from_source``; lengths are metres.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from types import NoneType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import STD_PER_MEDIAN, UNIT_TOLERANCE, normalize_rigid
from deviloc_ros.io.arguments import check_amount, check_argument
from deviloc_ros.io.units import Unit
from deviloc_ros.status import Status

if TYPE_CHECKING:  # modules that only open a map need not import PyTorch
    import torch

    from deviloc_ros.masks import Mask


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Hold the keypoints and descriptors that a matcher extracted from one image.

    keypoints: (N, 2) px of the original image. descriptors: (N, C). scores: (N,), unbounded. scales: (N, 2) original
    pixels per pixel, in x and y, of the level a keypoint was found on. size: (width, height) px of the image. dense:
    (C, h, w) feature map spanning the image, kept only while a map is built. fine: (C, h, w) feature map that a
    matcher's fine stage reads, part of what a map stores.
    """

    keypoints: torch.Tensor
    descriptors: torch.Tensor
    scores: torch.Tensor
    scales: torch.Tensor
    size: tuple[int, int]
    dense: torch.Tensor | None = None
    fine: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, rows: torch.Tensor) -> Features:
        """Return some of the keypoints, without the maps that span the image."""
        return Features(self.keypoints[rows], self.descriptors[rows], self.scores[rows], self.scales[rows], self.size)

    def to(self, device: torch.device | str) -> Features:
        """Return the same features on another device; what a map holds lies on the CPU."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "size"}
        return replace(self, **{name: tensor.to(device) for name, tensor in tensors.items() if tensor is not None})


FeatureCache: TypeAlias = "dict[tuple[object, Mask | None, int], Features]"
"""Features of one image, keyed by matcher, mask, and the number of quarter turns (counterclockwise) of the image."""


@dataclass(frozen=True, slots=True, eq=False)
class MovedMatches:
    """Hold matches whose keypoints a matcher's fine stage moved, in both images.

    query_keypoints, reference_keypoints: (M, 2) px. reference_features: (M, C) of the reference at these keypoints.
    """

    query_keypoints: NDArray
    reference_keypoints: NDArray
    reference_features: NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Hold 2D-2D matches of the query with one reference.

    query_keypoints: (M, 2) px. reference_indices: (M,) rows of the reference's keypoints. confidence: (M,) in [0, 1].
    moved: the same matches after a matcher moved both keypoints, for lifting methods that can lift at any pixel.
    """

    query_keypoints: NDArray
    reference_indices: NDArray
    confidence: NDArray
    moved: MovedMatches | None = None

    def __len__(self) -> int:
        return len(self.query_keypoints)


@dataclass(frozen=True, slots=True, eq=False)
class Correspondences:
    """Hold 2D-3D correspondences of one query.

    keypoints: (N, 2) px in the query. points_in_world: (N, 3) m. confidence: (N,) in [0, 1], as in `Lifted`. depths:
    (N,) m, of each point in the reference it came from: the scale of its uncertainty. references: (N,) index of the
    reference each came from. origins: (N, 3) m in world, the centre of that reference: a point's depth is uncertain
    along the ray from there. depth_stds: (N,) standard deviation of the depth, relative to it. stds_px: (N,) standard
    deviation of the keypoint, in x and in y. landmark_ids: (N,) the landmark from which the depth was taken, -1 if
    unknown: depths from one landmark have correlated errors.
    """

    keypoints: NDArray
    points_in_world: NDArray
    confidence: NDArray
    depths: NDArray
    references: NDArray
    origins: NDArray
    depth_stds: NDArray = None  # type: ignore[assignment] # these three are filled in below
    stds_px: NDArray = None  # type: ignore[assignment]
    landmark_ids: NDArray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.depth_stds is None:
            object.__setattr__(self, "depth_stds", depth_stds_from_confidence(self.confidence))
        if self.stds_px is None:
            object.__setattr__(self, "stds_px", np.full(len(self.keypoints), USUAL_STD_PX))
        if self.landmark_ids is None:
            object.__setattr__(self, "landmark_ids", np.full(len(self.keypoints), -1))

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, rows: NDArray | slice) -> Correspondences:
        return Correspondences(*(getattr(self, column.name)[rows] for column in fields(self)))

    @property
    def main_reference(self) -> int:
        """Return the index of the reference that most correspondences came from; 0 if there are none."""
        return int(np.bincount(self.references.astype(int)).argmax()) if len(self) else 0

    @staticmethod
    def concatenate(parts: list[Correspondences]) -> Correspondences:
        """Join correspondences; an empty list gives empty correspondences."""
        if not parts:
            nothing, nowhere = np.zeros(0), np.zeros((0, 3))
            return Correspondences(np.zeros((0, 2)), nowhere, nothing, nothing, np.zeros(0, int), nowhere)
        return Correspondences(
            *(np.concatenate([getattr(p, column.name) for p in parts]) for column in fields(Correspondences))
        )


RIGHT_DEPTH_ERROR = 0.02
"""Relative depth error below which a lifted keypoint counts as right; its confidence is the probability of that."""

UNKNOWN_DEPTH_STD = 1.0
"""Relative standard deviation that stands for a depth of which nothing is known."""

USUAL_STD_PX = 1.75
"""Take this standard deviation [px], in x and in y, for matched keypoints where the matcher states none."""


def depth_stds_from_confidence(confidence: NDArray) -> NDArray:
    """Return the (N,) relative standard deviations of depths that correspond to (N,) confidences.

    Errors of inferred depths have heavy tails: on held-out rendered views, errors of equal confidence nearly follow a
    Cauchy distribution, P(error < r) = 2 / pi atan(r / m) with median m and r = RIGHT_DEPTH_ERROR. The bulk of them
    matters here, so this is the standard deviation of the normal distribution with the same median absolute error.
    """
    return STD_PER_MEDIAN * RIGHT_DEPTH_ERROR / np.tan(np.pi / 2 * np.maximum(confidence, 1e-6))


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Hold map points as one view observes them: ids (M,), keypoints (M, 2) px, points_in_world (M, 3) m.

    depth_stds: (M,) standard deviation along the view's ray, relative to the depth (`sfm.uncertainty`);
    UNKNOWN_DEPTH_STD where it is not known.
    """

    ids: NDArray
    keypoints: NDArray
    points_in_world: NDArray
    depth_stds: NDArray

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: NDArray | slice) -> Landmarks:
        return Landmarks(self.ids[rows], self.keypoints[rows], self.points_in_world[rows], self.depth_stds[rows])

    @staticmethod
    def without_stds(ids: NDArray, keypoints: NDArray, points_in_world: NDArray) -> Landmarks:
        """Return landmarks whose depths are of unknown accuracy."""
        return Landmarks(ids, keypoints, points_in_world, np.full(len(ids), UNKNOWN_DEPTH_STD))

    @staticmethod
    def empty() -> Landmarks:
        """Return zero landmarks."""
        return Landmarks.without_stds(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 3)))


@dataclass(frozen=True, slots=True, eq=False)
class Lifted:
    """Hold a 3D point for each keypoint of a view.

    points_in_world: (N, 3) m. confidence: (N,) in [0, 1], 0 for "not lifted". depths: (N,) m. Point and depth of a
    keypoint that is not lifted are 0 and must not be used. depth_stds: (N,) standard deviation along the view's ray,
    relative to the depth. landmark_rows: (N,) row of the view's landmark from which each depth was taken, -1 if
    unknown.
    """

    points_in_world: NDArray
    confidence: NDArray
    depths: NDArray
    depth_stds: NDArray = None  # type: ignore[assignment] # derived from the confidence unless given
    landmark_rows: NDArray = None  # type: ignore[assignment] # unknown unless given

    def __post_init__(self) -> None:
        if self.depth_stds is None:
            object.__setattr__(self, "depth_stds", depth_stds_from_confidence(self.confidence))
        if self.landmark_rows is None:
            object.__setattr__(self, "landmark_rows", np.full(len(self.confidence), -1))

    def __getitem__(self, rows: NDArray) -> Lifted:
        return Lifted(*(getattr(self, column.name)[rows] for column in fields(self)))

    @staticmethod
    def nothing(count: int) -> Lifted:
        """Return `Lifted` of `count` keypoints, none of them lifted."""
        return Lifted(np.zeros((count, 3)), np.zeros(count), np.zeros(count))


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceView:
    """Hold a posed image of the map, ready to match: its features, and its keypoints lifted to 3D.

    landmarks: those it observes. tower: what the published method (`upstream`) stores to lift keypoints that a matcher
    moves: the output of its network's landmark tower; empty for other methods.
    """

    name: str
    camera: Camera
    cam_from_world: pycolmap.Rigid3d
    features: Features
    lifted: Lifted
    landmarks: Landmarks = field(default_factory=Landmarks.empty)
    tower: dict[str, torch.Tensor] = field(default_factory=dict)


UNKNOWN_FOCAL_INFORMATION = 4.0
"""Information of the logarithm of an unknown focal length: a standard deviation of half the focal length."""


@dataclass(frozen=True, slots=True, eq=False)
class IntrinsicsFit:
    """Hold what an image tells about its camera's intrinsics, as a (4,) change of `Camera.change_intrinsics`.

    information: (4, 4) inverse covariance of the change, the pose marginalized; 0 for what the image does not tell.
    vector: (4,) information vector, the information times the change that fits best. cam_from_world: the pose that goes
    with that change. depth_m: median depth of the points from there.
    """

    information: NDArray
    vector: NDArray
    cam_from_world: pycolmap.Rigid3d
    depth_m: float

    @property
    def focal_scale(self) -> float:
        """Return the focal length that fits, relative to the camera's, with the other intrinsics as calibrated."""
        return float(np.exp(self.vector[0] / (self.information[0, 0] + UNKNOWN_FOCAL_INFORMATION)))

    @property
    def focal_std(self) -> float:
        """Return the standard deviation of `focal_scale`."""
        return self.focal_scale / float(np.sqrt(self.information[0, 0] + UNKNOWN_FOCAL_INFORMATION))

    def estimate(self, prior_stds: NDArray) -> tuple[NDArray, NDArray]:
        """Return the (4,) change that fits best and its (4, 4) covariance.

        Args:
            prior_stds: (4,) standard deviations of the calibration; infinite for no prior.
        """
        covariance = np.linalg.inv(self.information + np.diag(prior_stds**-2.0))
        return covariance @ self.vector, covariance


@dataclass(frozen=True, slots=True, eq=False)
class RigImage:
    """Hold the image of one camera of a rig: pixels (H, W) gray or (H, W, 3) BGR, uint8, and where the camera sits.

    std_m, std_rad: standard deviations of `rig_from_cam` in each axis, in addition to the error of its calibration:
    those of odometry for an image that was taken at another time. extracted: features that are known already.
    """

    name: str
    pixels: NDArray
    camera: Camera
    rig_from_cam: pycolmap.Rigid3d
    mask: Mask | None = None
    std_m: float = 0.0
    std_rad: float = 0.0
    extracted: FeatureCache = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rig_from_cam", normalize_rigid("RigImage.rig_from_cam", self.rig_from_cam))
        check_amount("RigImage.std_m", self.std_m)
        check_amount("RigImage.std_rad", self.std_rad)


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Hold a place that an image fits.

    covariance: as in `Localized`. inliers: how many correspondences support it. passes: whether it passed every gate.
    view: the name of the view that shows it best. unit: of the map's lengths.
    """

    cam_from_world: pycolmap.Rigid3d
    covariance: NDArray
    inliers: int
    passes: bool
    view: str
    unit: Unit = Unit.METRE

    def __str__(self) -> str:
        x, y, z = self.cam_from_world.tgt_origin_in_src()
        return f"{self.inliers} inliers at ({x:.2f}, {y:.2f}, {z:.2f}) {self.unit.symbol}, as view {self.view!r}"


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Hold the evidence for a pose, or for the lack of one.

    correspondences: after merging. inlier_mask: (N,) over correspondences. coverage: share of the image's grid cells
    that hold an inlier. references: names of the views matched, best first. stages_ms: milliseconds by stage, in order.
    intrinsics: None if the image tells nothing about them. cam_from_world: the solution, even if a gate withholds it;
    None without a solution. places: all that the image fits, best first, if alternatives were searched for. in_sight:
    whether, by geometry, the map's views should show the place that the prior names. everywhere: whether the whole map
    was searched for places. cameras: for a rig, the outcome of each.
    """

    correspondences: Correspondences = field(default_factory=lambda: Correspondences.concatenate([]))
    inlier_mask: NDArray = field(default_factory=lambda: np.zeros(0, bool))
    coverage: float = 0.0
    references: tuple[str, ...] = ()
    stages_ms: dict[str, float] = field(default_factory=dict)
    intrinsics: IntrinsicsFit | None = None
    cam_from_world: pycolmap.Rigid3d | None = None
    places: tuple[Place, ...] = ()
    in_sight: bool = False
    everywhere: bool = False
    cameras: tuple[CameraReport, ...] = ()

    @property
    def inliers(self) -> int:
        """Return the number of correspondences that agree with the pose."""
        return int(self.inlier_mask.sum())

    @property
    def inlying(self) -> Correspondences:
        """Return the correspondences that agree with the pose."""
        return self.correspondences[self.inlier_mask]

    @property
    def inlier_ratio(self) -> float:
        """Return the share of correspondences that agree with the pose; 0 if there are none."""
        return self.inliers / max(len(self.inlier_mask), 1)


@dataclass(frozen=True, slots=True, eq=False)
class CameraReport:
    """Hold the outcome of one camera of a rig.

    status: that of the camera localized by itself. used: whether it agrees with the rig's pose and takes part in it.
    inliers: how many of its correspondences the rig's pose explains. detail: how far off it is, or why it has no pose.
    rig_from_world: the rig's pose by this camera alone, None if it has none. evidence: for that pose. stamp_ns: of its
    image, 0 if not known.
    """

    name: str
    status: Status
    used: bool
    inliers: int
    detail: str = ""
    rig_from_world: pycolmap.Rigid3d | None = None
    evidence: Evidence | None = None
    stamp_ns: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Localized:
    """Hold a pose that passed every gate.

    covariance: (6, 6) of world_from_cam: translation [m] then rotation vector [rad], both in world axes (ROS order).
    """

    cam_from_world: pycolmap.Rigid3d
    covariance: NDArray
    evidence: Evidence

    def __str__(self) -> str:
        x, y, z = self.cam_from_world.tgt_origin_in_src()
        return f"at {x:.3f}, {y:.3f}, {z:.3f}; {self.evidence.inliers} inliers"


@dataclass(frozen=True, slots=True, eq=False)
class Lost:
    """Say that there is no pose, and why; `detail` has the numbers."""

    reason: Status
    detail: str = ""
    evidence: Evidence = field(default_factory=Evidence)

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}" if self.detail else self.reason.value


Result = Localized | Lost


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """Say where the camera probably is; views beyond `radius_m` or turned more than `angle_deg` are not searched.

    others: alternative poses; each is searched separately, within the same bounds. rivals_m: places that look alike are
    searched for within this distance. everywhere: they are searched for in the whole map, or in the area.
    """

    cam_from_world: pycolmap.Rigid3d
    radius_m: float = float("inf")
    angle_deg: float = 180.0
    others: tuple[pycolmap.Rigid3d, ...] = ()
    rivals_m: float = 0.0
    everywhere: bool = False
    area: Area | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "cam_from_world", normalize_rigid("Prior.cam_from_world", self.cam_from_world))
        others = tuple(normalize_rigid("Prior.others: one", other) for other in self.others)
        object.__setattr__(self, "others", others)
        for name in ("radius_m", "angle_deg", "rivals_m"):
            check_amount(f"Prior.{name}", getattr(self, name), endless=True)
        check_argument("Prior.area", self.area, (Area, NoneType))


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """Say where the camera probably is, in any orientation: within `radius_m` of a vertical line in world.

    point: (3,) m, on that line. up: (3,) unit vector along it.
    """

    point: NDArray
    up: NDArray
    radius_m: float

    def __post_init__(self) -> None:
        for name in ("point", "up"):
            vector = np.asarray(getattr(self, name), float)
            if vector.shape != (3,) or not np.isfinite(vector).all():
                raise ValueError(f"Area.{name} must be 3 finite numbers, got {vector.tolist()}")
            object.__setattr__(self, name, vector)
        length = np.linalg.norm(self.up)
        if abs(length - 1) > UNIT_TOLERANCE:
            raise ValueError(f"Area.up must be of unit length, got {self.up.tolist()}")
        object.__setattr__(self, "up", self.up / length)
        check_amount("Area.radius_m", self.radius_m, endless=True)

    def contains(self, points_in_world: NDArray) -> NDArray:
        """Return (N,) whether (N, 3) points lie within the area."""
        offsets = points_in_world - self.point
        horizontal = offsets - np.outer(offsets @ self.up, self.up)
        return np.linalg.norm(horizontal, axis=1) <= self.radius_m
