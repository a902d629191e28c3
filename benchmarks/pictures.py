"""Make the pictures of README and docs/ from the rendered room: `python -m benchmarks.pictures`, a few minutes.

They are drawn by what users have: a map, a localizer, a follower. `--map` takes a map of an earlier run.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycolmap
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from numpy.typing import NDArray
from tqdm import tqdm

from deviloc_ros.config import Config, TrackingConfig
from deviloc_ros.demo.recording import list_true_poses, simulate_odometry
from deviloc_ros.demo.worlds import BASE_FROM_CAM, World, render_room
from deviloc_ros.evaluation.trajectory_picture import ESTIMATE, KEYFRAME, TRUTH
from deviloc_ros.geometry import transform_points
from deviloc_ros.imaging import read_gray
from deviloc_ros.io.tum_trajectory import Stamped
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.build import build_map
from deviloc_ros.maps.store import Map
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.odometry import Odometry
from deviloc_ros.tracking.rig_images import StampedImage
from deviloc_ros.tracking.step import Step
from deviloc_ros.tracking.tracker import TrackingState
from deviloc_ros.types import Localized, ReferenceView

FRAMES = 60  # of the drive
QUERY_FRAME = 20  # a corner of the room where much is near and much is far
SHOWN_LINES = 40  # of hundreds of inliers, or nothing of the image is left to see
COVERED = range(30, 42)  # frames for which something is held before the lens
DRIFT = 0.03  # of odometry; wheels of a cheap robot
DEPTHS = "turbo"  # colours of near and far, in every picture
STATES = {
    TrackingState.UNLOCALIZED: "#8a8f96",
    TrackingState.LOCALIZED: "#1e7d4f",
    TrackingState.COASTING: "#e08e1a",
    TrackingState.LOST: "#c0392b",
}


@dataclass(frozen=True, slots=True, eq=False)
class FollowedDrive:
    """Hold what following gave: of each frame the step, the state after it, and where odometry had the robot."""

    steps: list[Step]
    states: list[TrackingState]
    odometry: list[Stamped]


def main() -> None:
    """Render the room, map it, drive through it, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("docs/images"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--map", type=Path, metavar="MAP", help="of the rendered room, made before; kept if made anew")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        world = render_room(Path(folder), frames=FRAMES)
        path = options.map or Path(folder) / "map"
        if not path.exists():
            build_map(world.map_images, path, Config())
        localizer = Localizer(Map.open(path))
        draw_lifted_matches(options.output / "matches.jpg", world, localizer)
        draw_method(options.output / "method.jpg", world, localizer)
        draw_map(options.output / "map.png", localizer.map)
        drive = follow_drive(world, localizer)
        draw_drive(options.output / "drive.png", world, drive)
        draw_states(options.output / "states.png", drive)


def follow_drive(world: World, localizer: Localizer) -> FollowedDrive:
    """Follow the robot through the drive, in the middle of which its lens is covered."""
    follower = Follower(localizer, TrackingConfig())
    odometry = simulate_odometry(list_true_poses(world), np.random.default_rng(0), DRIFT)
    steps, states = [], []
    for number, frame in enumerate(tqdm(world.frames, desc="follow the drive", unit="frame")):
        stamp_ns, odom_from_base = odometry[number]
        pixels = np.zeros((480, 640), np.uint8) if number in COVERED else frame.load()
        assert isinstance(pixels, np.ndarray)
        image = StampedImage(stamp_ns, pixels, world.camera, BASE_FROM_CAM)
        steps.append(follower.follow([image], lambda *_, at=odom_from_base: Odometry(at), stamp_ns))
        states.append(follower.state(stamp_ns))
    return FollowedDrive(steps, states, odometry)


def draw_lifted_matches(path: Path, world: World, localizer: Localizer) -> None:
    """Draw a query beside the view it agrees with most, inliers in the colour of their depth, and the points in 3D."""
    query, found = localize_query(world, localizer)
    view, rows = best_view(localizer.map, found)
    correspondences = found.evidence.correspondences
    points, starts = correspondences.points_in_world[rows], correspondences.keypoints[rows]
    ends = view.camera.project(transform_points(view.cam_from_world, points))
    depths = transform_points(found.cam_from_world, points)[:, 2]
    figure = Figure((12, 3.4), layout="constrained")
    left, middle = figure.add_subplot(131), figure.add_subplot(132)
    space: Any = figure.add_subplot(133, projection="3d")
    show(left, query, f"query: {len(starts)} inliers with this view")
    show(middle, read_gray(image_of(world, view.name)), "reference view of the map")
    dots: dict[str, Any] = {"c": depths, "cmap": DEPTHS, "s": 4}
    left.scatter(*starts.T, **dots)
    colored = middle.scatter(*ends.T, **dots)
    draw_lines(figure, (left, middle), starts, ends, colored.to_rgba(depths))
    draw_camera_and_points(space, found.cam_from_world, localizer.map.landmarks(), points, depths)
    figure.colorbar(colored, ax=[left, middle], label="depth [m]", shrink=0.8)
    save(figure, path)


def draw_method(path: Path, world: World, localizer: Localizer) -> None:
    """Draw the three steps of the method on one reference view and one query."""
    query, found = localize_query(world, localizer)
    view, _ = best_view(localizer.map, found)
    reference = read_gray(image_of(world, view.name))
    usable = view.lifted.confidence > 0
    figure = Figure((12, 3.3), layout="constrained")
    axes = figure.subplots(1, 3)
    show(axes[0], reference, f"1. {len(view.landmarks)} landmarks of a view")
    depths = transform_points(view.cam_from_world, view.landmarks.points_in_world)[:, 2]
    limits = {"cmap": DEPTHS, "vmin": np.percentile(depths, 2), "vmax": np.percentile(depths, 98)}
    axes[0].scatter(*view.landmarks.keypoints.T, c=depths, s=6, **limits)
    show(axes[1], reference, f"2. all {int(usable.sum())} keypoints lifted")
    keypoints = view.features.keypoints.cpu().numpy()[usable]
    axes[1].scatter(*keypoints.T, c=view.lifted.depths[usable], s=6, **limits)
    correspondences = found.evidence.correspondences
    show(axes[2], query, f"3. matched with a query: {found.evidence.inliers} inliers")
    inliers = found.evidence.inlier_mask
    depths = transform_points(found.cam_from_world, correspondences.points_in_world[inliers])[:, 2]
    colored = axes[2].scatter(*correspondences.keypoints[inliers].T, c=depths, s=6, **limits)
    figure.colorbar(colored, ax=axes, label="depth [m]", shrink=0.8)
    save(figure, path)


def draw_map(path: Path, reference_map: Map) -> None:
    """Draw views and landmarks from above."""
    figure = Figure((6, 5), layout="constrained")
    axes = figure.add_subplot()
    draw_ground(axes, reference_map)
    axes.set_title(f"{len(reference_map)} views, {len(reference_map.landmarks())} landmarks, from above")
    save(figure, path)


def draw_drive(path: Path, world: World, drive: FollowedDrive) -> None:
    """Draw the drive from above: truth, what odometry alone makes of it, and the poses that were given."""
    truth = list_true_poses(world)
    start = truth[0][1] * drive.odometry[0][1].inverse()
    figure = Figure((6, 4.6), layout="constrained")
    axes = figure.add_subplot()
    plot_path(axes, [pose for _, pose in truth], "-", color=TRUTH, linewidth=3, alpha=0.4, label="truth")
    plot_path(
        axes, [start * pose for _, pose in drive.odometry], "--", color=KEYFRAME, label=f"odometry, {DRIFT:.0%} drift"
    )
    given = [step.fix.map_from_base for step in drive.steps if step.fix is not None]
    plot_path(axes, given, ".", color=ESTIMATE, label=f"localized ({len(given)} of {len(drive.steps)} images)")
    hidden = [truth[number][1] for number in COVERED]
    plot_path(axes, hidden, "-", color="black", linewidth=1, label="lens covered")
    label_ground(axes)
    save(figure, path)


def draw_states(path: Path, drive: FollowedDrive) -> None:
    """Draw inliers and state over time: what /diagnostics says while the lens is covered."""
    seconds = [(stamp_ns - drive.odometry[0][0]) * 1e-9 for stamp_ns, _ in drive.odometry]
    figure = Figure((8, 2.8), layout="constrained")
    axes = figure.add_subplot()
    for state, color in STATES.items():
        rows = [row for row, seen in enumerate(drive.states) if seen is state]
        if rows:
            inliers = [drive.steps[row].evidence.inliers for row in rows]
            axes.plot([seconds[row] for row in rows], inliers, ".", color=color, label=state.value)
    axes.set(xlabel="time [s]", ylabel="inliers", ylim=(0, None))
    reasons = {step.status.word for row, step in enumerate(drive.steps) if row in COVERED}
    axes.text(
        seconds[COVERED[0]],
        0.9,
        f"lens covered:\n{', '.join(sorted(reasons))}",
        transform=axes.get_xaxis_transform(),
        va="top",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right")
    save(figure, path)


def localize_query(world: World, localizer: Localizer) -> tuple[NDArray, Localized]:
    """Return one image of the drive and its pose."""
    pixels = world.frames[QUERY_FRAME].load()
    assert isinstance(pixels, np.ndarray)
    result = localizer.localize(pixels, world.camera)
    assert isinstance(result, Localized), str(result)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels, result


def best_view(reference_map: Map, found: Localized) -> tuple[ReferenceView, NDArray]:
    """Return the view with most inliers, and the rows of those."""
    evidence = found.evidence
    counts = np.bincount(evidence.correspondences.references[evidence.inlier_mask].astype(int))
    best = int(counts.argmax())
    (view,) = reference_map.views_named([evidence.references[best]], 1)
    return view, np.flatnonzero(evidence.inlier_mask & (evidence.correspondences.references == best))


def image_of(world: World, name: str) -> Path:
    """Return the file of a view of the map."""
    return next(image.path for image in world.map_images if image.name == name)


def show(axes: Any, gray: NDArray, title: str) -> None:
    """Show an image, dimmed so that what is drawn on it stands out."""
    axes.imshow(gray, cmap="gray", vmin=0, vmax=255, alpha=0.75)
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()


def draw_lines(figure: Figure, sides: tuple[Any, Any], starts: NDArray, ends: NDArray, colors: NDArray) -> None:
    """Draw some of the matches as lines between two axes."""
    for row in range(0, len(starts), max(1, len(starts) // SHOWN_LINES)):
        figure.add_artist(
            ConnectionPatch(
                starts[row], ends[row], "data", axesA=sides[0], axesB=sides[1], color=colors[row], linewidth=0.6
            )
        )


def draw_camera_and_points(
    axes: Any, cam_from_world: pycolmap.Rigid3d, landmarks: NDArray, points: NDArray, depths: NDArray
) -> None:
    """Draw landmarks in gray, lifted points in the colour of their depth, and the camera that sees them."""
    low, high = np.percentile(points, [2, 98], axis=0)
    near = points[((points >= low - 0.5) & (points <= high + 0.5)).all(1)]
    depths = depths[((points >= low - 0.5) & (points <= high + 0.5)).all(1)]
    around = landmarks[((landmarks >= low - 0.5) & (landmarks <= high + 0.5)).all(1)]
    axes.scatter(*around.T, s=0.3, c="#c4c9cf")
    axes.scatter(*near.T, c=depths, cmap=DEPTHS, s=6, depthshade=False)
    world_from_cam = cam_from_world.inverse()
    corners = transform_points(
        world_from_cam, np.array([[x, y, 1.0] for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]) * [0.3, 0.23, 0.4]
    )
    for corner in corners:
        axes.plot(*np.array([world_from_cam.translation, corner]).T, color=ESTIMATE, linewidth=1)
    axes.plot(*np.vstack([corners, corners[:1]]).T, color=ESTIMATE, linewidth=1)
    axes.set_title("3D points of the inliers, and the pose", fontsize=10)
    axes.set_aspect("equal")
    axes.view_init(elev=55, azim=-70)
    axes.tick_params(labelsize=6)


def draw_ground(axes: Any, reference_map: Map) -> None:
    """Draw landmarks and views from above."""
    landmarks = reference_map.landmarks()[:, :2]
    low, high = np.percentile(landmarks, [1, 99], axis=0)
    axes.plot(*landmarks[((landmarks >= low) & (landmarks <= high)).all(1)].T, ",", color="#8a8f96")
    views = [record.cam_from_world.inverse() for record in reference_map.records]
    centres = np.array([view.translation[:2] for view in views])
    looks = np.array([view.rotation.matrix()[:2, 2] for view in views])
    axes.quiver(*centres.T, *looks.T, color=KEYFRAME, width=0.005, scale=20, label="views and where they look")
    label_ground(axes)


def plot_path(axes: Any, poses: list[pycolmap.Rigid3d], style: str, **look: Any) -> None:
    """Plot where poses are, from above."""
    axes.plot(*np.array([pose.translation[:2] for pose in poses]).T, style, **look)


def label_ground(axes: Any) -> None:
    """Give a plan equal scales, names and a legend."""
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel="x [m]", ylabel="y [m]")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def save(figure: Figure, path: Path) -> None:
    """Write a picture small enough to be checked in."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=100, pil_kwargs={"quality": 80, "optimize": True} if path.suffix == ".jpg" else None)
    print(f"{path}: {path.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
