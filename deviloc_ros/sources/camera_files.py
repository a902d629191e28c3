"""Read a camera from calibration files: of ROS (camera_info), Kalibr (camchain), EuRoC and OpenCV."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pycolmap

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rigid_from_matrix
from deviloc_ros.io.plain_files import MAX_CONFIG_BYTES, parse_yaml, read_text
from deviloc_ros.messages.cameras import camera_from_info
from deviloc_ros.messages.distortions import to_colmap_model

SUFFIXES = (".yaml", ".yml")
KNOWN = (
    "ROS's camera_info (as camera_calibration saves it, or `ros2 topic echo --once` prints it), Kalibr's "
    "camchain.yaml, EuRoC's sensor.yaml and OpenCV's calibration (camera_matrix, distortion_coefficients, image_width, "
    "image_height)"
)
OPENCV_MATRIX = "!!opencv-matrix"  # a tag of OpenCV alone, as the first line of its files is
OPENCV_PAIRS = (("camera_matrix", "distortion_coefficients"), ("cameramatrix", "distcoeffs"), ("m", "d"), ("k", "d"))
WHOLE_IMAGE = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)


def is_camera_file(text: str) -> bool:
    """Return whether a flag's value names a file, perhaps with one of its cameras, rather than a list of numbers."""
    return split_name(text)[0].suffix.lower() in SUFFIXES


def split_name(text: str) -> tuple[Path, str]:
    """Split `camchain.yaml:cam1` into the file and the camera, which may be empty."""
    path, colon, name = text.rpartition(":")
    return (Path(path), name) if colon and Path(path).suffix.lower() in SUFFIXES else (Path(text), "")


def read_camera_file(file: Path | str) -> Camera:
    """Read a camera from a YAML file of ROS's camera_info, Kalibr, EuRoC or OpenCV; `FILE.yaml:cam1` is one of several.

    The format is told by the names in it.

    Raises:
        OSError: it cannot be read.
        ValueError: another format, or a camera that is missing or invalid; the message names the file.
    """
    path, name = split_name(str(file))
    try:
        fields = choose_camera(parse_yaml(read_document(path)), name)
        return read_kalibr(fields) if "intrinsics" in fields else read_camera_info(fields)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error


def read_mount_file(file: Path | str) -> pycolmap.Rigid3d:
    """Read body_from_cam from EuRoC's sensor.yaml (T_BS), or from Kalibr's camchain-imucam.yaml (T_cam_imu).

    Raises:
        OSError: it cannot be read.
        ValueError: naming the file: it says nothing of the kind, or a matrix is no rigid transform.
    """
    path, name = split_name(str(file))
    try:
        fields = choose_camera(parse_yaml(read_document(path)), name)
        if "T_BS" in fields:
            return rigid_from_matrix(np.reshape(to_numbers(fields, "T_BS", 16), (4, 4)))
        if "T_cam_imu" in fields:
            rows = fields["T_cam_imu"]
            if isinstance(rows, list) and all(isinstance(row, list) for row in rows):
                rows = [number for row in rows for number in row]
            return rigid_from_matrix(np.reshape(to_numbers({"T_cam_imu": rows}, "T_cam_imu", 16), (4, 4))).inverse()
        raise ValueError("it has neither T_BS (EuRoC) nor T_cam_imu (Kalibr)")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error


def read_document(path: Path) -> str:
    """Return a file's first document: `ros2 topic echo` ends each with a line of dashes. Raises OSError, ValueError.

    What of OpenCV's files is not YAML is taken out: the line `%YAML:1.0`, and the tags of matrices.
    """
    text = read_text(path, MAX_CONFIG_BYTES).strip()
    if text.startswith("%YAML"):
        text = text.partition("\n")[2].replace(OPENCV_MATRIX, "").lstrip()
    return text.removeprefix("---").partition("\n---")[0]


def choose_camera(document: Any, name: str) -> dict[str, Any]:
    """Return the fields of the only camera, or of the named one. Raises ValueError."""
    if not isinstance(document, dict):
        raise ValueError(f"not a camera file; known are {KNOWN}")
    document = name_as_ros(document)
    cameras = {str(key): value for key, value in document.items() if is_camera(value)}
    cameras |= split_stereo(document)
    if name and name not in cameras:
        raise ValueError(f"there is no camera {name!r} in it; there are {', '.join(cameras) or 'none by name'}")
    if name:
        return cameras[name]
    if len(cameras) > 1:
        raise ValueError(
            f"there are several cameras in it: {', '.join(cameras)}; name one, as FILE:{next(iter(cameras))}"
        )
    return next(iter(cameras.values()), document)


def is_camera(value: Any) -> bool:
    """Return whether a value has the fields of a camera, as Kalibr and EuRoC name them, or ROS and OpenCV."""
    return isinstance(value, dict) and ("intrinsics" in value or "camera_matrix" in value)


def name_as_ros(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with OpenCV's names as ROS's files have them: `image_Width`, `imageSize`, `fisheye_model`."""
    known = ("image_width", "image_height", "camera_matrix", "distortion_coefficients")
    named = {str(key).lower() if str(key).lower() in known else str(key): value for key, value in fields.items()}
    size = next((fields[key] for key in ("imageSize", "image_size") if key in fields), None)
    if isinstance(size, list) and len(size) == 2:
        named |= {"image_width": size[0], "image_height": size[1]}
    if "fisheye_model" in fields:
        named |= {"distortion_model": "fisheye" if fields["fisheye_model"] else "opencv"}
    return named


def split_stereo(fields: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the cameras of a file that has several matrices, by the rest of their names: `M1`, `D1`, `M2`, `D2`."""
    by_name = {key.lower(): key for key in fields}
    cameras = {}
    for low, key in by_name.items():
        for matrix, distortion in OPENCV_PAIRS:
            beside = by_name.get(low.replace(matrix, distortion, 1))
            name = low.replace(matrix, "", 1).strip("_. ")
            if matrix in low and beside is not None and name and isinstance(fields[key], dict):
                cameras[name] = {**fields, "camera_matrix": fields[key], "distortion_coefficients": fields[beside]}
    return cameras


def read_kalibr(fields: dict[str, Any]) -> Camera:
    """Return a camera of Kalibr's or EuRoC's fields, whose pixels have centres at integers. Raises ValueError."""
    model = str(fields.get("camera_model", "pinhole")).lower()
    intrinsics = to_numbers(fields, "intrinsics")
    if model != "pinhole" or len(intrinsics) != 4:
        raise ValueError(
            f"camera model {model!r} with {len(intrinsics)} intrinsics is not read, only pinhole with 4: calibrate "
            "as pinhole-radtan, a wide lens as pinhole-equi, or undistort the images to a pinhole camera"
        )
    resolution = to_numbers(fields, "resolution", 2)
    if not all(side.is_integer() for side in resolution):
        raise ValueError(f"resolution: expected whole numbers, got {list(resolution)}")
    width, height = map(int, resolution)
    key = "distortion_coeffs" if "distortion_coeffs" in fields else "distortion_coefficients"
    lens = str(fields.get("distortion_model", "none")).lower()
    coefficients = () if lens == "none" else to_numbers(fields, key)
    name, params = to_colmap_model("" if lens == "none" else lens, coefficients, intrinsics, (width, height))
    return Camera(name, width, height, tuple(params))


def read_camera_info(fields: dict[str, Any]) -> Camera:
    """Return the camera of a camera_info, by the names of its message or by those of its file. Raises ValueError."""
    if "camera_matrix" in fields:
        names = ("image_width", "image_height", "camera_matrix", "distortion_coefficients")
    else:
        names = ("width", "height", *("kd" if "k" in fields else "KD"))
    if missing := [name for name in names if name not in fields]:
        raise ValueError(f"there is no {missing[0]} in it; known are {KNOWN}")
    width, height, matrix, distortion = names
    roi = fields.get("roi") or {}
    if not isinstance(roi, dict):
        raise ValueError(f"roi: expected x_offset, y_offset, width and height by name, got {str(roi)[:80]!r}")
    roi = {**vars(WHOLE_IMAGE), **roi}
    info = SimpleNamespace(
        header=SimpleNamespace(frame_id=str(fields.get("camera_name", ""))),
        width=to_count(fields, width),
        height=to_count(fields, height),
        distortion_model=str(fields.get("distortion_model", "")),
        k=to_numbers(fields, matrix, 9),
        d=to_numbers(fields, distortion),
        binning_x=to_count(fields, "binning_x"),
        binning_y=to_count(fields, "binning_y"),
        roi=SimpleNamespace(**{name: to_count(roi, name) for name in vars(WHOLE_IMAGE)}),
    )
    return camera_from_info(info)


def to_count(fields: dict[str, Any], name: str) -> int:
    """Return an integer of at least 0; 0 for a missing value. Raises ValueError naming the field."""
    value = fields.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name}: expected a whole number, got {str(value)[:80]!r}")
    return value


def to_numbers(fields: dict[str, Any], name: str, count: int = 0) -> tuple[float, ...]:
    """Return a list of numbers, which may be in the `data` of a matrix. Raises ValueError naming the field."""
    value = fields.get(name)
    value = value.get("data") if isinstance(value, dict) else value
    try:
        numbers = tuple(float(number) for number in value or ())
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected numbers, got {str(value)[:80]!r}") from error
    if (count and len(numbers) != count) or value is None:
        raise ValueError(f"{name}: expected {count or 'a list of'} numbers, got {str(value)[:80]!r}")
    return numbers
