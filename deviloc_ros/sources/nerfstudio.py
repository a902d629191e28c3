"""Read posed images of nerfstudio and instant-ngp: `transforms.json`.

Its cameras look along -z with y up, as in OpenGL; ours along z with y down. Principal points are in COLMAP's
convention, in which the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rigid_from_matrix
from deviloc_ros.io.plain_files import read_json
from deviloc_ros.sources.base import PosedImage, Skipped, Source, SourceError, read_image_size
from deviloc_ros.sources.colmap import camera_from_colmap
from deviloc_ros.sources.image_files import find_image, fit_to_scaled_file

OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
PERSPECTIVE = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")  # in the order of FULL_OPENCV
FISHEYE = ("k1", "k2", "k3", "k4")
MODELS = {  # by name in the file, the distortion that each has
    "SIMPLE_PINHOLE": (),
    "PINHOLE": (),
    "SIMPLE_RADIAL": ("k1",),
    "RADIAL": ("k1", "k2"),
    "OPENCV": ("k1", "k2", "p1", "p2", "k3"),
    "FULL_OPENCV": PERSPECTIVE,
    "SIMPLE_RADIAL_FISHEYE": ("k1",),
    "RADIAL_FISHEYE": ("k1", "k2"),
    "OPENCV_FISHEYE": FISHEYE,
}
AXES = ("opengl", "opencv")


def read_transforms(path: Path | str, axes: str = "opengl") -> Source:
    """Read images of a `transforms.json`, or of the folder that holds one. Frames may have cameras of their own.

    Poses are not changed: nerfstudio centres and scales them, so lengths need not be metres.

    Args:
        axes: of the cameras, one of AXES; the format's are OpenGL's, but some programs write others.

    Raises:
        SourceError: no such file, not JSON, or no frames.
        ValueError: unknown axes.
    """
    if axes not in AXES:
        raise ValueError(f"axes = {axes!r} is not one of {', '.join(AXES)}")
    path = Path(path)
    path = path / "transforms.json" if path.is_dir() else path
    try:
        content = read_json(path)
    except FileNotFoundError as error:
        raise SourceError(f"{path}: not found") from error
    except ValueError as error:
        raise SourceError(f"{path}: not JSON: {error}") from error
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        raise SourceError(f"{path}: field 'frames' is missing or empty")
    images, skipped = [], []
    names: dict[Path, str] = {}  # by file, which may be named in several ways
    for number, frame in enumerate(frames):
        name = str(frame.get("file_path", f"frame {number}")) if isinstance(frame, dict) else f"frame {number}"
        try:
            image = find_image(path.parent, read_file_path(frame))
            camera = fit_to_scaled_file(parse_frame_camera(content | frame, image), image)
            pose = to_cam_from_world(frame["transform_matrix"], axes)
            if (first := names.setdefault(image.resolve(), name)) != name:
                raise ValueError(f"it is the file of {first}")
            images.append(PosedImage(name.replace("\\", "/"), image, camera, pose))
        except KeyError as error:
            skipped.append(Skipped(name, f"field {error} is missing"))
        except (ValueError, TypeError, ArithmeticError) as error:
            skipped.append(Skipped(name, str(error)))
    return Source(sorted(images, key=lambda image: image.name), skipped)


def read_file_path(frame: Any) -> str:
    """Return the name of a frame's image. Raises KeyError or ValueError if there is none."""
    if not isinstance(frame, dict):
        raise ValueError(f"not an object with fields, but {str(frame)[:80]}")
    if not isinstance(frame["file_path"], str):
        raise ValueError(f"file_path is {str(frame['file_path'])[:80]}, not a name")
    return frame["file_path"]


def to_cam_from_world(world_from_cam: Any, axes: str = "opengl") -> pycolmap.Rigid3d:
    """Convert a (4, 4) matrix to cam_from_world. Raises ValueError if it is not a rigid transform."""
    matrix: NDArray = np.array(world_from_cam, float)
    if matrix.shape not in ((3, 4), (4, 4)):
        raise ValueError(f"transform_matrix is of shape {matrix.shape}, not (4, 4)")
    return rigid_from_matrix(matrix if axes == "opencv" else matrix @ OPENCV_FROM_OPENGL).inverse()


def parse_frame_camera(fields: dict[str, Any], image: Path) -> Camera:
    """Return the camera of a frame, whose fields override those of the whole file.

    Raises:
        KeyError: no focal length. ValueError: an unknown model or invalid numbers.
    """
    is_fisheye = fields.get("is_fisheye", False)
    if not isinstance(is_fisheye, (bool, int)):
        raise ValueError(f"is_fisheye is {str(is_fisheye)[:80]!r}, neither true nor false")
    model = "OPENCV_FISHEYE" if is_fisheye else fields.get("camera_model", "OPENCV")
    if model not in MODELS:
        raise ValueError(f"camera_model {model!r} is not known, only {', '.join(MODELS)}")
    width, height = (fields["w"], fields["h"]) if "w" in fields and "h" in fields else read_image_size(image)
    width, height = int(width), int(height)
    focal_x = fields["fl_x"] if "fl_x" in fields else focal_of_angle(fields["camera_angle_x"], width)
    params = [focal_x, fields.get("fl_y", focal_x), fields.get("cx", width / 2), fields.get("cy", height / 2)]
    return camera_from_colmap(pycolmap.Camera(width=width, height=height, **parse_lens(fields, model, params)))


def focal_of_angle(angle_rad: float, width: int) -> float:
    """Return the focal length [px] of an image that spans an angle. Raises ValueError for an impossible angle."""
    if not 0 < angle_rad < math.pi:
        raise ValueError(f"camera_angle_x = {angle_rad} is not an angle of view in radians")
    return 0.5 * width / math.tan(0.5 * angle_rad)


def parse_lens(fields: dict[str, Any], model: str, params: list[float]) -> dict[str, Any]:
    """Return COLMAP's model and parameters, given those of the pinhole. Raises ValueError for unsupported ones."""
    distortion = {name: float(fields.get(name) or 0.0) for name in PERSPECTIVE}
    unused = [f"{name} = {value:g}" for name, value in distortion.items() if value and name not in MODELS[model]]
    if unused:
        raise ValueError(f"{', '.join(unused)}: camera_model {model} has no such distortion; which model is meant?")
    if "FISHEYE" in model:
        return {"model": "OPENCV_FISHEYE", "params": params + [distortion[name] for name in FISHEYE]}
    if not any(distortion.values()):
        return {"model": "PINHOLE", "params": params}
    if any(distortion[name] for name in ("k3", "k4", "k5", "k6")):
        return {"model": "FULL_OPENCV", "params": params + list(distortion.values())}
    return {"model": "OPENCV", "params": params + list(distortion.values())[:4]}
