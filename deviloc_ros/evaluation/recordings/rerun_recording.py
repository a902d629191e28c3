"""Write a run for the Rerun viewer: map, poses, truth, errors and small pictures on one time line.

Needs extra `rerun`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from deviloc_ros.bags.bag_index import IndexedBag
from deviloc_ros.bags.reader import read_messages
from deviloc_ros.evaluation.recordings.frames import JudgedFrame
from deviloc_ros.evaluation.recordings.run_folder import Run
from deviloc_ros.evaluation.report.trajectories import MapOutline, origins_of
from deviloc_ros.io.encoded_images import encode_jpeg
from deviloc_ros.messages.headers import stamp_ns
from deviloc_ros.messages.images import pixels_of

TIME = "stamp"
IMAGE_SIDE_PX, JPEG_QUALITY = 320, 70
GREY, BLUE, BLACK, RED = (160, 165, 170), (48, 99, 142), (50, 50, 50), (209, 73, 91)
ARROW_M = 0.1


def check_rerun() -> None:
    """Raise ValueError, naming the extra, where Rerun is not installed."""
    if find_spec("rerun") is None:
        raise ValueError("--rerun needs the extra `rerun`: pip install rerun-sdk, or deviloc_ros[rerun]")


def write_rerun(path: Path, run: Run, around: MapOutline, bag: IndexedBag) -> None:
    """Write the whole run as one file.

    Raises:
        ValueError: Rerun is not installed.
    """
    check_rerun()
    import rerun

    path.parent.mkdir(parents=True, exist_ok=True)
    with rerun.RecordingStream("deviloc_ros") as stream:
        stream.save(path)
        log_map(stream, around)
        for frame in run.frames:
            log_frame(stream, frame)
        true = origins_of([f.true_map_from_base for f in run.frames if f.true_map_from_base])
        if len(true):
            stream.log("map/truth", rerun.LineStrips3D([true], colors=[BLACK]), static=True)
        for image, message in read_messages(bag.recording.path, bag.recording.messages(bag.topics.images)):
            log_image(stream, message, "/".join(filter(None, ["camera", bag.topics.camera_of(image.topic)])))
        stream.flush()


def log_map(stream: Any, around: MapOutline) -> None:
    """Log landmarks, and where reference views were and looked."""
    import rerun

    stream.log("map/landmarks", rerun.Points3D(around.thin_landmarks(), colors=[GREY]), static=True)
    if around.views:
        looks = np.array([view.rotation.matrix()[:, 2] for view in around.views])
        arrows = rerun.Arrows3D(vectors=ARROW_M * looks, origins=origins_of(around.views), colors=[BLUE])
        stream.log("map/views", arrows, static=True)


def log_frame(stream: Any, frame: JudgedFrame) -> None:
    """Log what became of one image."""
    import rerun

    estimate = frame.estimate
    stream.set_time(TIME, timestamp=np.datetime64(estimate.stamp_ns, "ns"))
    stream.log("outcome", rerun.TextLog(estimate.detail or estimate.status.sentence))
    stream.log("figures/inliers", rerun.Scalars(float(estimate.inliers)))
    if frame.true_map_from_base:
        log_pose(stream, "map/robot/true", frame.true_map_from_base, BLACK)
    if frame.localized and frame.map_from_base:
        log_pose(stream, "map/robot/estimated", frame.map_from_base, RED)
        stream.log("map/estimates", rerun.Points3D([frame.map_from_base.translation], colors=[RED]))
        if frame.has_truth:
            stream.log("figures/position_error_cm", rerun.Scalars(100 * frame.translation_m))
            stream.log("figures/rotation_error_deg", rerun.Scalars(frame.rotation_deg))


def log_pose(stream: Any, name: str, map_from_base: pycolmap.Rigid3d, color: tuple[int, int, int]) -> None:
    """Log an arrow along the robot's x axis."""
    import rerun

    ahead = map_from_base.rotation.matrix()[:, 0]
    stream.log(name, rerun.Arrows3D(vectors=[3 * ARROW_M * ahead], origins=[map_from_base.translation], colors=[color]))


def log_image(stream: Any, message: Any, name: str) -> None:
    """Log the picture, small; nothing for one that cannot be decoded."""
    import rerun

    try:
        pixels = pixels_of(message)
    except ValueError:
        return
    stream.set_time(TIME, timestamp=np.datetime64(stamp_ns(message), "ns"))
    contents = encode_jpeg(pixels, JPEG_QUALITY, IMAGE_SIDE_PX)
    stream.log(name, rerun.EncodedImage(contents=contents, media_type="image/jpeg"))
