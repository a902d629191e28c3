"""Read and write COLMAP models. Only here pixels are converted between COLMAP's convention and ours.

In COLMAP the centre of the first pixel is (0.5, 0.5), here it is (0, 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import rigid_from_quaternion
from deviloc_ros.sources.base import ImageFile, PosedImage, Skipped, Source, SourceError, check_names
from deviloc_ros.sources.colmap_files import check_files
from deviloc_ros.sources.image_files import fit_images
from deviloc_ros.types import Landmarks

LARGEST_SIDE_PX = 2**31 - 1
PIXEL_SHIFT = 0.5  # a COLMAP pixel coordinate minus ours


def read_model(model: Path | str, images: Path | str) -> Source:
    """Read the posed images of a text or binary model, with its landmarks where it has points.

    Args:
        model: its folder, or one that holds it as `sparse/0`, `sparse` or `0`.
        images: where names start; in a folder like `images_4` images are that part of what their cameras say.

    Raises:
        SourceError: no model there, unreadable, or two images of one name.
    """
    model, images = Path(model), Path(images)
    reconstruction = open_reconstruction(find_model(model))
    try:
        check_names(image.name for image in reconstruction.images.values())
    except SourceError as error:
        raise SourceError(f"{model}: {error}") from error
    has_points = reconstruction.num_points3D() > 0
    posed, skipped = [], []
    for image in sorted(reconstruction.images.values(), key=lambda image: image.name):
        try:
            camera = camera_from_colmap(image.camera)
            if not image.has_pose:
                raise ValueError("not registered in the model")
            cam_from_world = image.cam_from_world()  # its quaternion as it stands in the file
            cam_from_world = rigid_from_quaternion(cam_from_world.rotation.quat, cam_from_world.translation)
        except ValueError as error:
            skipped.append(Skipped(image.name, str(error)))
            continue
        try:
            landmarks = landmarks_from_colmap(image, reconstruction) if has_points else None
        except SourceError as error:
            raise SourceError(f"{model}: {error}") from error
        posed.append(PosedImage(image.name, images / image.name, camera, cam_from_world, landmarks))
    return Source(fit_images(posed), skipped)


def find_model(folder: Path) -> Path:
    """Return the folder of the model's files: the given one, or a subfolder where COLMAP and others put it."""
    for below in ("", "0", "sparse/0", "sparse", "colmap/sparse/0"):
        if any((folder / below / f"cameras.{suffix}").is_file() for suffix in ("bin", "txt")):
            return folder / below
    return folder


def open_reconstruction(model: Path) -> pycolmap.Reconstruction:
    """Open a model; raise SourceError naming it and what is wrong with it."""
    missing = min(
        (
            [name + suffix for name in ("cameras", "images", "points3D") if not (model / (name + suffix)).is_file()]
            for suffix in (".txt", ".bin")
        ),
        key=len,
    )
    if missing:
        raise SourceError(f"{model}: not a COLMAP model; {missing[0]} not found")
    try:
        check_files(model)
        return pycolmap.Reconstruction(str(model))
    except Exception as error:  # pycolmap raises whatever its C++ code throws
        why = " ".join(str(error).split())
        if why.endswith("::at"):  # of a C++ container that lacks a key
            why = "its files do not go together: one names a camera, image, frame or rig that another does not have"
        raise SourceError(f"{model}: cannot read the COLMAP model: {why}") from error


def camera_from_colmap(camera: pycolmap.Camera) -> Camera:
    """Convert COLMAP's camera. Raises ValueError for an unknown model or invalid parameters."""
    params = np.array(camera.params, float)
    params[list(camera.principal_point_idxs())] -= PIXEL_SHIFT
    return Camera(camera.model.name, camera.width, camera.height, tuple(params.tolist()))


def parse_camera_words(words: Sequence[str]) -> Camera:
    """Return the camera of `MODEL WIDTH HEIGHT PARAMETERS…` in COLMAP's pixels. Raises ValueError."""
    if words and words[0] not in pycolmap.CameraModelId.__members__:
        raise ValueError(f"camera model {words[0][:80]!r} is unknown")
    if len(words) < 4:
        raise ValueError(f"expected MODEL WIDTH HEIGHT PARAMETERS, got {' '.join(words)[:80]!r}")
    model, width, height, *params = words
    size, values = (int(width), int(height)), [float(value) for value in params]
    if not 0 < min(size) <= max(size) <= LARGEST_SIDE_PX:
        raise ValueError(f"camera size {width[:20]} x {height[:20]} px")
    camera = pycolmap.Camera(model=model, width=size[0], height=size[1], params=values)
    if not camera.verify_params():
        raise ValueError(f"camera model {model} takes {camera.params_info}, got {len(values)} values")
    return camera_from_colmap(camera)


def camera_to_colmap(camera: Camera, camera_id: int) -> pycolmap.Camera:
    """Convert a camera to COLMAP's, with the centre of the first pixel at (0.5, 0.5)."""
    params = np.array(camera.params, float)
    params[list(camera.colmap.principal_point_idxs())] += PIXEL_SHIFT
    return pycolmap.Camera(
        camera_id=camera_id, model=camera.model, width=camera.width, height=camera.height, params=params
    )


def pixels_from_colmap(keypoints: NDArray) -> NDArray:
    """Convert (N, 2) COLMAP pixels to ours."""
    return keypoints - PIXEL_SHIFT


def pixels_to_colmap(keypoints: NDArray) -> NDArray:
    """Convert (N, 2) pixels to COLMAP's."""
    return keypoints + PIXEL_SHIFT


def landmarks_from_colmap(image: pycolmap.Image, reconstruction: pycolmap.Reconstruction) -> Landmarks:
    """Return the points an image observes, at its own (measured) pixels."""
    observations = [(p.point3D_id, p.xy) for p in image.points2D if p.has_point3D()]
    if not observations:
        return Landmarks.without_stds(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 3)))
    if missing := [point_id for point_id, _ in observations if not reconstruction.exists_point3D(point_id)]:
        raise SourceError(f"image {image.name!r} observes point {missing[0]}, which points3D does not have")
    ids = np.array([point_id for point_id, _ in observations], np.int64)
    keypoints = pixels_from_colmap(np.stack([xy for _, xy in observations]))
    return Landmarks.without_stds(
        ids, keypoints, np.stack([reconstruction.points3D[point_id].xyz for point_id in ids.tolist()])
    )


def build_reconstruction(images: Sequence[ImageFile], lenses: Sequence[str] = ()) -> pycolmap.Reconstruction:
    """Build a model with the cameras of `images`, their poses if they have some, and no points.

    Image ids count from 1 in their order. Equal cameras are one; but of different `lenses`, where they are given, two.
    """
    reconstruction = pycolmap.Reconstruction()
    camera_ids: dict[tuple[Camera, str], int] = {}
    for number, (posed, lens) in enumerate(zip(images, lenses or [""] * len(images), strict=True), 1):
        key = posed.camera, lens
        if key not in camera_ids:
            camera_ids[key] = len(camera_ids) + 1
            reconstruction.add_camera_with_trivial_rig(camera_to_colmap(posed.camera, camera_ids[key]))
        image = pycolmap.Image(name=posed.name, camera_id=camera_ids[key], image_id=number)
        if isinstance(posed, PosedImage):
            reconstruction.add_image_with_trivial_frame(image, posed.cam_from_world)
        else:
            reconstruction.add_image_with_trivial_frame(image)
    return reconstruction
