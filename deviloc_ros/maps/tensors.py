"""Store views as tensors in the files of a map, and build views from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.maps.checks import check_view
from deviloc_ros.maps.files import read_content, read_landmarks, write_content
from deviloc_ros.maps.manifest import StoredFile, ViewRecord, name_in_errors
from deviloc_ros.types import Features, Landmarks, Lifted, ReferenceView

TOWER = "tower."
LARGEST_GRAIN_M = 1.5e-3  # of coordinates in single precision; 16 km from the origin
Tensors = dict[str, torch.Tensor]


def measure_grain(centres: NDArray) -> tuple[float, str]:
    """Return how finely points around (V, 3) camera centres are stored [m], and in words what to do about it."""
    farthest_m = float(np.linalg.norm(centres, axis=1).max())
    grain_m = float(np.spacing(np.float32(farthest_m)))
    where = f"the map lies {farthest_m / 1000:.0f} km from its origin, where points are stored to {grain_m:.3f} m"
    return grain_m, f"{where}; subtract an offset from all coordinates"


def write_tensors(folder: Path, kind: str, tensors: Tensors) -> StoredFile:
    """Write tensors to a file whose name begins with `kind`."""
    data = safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
    return write_content(folder, kind, data)


def read_tensors(folder: Path, stored: StoredFile) -> Tensors:
    """Read a file's tensors by name, and check its hash.

    Raises:
        MapError: it is missing or damaged.
    """
    data = read_content(folder, stored)
    with name_in_errors(folder / stored.file):
        return safetensors.torch.load(data)


def view_to_tensors(view: ReferenceView, landmarks: Landmarks) -> Tensors:
    """Return the tensors that are stored of a view, without the dense ones."""
    return {
        "keypoints": view.features.keypoints.float(),
        "descriptors": view.features.descriptors.half(),
        "scores": view.features.scores.float(),
        "scales": view.features.scales.float(),
        "points_in_world": torch.from_numpy(view.lifted.points_in_world.astype(np.float32)),
        "confidence": torch.from_numpy(view.lifted.confidence.astype(np.float32)),
        "depths": torch.from_numpy(view.lifted.depths.astype(np.float32)),
        "depth_stds": torch.from_numpy(view.lifted.depth_stds.astype(np.float32)),
        "landmark_rows": torch.from_numpy(view.lifted.landmark_rows.astype(np.int32)),
        "landmark_ids": torch.from_numpy(landmarks.ids.astype(np.int64)),
        "landmark_keypoints": torch.from_numpy(landmarks.keypoints.astype(np.float32)),
        "landmark_points_in_world": torch.from_numpy(landmarks.points_in_world.astype(np.float32)),
        "landmark_depth_stds": torch.from_numpy(landmarks.depth_stds.astype(np.float32)),
    }


def dense_to_tensors(features: Features, tower: Tensors) -> Tensors:
    """Return the dense tensors of a view whose matcher has a fine map, in half precision."""
    assert features.fine is not None
    tensors = {TOWER + name: halve_features(tensor) for name, tensor in tower.items()}
    return tensors | {"fine": halve_features(features.fine), "descriptors": halve_features(features.descriptors)}


def halve_features(tensor: torch.Tensor) -> torch.Tensor:
    """Return features in half precision; single numbers, which may be too small for it, are unchanged."""
    return tensor.half() if tensor.numel() > 1 else tensor


def read_view(folder: Path, record: ViewRecord) -> tuple[ReferenceView, int]:
    """Read a view and its size [bytes].

    Raises:
        MapError: a file of it is missing or damaged.
    """
    tensors = read_tensors(folder, record.stored)
    if record.dense is not None:
        tensors |= read_tensors(folder, record.dense)
    with name_in_errors(folder / record.stored.file):
        arrays = {name: as_array(name, tensor) for name, tensor in tensors.items()}
        check_view(arrays, record.camera)
        view = ReferenceView(
            record.name,
            record.camera,
            record.cam_from_world,
            features_from_tensors(tensors, record.camera),
            lifted_from_tensors(tensors),
            read_landmarks(arrays),
            {key.removeprefix(TOWER): tensor for key, tensor in tensors.items() if key.startswith(TOWER)},
        )
    return view, sum(tensor.nbytes for tensor in tensors.values())


def as_array(name: str, tensor: torch.Tensor) -> NDArray:
    """Return a tensor's memory as an array. Raises ValueError if NumPy does not know its type."""
    try:
        return tensor.numpy()
    except TypeError as error:
        raise ValueError(f"{name} is of type {tensor.dtype}") from error


def features_from_tensors(tensors: Tensors, camera: Camera) -> Features:
    """Build a view's features; descriptors of dense matchers, which are large, stay in half precision."""
    fine = tensors.get("fine")
    return Features(
        tensors["keypoints"],
        tensors["descriptors"] if fine is not None else tensors["descriptors"].float(),
        tensors["scores"],
        scales_in_both_directions(tensors["scales"]),
        (camera.width, camera.height),
        fine=fine,
    )


def scales_in_both_directions(scales: torch.Tensor) -> torch.Tensor:
    """Return (N, 2) scales, also for maps of earlier releases, which have a single scale per keypoint."""
    return scales if scales.ndim == 2 else scales[:, None].repeat(1, 2)


def lifted_from_tensors(tensors: Tensors) -> Lifted:
    """Build a view's lifted keypoints; in maps of earlier releases their only uncertainty is the confidence."""
    names = ("points_in_world", "confidence", "depths", "depth_stds", "landmark_rows")
    return Lifted(**{name: tensors[name].numpy() for name in names if name in tensors})
