"""Define every default, unit and bound once; ROS parameters, YAML keys, CLI flags and saved runs derive from these."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from deviloc_ros.config_fields import CheckedConfig, change_config, param
from deviloc_ros.io.arguments import check_argument

MATCHERS = ("xfeat", "xfeat-lighterglue", "disk-lightglue", "topicfm")
LIFTS = ("landmarks-only", "interpolate", "pin", "upstream")
AGGREGATIONS = ("depth-aware", "paper")
LANDMARK_SOURCES = ("sift", "matcher", "both")
PRECISIONS = ("float32", "bfloat16", "float16")
ENGINES = ("auto", "torch", "onnx", "openvino")
MOST_ENLARGED = 4  # times that a small image is scaled up for the network; more was not tried


@dataclass(frozen=True)
class MatcherConfig(CheckedConfig):
    """Configure features and 2D-2D matching."""

    name: str = param("xfeat", "matcher; a map is bound to the one it was built with", choices=MATCHERS, read_only=True)
    max_keypoints: int = param(
        2048, "keypoints kept per image, best first (topicfm: matches per pair)", low=64, high=16384, read_only=True
    )
    max_image_side_px: int = param(
        1280, "larger images are scaled down to this long side", low=64, high=8192, read_only=True
    )
    min_image_side_px: int = param(
        640,
        "smaller images are scaled up to this long side, at most four times and not beyond max_image_side_px, for more "
        "and more precise features; a map is bound to the value it was built with; not for topicfm",
        low=0,
        high=8192,
        read_only=True,
    )
    min_confidence: float = param(
        0.1,
        "matches below this confidence are dropped; xfeat has a threshold of its own",
        low=0.0,
        high=1.0,
        read_only=True,
    )
    device: str = param("auto", "torch device: auto, cpu, cuda or cuda:N", read_only=True)
    engine: str = param(
        "auto",
        "what runs the networks of xfeat and xfeat-lighterglue: torch, onnx (ONNX Runtime), openvino, or auto: on a "
        "CPU openvino or else onnx, if installed, otherwise torch",
        choices=ENGINES,
        read_only=True,
    )
    half_precision: bool = param(
        True, "openvino computes in bfloat16 on a CPU that supports it, in two thirds of the time", read_only=True
    )
    weights: str = param(
        "", "weights file of topicfm; empty: those of fetch-weights; random: untrained", read_only=True
    )
    precision: str = param(
        "float32", "precision of topicfm; half precision saves time on hardware that supports it", choices=PRECISIONS,
        read_only=True,
    )  # fmt: skip

    def network_scale(self, shape: tuple[int, ...]) -> float:
        """Return by what factor an image of this shape, (H, W), is scaled for the network."""
        longest = max(shape)
        enlarged = min(self.min_image_side_px, MOST_ENLARGED * longest)
        return min(max(longest, enlarged), self.max_image_side_px) / longest


@dataclass(frozen=True)
class LiftConfig(CheckedConfig):
    """Configure how a map gives its keypoints 3D points."""

    method: str = param("pin", "how keypoints get their 3D points", choices=LIFTS)
    weights: str = param(
        "",
        "file of the network's weights; empty: for pin those of the package, for upstream those of fetch-weights; "
        "upstream also takes random: untrained",
    )
    precision: str = param("float32", "precision of upstream", choices=PRECISIONS)
    landmark_source: str = param("sift", "keypoints that landmarks are triangulated from", choices=LANDMARK_SOURCES)
    landmark_radius_px: float = param(
        3.0,
        "a keypoint this near a landmark takes its point (landmarks-only, upstream; also in `update-map`)",
        low=0.0,
        high=50.0,
    )
    neighbours: int = param(4, "nearest landmarks that are interpolated", low=1, high=64)
    max_neighbour_distance_px: float = param(
        48.0, "interpolate: keypoints farther from their landmarks are not lifted", low=1.0, high=4096.0
    )
    max_depth_spread: float = param(
        0.1, "interpolate: relative depth spread of the neighbours that gives confidence exp(-1)", low=1e-3, high=10.0
    )
    interpolate_within_px: float = param(
        6.0, "keypoints this near a landmark take the interpolated depth, the others that of pin", low=0.0, high=1000.0
    )
    check_views: int = param(4, "neighbouring views that lifted points are checked against; 0: none", low=0, high=50)
    check_radius_px: float = param(
        4.0, "a point is compared with those of a neighbour this near its projection", low=0.1, high=50.0
    )
    check_depth_difference: float = param(
        0.03, "depths of neighbouring views that differ by more than this share disagree", low=1e-4, high=10.0
    )
    min_landmarks: int = param(
        0, "views with at most this many landmarks are left out of a map; 0: none is", low=0, high=1000000
    )
    max_landmarks: int = param(
        0, "landmarks kept per view, drawn at random with a fixed seed; 0: all", low=0, high=1000000
    )


@dataclass(frozen=True)
class RetrievalConfig(CheckedConfig):
    """Configure which reference views a query is matched with."""

    references: int = param(5, "references matched per query", low=1, high=200)
    shortlist: int = param(
        20,
        "without a prior: views with the most similar global descriptors, from which the references are chosen by "
        "local descriptors",
        low=1,
        high=1000,
    )
    few: int = param(
        2, "references matched first; the others are only matched if these give no precise pose", low=1, high=200
    )
    sure_std: float = param(
        0.005,
        "standard deviation of the position, along its worst axis, below which the first few references are enough, as "
        "a share of the distance of what is seen; 0: they never are",
        low=0.0,
        high=1e4,
    )
    refine: bool = param(
        True,
        "without a prior: a pose that is found serves as a prior, and the views near it are matched as well; slower",
    )
    try_turned: bool = param(
        True,
        "an image without a pose is also tried turned by 90, 180 and 270 degrees; what worked last comes first",
    )
    descriptor_file: str = param(
        "",
        "TorchScript file of a learned global descriptor, a program that must be trusted; empty: VLAD of the map",
        read_only=True,
    )
    nearest: int = param(
        2,
        "with a prior: this many references are the nearest views; the others show most of what these do not",
        low=0,
        high=200,
    )
    meters_per_radian: float = param(
        1.0, "distance that weighs as much as a radian between optical axes", low=1e-3, high=1e4
    )
    covisibility_clusters: bool = param(
        False, "references that share no landmarks are solved separately; the pose with the most inliers is given"
    )


@dataclass(frozen=True)
class AggregationConfig(CheckedConfig):
    """Configure Confidence-based Point Aggregation (CPA)."""

    method: str = param(
        "depth-aware", "which points of a cell merge: those that agree, or all (paper)", choices=AGGREGATIONS
    )
    cell_px: float = param(2.0, "query pixels closer than this merge into one correspondence", low=0.1, high=64.0)
    min_confidence: float = param(0.25, "correspondences at or below this confidence are dropped", low=0.0, high=1.0)
    max_depth_difference: float = param(
        0.05, "points of a cell that differ by more than this share of their depth do not merge", low=1e-4, high=1e6
    )


@dataclass(frozen=True)
class PoseConfig(CheckedConfig):
    """Configure how a pose is solved from 2D-3D correspondences, and when it is believed."""

    max_reprojection_error_px: float = param(
        12.0,
        "RANSAC inlier threshold, for xfeat in images of at least 640 px; scaled down for smaller images and for more "
        "precise matchers",
        low=0.5,
        high=50.0,
    )
    max_residual_px: float = param(
        8.0, "inlier threshold and Tukey scale of the refinement, scaled for smaller images", low=0.5, high=50.0
    )
    max_depth_discount: float = param(
        10.0,
        "largest factor by which a residual counts less along the epipolar line, on which the uncertain depth of its "
        "point moves it; 1 takes depths as certain",
        low=1.0,
        high=100.0,
    )
    confidence: float = param(0.99999, "RANSAC stops with this confidence", low=0.5, high=0.9999999)
    max_trials: int = param(10000, "largest number of RANSAC trials", low=10, high=1000000)
    random_seed: int = param(0, "seed of RANSAC; the same query gives the same pose", low=0, high=2**31 - 1)
    min_inliers: int = param(30, "with fewer inliers no pose is given", low=4, high=100000)
    min_inlier_ratio: float = param(0.1, "with a lower share of inliers no pose is given", low=0.0, high=1.0)
    min_coverage: float = param(0.1, "share of the image's grid cells that must hold an inlier", low=0.0, high=1.0)
    max_position_std: float = param(
        0.04,
        "standard deviation of the position, along its worst axis, above which no pose is given, as a share of the "
        "distance of what is seen",
        low=1e-6,
        high=1e4,
    )
    required_position_std_m: float = param(
        0.1,
        "standard deviation of the position [m] above which no pose is given, as the application needs: a pose in a "
        "large scene may be precise relative to its size, but not enough to drive by. 0: no such bound",
        low=0.0,
        high=1e4,
    )
    max_shift: float = param(
        0.014,
        "no pose is given if leaving out the points of one cell of an 8 x 6 grid over the image moves its position by "
        "more than its standard deviation and more than this share of the distance",
        low=1e-6,
        high=1e4,
    )
    estimate_focal: bool = param(
        False, "estimate the focal length with the pose, ignoring the camera's; lens distortion is not estimated"
    )
    max_focal_error: float = param(
        0.01,
        "no pose is given if the image fits other intrinsics, which differ by 6 standard deviations, by more than the "
        "deviations below allow, and by more than this: the focal length by this share of it, the principal point by "
        "half of that, k1 by twice this; not with estimate_focal",
        low=0.0,
        high=100.0,
    )
    focal_std: float = param(
        0.0005,
        "standard deviation of the calibrated focal length, relative to it, which adds to the covariance of the pose. "
        "The defaults of this and the next two are for queries with the map's camera; use more for another",
        low=1e-6,
        high=1.0,
    )
    principal_point_std_px: float = param(
        0.25,
        "standard deviation of the calibrated principal point [px], in x and y: part of the covariance as `focal_std`",
        low=1e-6,
        high=1e4,
    )
    distortion_std: float = param(
        0.0005,
        "standard deviation of the calibrated radial distortion, k1; used as `focal_std`",
        low=1e-6,
        high=10.0,
    )
    covariance_scale: float = param(
        4.0,
        "factor on the pose covariance, for errors that all points share; calibrated on real images",
        low=1e-6,
        high=1e6,
    )
    min_position_std: float = param(
        0.0001,
        "error of map and calibration, as a share of the distance: its variance is added to that of the position",
        low=0.0,
        high=1.0,
    )
    min_orientation_std_deg: float = param(
        0.01,
        "error of map and calibration [deg]: its variance is added to that of the orientation",
        low=0.0,
        high=180.0,
    )
    map_position_std_m: float = param(
        0.0,
        "standard deviation [m], on each axis, of the positions that the map's views were given: its variance is added "
        "to that of the position. It is measured when a map is built; the larger of that and this counts",
        low=0.0,
        high=1e9,
    )
    map_orientation_std_deg: float = param(
        0.0,
        "the same of the orientations that the map's views were given [deg]",
        low=0.0,
        high=180.0,
    )

    @property
    def intrinsics_stds(self) -> tuple[float, float, float, float]:
        """Return the standard deviations of a calibration, in the order of `camera.INTRINSICS`."""
        return (self.focal_std, self.principal_point_std_px, self.principal_point_std_px, self.distortion_std)


MAP_STDS = ("map_position_std_m", "map_orientation_std_deg")
"""Name the parameters of `PoseConfig` that say by how much a map's own poses are off."""


@dataclass(frozen=True)
class Config:
    """Hold everything the localizer needs to know, in sections; `change_config` returns one with other values.

    matcher, lift, retrieval, aggregation, pose: parameters of one stage each.
    """

    matcher: MatcherConfig = field(default_factory=MatcherConfig)
    lift: LiftConfig = field(default_factory=LiftConfig)
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    aggregation: AggregationConfig = field(default_factory=AggregationConfig)
    pose: PoseConfig = field(default_factory=PoseConfig)

    def __post_init__(self) -> None:
        hint = 'change_config(Config(), pose={"min_inliers": 40}) changes parameters'
        for f in fields(self):
            check_argument(f"Config.{f.name}", getattr(self, f.name), f.default_factory, hint)  # type: ignore[arg-type]


def bind_to_map(config: Config, map_config: Config) -> Config:
    """Return `config` with the values that were fixed when the map was built.

    Its matcher, min_image_side_px and lift, and by how much its poses are off at least.
    """
    built = map_config.matcher
    matcher = {"name": built.name, "min_image_side_px": built.min_image_side_px}
    bound = change_config(config, matcher=matcher, pose=select_largest_map_stds(config.pose, map_config.pose))
    return replace(bound, lift=map_config.lift)


def select_largest_map_stds(*configs: PoseConfig) -> dict[str, float]:
    """Return the largest standard deviations that maps state of their own poses, by the names of the parameters."""
    return {name: max(getattr(config, name) for config in configs) for name in MAP_STDS}


# ---- beside the localizer: tracking a robot by its poses

BESIDE_LOCALIZER = TRACKING, RIG, CONTRIBUTE, GNSS = "tracking", "rig", "contribute", "gnss"
"""Name the sections of `TrackingConfig`, `RigConfig`, `ContributeConfig` and `GnssConfig`."""


@dataclass(frozen=True)
class TrackingConfig(CheckedConfig):
    """Configure which fixes are believed, and how long odometry is trusted without one."""

    confirmations: int = param(
        3, "fixes that must agree before a first or a large correction is believed", low=1, high=100
    )
    confirmation_window_s: float = param(
        5.0,
        "fixes farther apart in time do not confirm each other, and after this time without a fix odometry does not "
        "decide between places that look alike",
        low=0.01,
        high=600.0,
    )
    max_mahalanobis: float = param(
        5.0, "a fix farther than this [sigma] from its prediction needs confirmation", low=1.0, high=1e6
    )
    drift_m_per_m: float = param(
        0.05, "odometry: translation error per metre of the path since the last fix", low=0.0, high=10.0
    )
    drift_deg_per_m: float = param(
        1.0, "odometry: rotation error [deg] per metre of the path since the last fix", low=0.0, high=180.0
    )
    drift_per_turn: float = param(
        0.05, "odometry: rotation error per rotation, summed over all turns since the last fix", low=0.0, high=10.0
    )
    drift_m_per_s: float = param(0.02, "odometry: translation error per second", low=0.0, high=100.0)
    drift_deg_per_s: float = param(0.2, "odometry: rotation error [deg] per second", low=0.0, high=180.0)
    max_speed_m_per_s: float = param(
        2.0, "the robot's largest speed, for predictions without odometry", low=0.0, high=1000.0
    )
    max_turn_deg_per_s: float = param(
        90.0, "the robot's largest rate of turning, for predictions without odometry", low=0.0, high=10000.0
    )
    coasting_after_s: float = param(1.0, "without a fix for this long the state is coasting", low=0.01, high=3600.0)
    lost_after_s: float = param(
        30.0, "without a fix for this long the state is lost and map->odom stops", low=0.01, high=86400.0
    )
    search_radius_m: float = param(10.0, "reference views this near the prediction are searched", low=0.01, high=1e6)
    search_angle_deg: float = param(
        75.0, "reference views turned less than this from the prediction are searched", low=1.0, high=180.0
    )
    global_search_after: int = param(
        2, "frames that fail near the prediction before the whole map is searched as well", low=1, high=1000
    )
    smoothing_s: float = param(
        0.0, "time constant that spreads small corrections of map->odom; 0 applies them at once", low=0.0, high=60.0
    )
    hint_std_m: float = param(1.0, "standard deviation that is added to an initial pose", low=0.01, high=1000.0)
    hint_std_deg: float = param(20.0, "standard deviation that is added to an initial pose", low=0.1, high=180.0)


@dataclass(frozen=True)
class RigConfig(CheckedConfig):
    """Configure which images of several cameras are localized together."""

    window_s: float = param(
        0.1,
        "images of several cameras taken within this time are localized together, brought to the time of the newest by "
        "odometry; an image waits at most this long for the others",
        low=0.0,
        high=10.0,
        read_only=True,
    )
    tolerance_s: float = param(
        0.005,
        "without odometry, only images whose times differ by at most this are localized together",
        low=0.0,
        high=10.0,
        read_only=True,
    )


@dataclass(frozen=True)
class ContributeConfig(CheckedConfig):
    """Configure which images a robot keeps so that its map can be extended with them."""

    budget_mb: float = param(
        200.0,
        "largest size of the folder of kept images; when it is full, images with fewer inliers replace those with more",
        low=1e-3,
        high=1e6,
        read_only=True,
    )
    max_position_std_m: float = param(
        0.03,
        "an image is kept if the standard deviation of its position, along the worst axis, is at most this",
        low=1e-4,
        high=1e3,
        read_only=True,
    )
    few_inliers: int = param(
        250, "and if its pose has fewer inliers than this, so that the map has few or different views there", low=0,
        high=100000, read_only=True,
    )  # fmt: skip
    far_view_m: float = param(
        0.5,
        "or if the nearest view of the map is farther than this, with a radian between optical axes as a metre",
        low=0.0,
        high=1e6,
        read_only=True,
    )
    spacing_m: float = param(
        0.25, "and if no kept image is nearer than this, measured in the same way", low=0.0, high=1e6, read_only=True
    )


@dataclass(frozen=True)
class GnssConfig(CheckedConfig):
    """Configure how far positions of a satellite receiver are trusted."""

    min_std_m: float = param(
        3.0,
        "least standard deviation of a position in each direction, for reflections and the antenna's place",
        low=0.01,
        high=1e4,
        read_only=True,
    )
    std_m: float = param(
        0.0, "standard deviation of positions that state none; 0: these are refused", low=0.0, high=1e4, read_only=True
    )
    max_std_m: float = param(
        50.0, "positions that state a larger standard deviation are refused", low=0.01, high=1e5, read_only=True
    )
    max_age_s: float = param(
        2.0,
        "an image is compared with a position at most this far from it in time",
        low=0.01,
        high=60.0,
        read_only=True,
    )
