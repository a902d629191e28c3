"""Posed images of nerfstudio and instant-ngp: `transforms.json`.

Its cameras look along -z with y up, as in OpenGL; ours along z with y down. Its principal points are COLMAP's, whose
first pixel centre is at (0.5, 0.5).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rigid_from_matrix
from deviloc_ros.sources.base import PosedImage, Skipped, Source, SourceError, image_size
from deviloc_ros.sources.colmap import camera_from_colmap

OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
FISHEYE = ("k1", "k2", "k3", "k4")
RADIAL_TANGENTIAL = ("k1", "k2", "p1", "p2", "k3")
MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "OPENCV_FISHEYE")


def read_transforms(path: Path) -> Source:
    """Images of a `transforms.json`, or of the folder that holds one. Frames may have cameras of their own.

    The poses are taken as they stand: nerfstudio centres and scales them, so lengths need not be metres.

    Raises:
        SourceError: no such file, not JSON, or no frames.
    """
    path = path / "transforms.json" if path.is_dir() else path
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise SourceError(f"{path}: not found") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: not JSON: {error}") from error
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        raise SourceError(f"{path}: field 'frames' is missing or empty")
    images, skipped = [], []
    for number, frame in enumerate(frames):
        name = str(frame.get("file_path", f"frame {number}")) if isinstance(frame, dict) else f"frame {number}"
        try:
            image = image_path(path.parent / frame["file_path"])
            camera = camera_of(content | frame, image)
            images.append(PosedImage(name, image, camera, cam_from_world(frame["transform_matrix"])))
        except KeyError as error:
            skipped.append(Skipped(name, f"field {error} is missing"))
        except (ValueError, TypeError) as error:
            skipped.append(Skipped(name, str(error)))
    return Source(sorted(images, key=lambda image: image.name), skipped)


def image_path(path: Path) -> Path:
    """instant-ngp's synthetic scenes leave out `.png`."""
    return path if path.suffix else path.with_name(path.name + ".png")


def cam_from_world(world_from_cam_opengl: Any) -> pycolmap.Rigid3d:
    """Raises ValueError if the (4, 4) matrix is no rigid transform."""
    matrix: NDArray = np.array(world_from_cam_opengl, float)
    if matrix.shape not in ((3, 4), (4, 4)):
        raise ValueError(f"transform_matrix is of shape {matrix.shape}, not (4, 4)")
    return rigid_from_matrix(matrix @ OPENCV_FROM_OPENGL).inverse()


def camera_of(fields: dict[str, Any], image: Path) -> Camera:
    """The camera that a frame's fields describe, over those of the whole file.

    Raises:
        KeyError: no focal length. ValueError: a model we do not know, or numbers that make no sense.
    """
    model = "OPENCV_FISHEYE" if fields.get("is_fisheye") else fields.get("camera_model", "OPENCV")
    if model not in MODELS:
        raise ValueError(f"camera_model {model!r} is not known, only {', '.join(MODELS)}")
    width, height = (fields["w"], fields["h"]) if "w" in fields and "h" in fields else image_size(image)
    width, height = int(width), int(height)
    focal_x = fields["fl_x"] if "fl_x" in fields else 0.5 * width / math.tan(0.5 * fields["camera_angle_x"])
    params = [focal_x, fields.get("fl_y", focal_x), fields.get("cx", width / 2), fields.get("cy", height / 2)]
    names = FISHEYE if model == "OPENCV_FISHEYE" else RADIAL_TANGENTIAL
    distortion = [float(fields.get(name, 0.0)) for name in names]
    if model == "OPENCV_FISHEYE":
        params += distortion
    elif not any(distortion) or "PINHOLE" in model:
        model = "PINHOLE"
    else:
        model = "FULL_OPENCV" if distortion[4] else "OPENCV"
        params += [*distortion, 0.0, 0.0, 0.0] if distortion[4] else distortion[:4]
    return camera_from_colmap(pycolmap.Camera(model=model, width=width, height=height, params=params))
