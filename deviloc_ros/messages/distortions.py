"""Convert named distortion models to COLMAP's camera models.

ROS has three names (REP 104 and sensor_msgs/distortion_models); calibrators and drivers write others for the same
formulas, with as many coefficients as OpenCV's functions take. The number of coefficients determines the formula, too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from deviloc_ros.camera import Camera

PERSPECTIVE = (
    "plumb_bob",
    "rational_polynomial",
    "radtan",
    "radial_tangential",
    "brown_conrady",
    "pinhole",
    "opencv",
    "",
)
THIN_PRISM = ("thin_prism_model", "thin_prism", "tilted_model", "tilted")
FISHEYE = ("equidistant", "fisheye", "kannala_brandt", "kannala_brandt4", "kb4", "opencv_fisheye", "equi")
FOV = ("fov", "atan")
LARGEST_MISFIT_PX = (
    0.5  # of the rational model to thin prisms and tilts, at the worst place; a keypoint is known to that
)
GRID = 15


def list_known_names() -> str:
    """Return the supported names and numbers of coefficients, for messages."""
    return (
        "plumb_bob or radtan (4, 5), rational_polynomial (8, 12, 14), equidistant or fisheye (4), fov (1), and the "
        "same with zeros after them"
    )


def to_colmap_model(
    name: str, d: tuple[float, ...], pinhole: tuple[float, ...], size: tuple[int, int]
) -> tuple[str, tuple]:
    """Return COLMAP's name of a camera model, and its parameters.

    Args:
        pinhole: fx, fy, cx, cy [px]. size: width, height [px].

    Raises:
        ValueError: an unknown name or number of coefficients, or a model that COLMAP does not have.
    """
    name = name.strip().lower().replace("-", "_").replace(" ", "_")
    if name in FISHEYE and len(d) >= 4 and not any(d[4:]):
        return "OPENCV_FISHEYE", (*pinhole, *d[:4])
    if not any(d) and name not in FISHEYE:
        return "PINHOLE", pinhole
    if name in FOV and len(d) == 1:
        return "FOV", (*pinhole, d[0])
    if name in (*PERSPECTIVE, *THIN_PRISM) and len(d) in (4, 5, 8, 12, 14) and (name or len(d) > 4):
        return to_perspective_model(tuple(d), pinhole, size)
    raise ValueError(f"distortion {name!r} with {len(d)} coefficients is not supported; known are {list_known_names()}")


def to_perspective_model(d: tuple[float, ...], pinhole: tuple[float, ...], size: tuple[int, int]) -> tuple[str, tuple]:
    """Return the model of OpenCV's coefficients k1 k2 p1 p2 k3, k4 k5 k6, s1 s2 s3 s4, tauX tauY."""
    d = d + (0.0,) * (14 - len(d))
    if any(d[8:]):
        return "FULL_OPENCV", fit_rational(d, pinhole, size)
    return ("FULL_OPENCV", (*pinhole, *d[:8])) if any(d[4:8]) else ("OPENCV", (*pinhole, *d[:4]))


def fit_rational(d: tuple[float, ...], pinhole: tuple[float, ...], size: tuple[int, int]) -> tuple[float, ...]:
    """Fit parameters of FULL_OPENCV to a model with thin prisms and a tilted sensor.

    Raises:
        ValueError: no parameters fit well enough.
    """
    rays, pixels = seen_by_opencv(d, pinhole, size)

    def misfit(params: NDArray) -> NDArray:
        seen = Camera("FULL_OPENCV", *size, tuple(params.tolist())).project(rays)
        return np.nan_to_num(seen - pixels, nan=1e3).ravel()

    start = np.array([*pinhole, *d[:8]])
    scale = np.concatenate([np.full(4, 1.0), np.full(8, 1e-3)])
    found = least_squares(misfit, start, x_scale=scale, method="lm", max_nfev=2000)
    worst_px = float(np.abs(found.fun).max())
    if worst_px > LARGEST_MISFIT_PX:
        raise ValueError(
            f"thin prisms or tilt {d[8:]} move pixels by up to {worst_px:.1f} px from what a rational model can have; "
            "rectify the images, and say that they are"
        )
    return tuple(found.x.tolist())


def seen_by_opencv(d: tuple[float, ...], pinhole: tuple[float, ...], size: tuple[int, int]) -> tuple[NDArray, NDArray]:
    """Return (N, 3) directions, and their (N, 2) projections in the image by OpenCV's formula."""
    import cv2

    fx, fy, cx, cy = pinhole
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    x, y = np.meshgrid(*(np.linspace(0, side - 1, GRID) for side in size))
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    directions = cv2.undistortPoints(pixels[:, None], matrix, np.array(d)).reshape(-1, 2)
    rays = np.column_stack([directions, np.ones(len(directions))])
    return rays, cv2.projectPoints(rays, np.zeros(3), np.zeros(3), matrix, np.array(d))[0].reshape(-1, 2)
