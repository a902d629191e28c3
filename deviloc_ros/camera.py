"""Define the camera: intrinsics, projection and viewing rays. Pixels are (x, y) with centres at integers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.io.arguments import check_argument
from deviloc_ros.io.suggestions import suggest

BEYOND_VIEW = 1.25  # times the tangent of the image's widest ray: points farther off the axis are not visible
NO_BOUND = 1e9  # tangent of a ray when nothing counts as beyond the view

LEADS_BACK_PX = 0.01  # tolerance of iterative undistortion, far below the accuracy of a keypoint

INTRINSICS = ("focal length", "principal point in x", "principal point in y", "radial distortion k1")
"""Name the intrinsics that `Camera.change_intrinsics` changes, in its order; every lens model has the first three."""

RADIAL_PARAMETERS = ("k", "k1", "k0")  # COLMAP's names of the radial coefficient of lowest order; models differ
RADIAL_STEP = 1e-4  # for numeric derivatives: projections are (nearly) linear in the coefficient
WITH_DISTORTION = {  # the same lens as a model with distortion coefficients, and how many it adds
    "SIMPLE_PINHOLE": ("SIMPLE_RADIAL", 1),
    "PINHOLE": ("OPENCV", 4),
    "SIMPLE_FISHEYE": ("SIMPLE_RADIAL_FISHEYE", 1),
    "FISHEYE": ("OPENCV_FISHEYE", 4),
}


@cache
def list_models() -> dict[str, str]:
    """Return the parameter names, in order, of each COLMAP camera model that has an image plane."""
    names = [name for name in pycolmap.CameraModelId.__members__ if name != "INVALID"]
    lenses = {name: pycolmap.Camera(model=name, width=1, height=1, params=[]) for name in names}
    return {name: lens.params_info for name, lens in lenses.items() if not lens.is_spherical()}


@dataclass(frozen=True)
class Camera:
    """Hold intrinsics in COLMAP's parameter order, but with pixel centres at integers (COLMAP's own start at 0.5).

    PINHOLE: (fx, fy, cx, cy); OPENCV: (fx, fy, cx, cy, k1, k2, p1, p2).

    Raises:
        TypeError: parameters that are no sequence of numbers, or a size that is no whole number.
        ValueError: unknown model, wrong number of parameters, non-positive size or focal length, or a non-finite value.
    """

    model: str
    width: int
    height: int
    params: tuple[float, ...]

    def __post_init__(self) -> None:
        check_argument("Camera.model", self.model, str)
        for name in ("width", "height"):
            check_argument(f"Camera.{name}", getattr(self, name), (int, np.integer))
            object.__setattr__(self, name, int(getattr(self, name)))
        check_argument("Camera.params", self.params, (tuple, list, np.ndarray), "as (525.0, 525.0, 319.5, 239.5)")
        for param in self.params:
            check_argument("Camera.params: one", param, (int, float, np.integer, np.floating))
        object.__setattr__(self, "params", tuple(map(float, self.params)))
        if self.model not in pycolmap.CameraModelId.__members__ or self.model == "INVALID":
            models = list_models()
            near = suggest(self.model.upper(), models) or ";"
            raise ValueError(
                f"camera model {self.model!r} is unknown{near} COLMAP's names are used: {', '.join(models)}"
            )
        if self.width < 1 or self.height < 1:
            raise ValueError(f"camera size {self.width} x {self.height} px must be positive")
        if not np.all(np.isfinite(self.params)):
            raise ValueError(f"camera parameters {self.params} must be finite")
        if not self.colmap.verify_params():
            expected = self.colmap.params_info
            raise ValueError(
                f"camera model {self.model} takes ({expected}), got {len(self.params)} values {self.params}"
            )
        if self.colmap.is_spherical():
            raise ValueError(f"camera model {self.model} has no image plane; cut its images into perspective ones")
        if min(self.colmap.focal_length_x, self.colmap.focal_length_y) <= 0:
            raise ValueError(f"camera focal length must be positive, got parameters {self.params}")

    @cached_property
    def colmap(self) -> pycolmap.Camera:
        """Return the pycolmap camera with the same numbers: it maps *our* pixels, as both ends keep our convention."""
        return pycolmap.Camera(model=self.model, width=self.width, height=self.height, params=list(self.params))

    @property
    def focal_px(self) -> float:
        """Return the mean focal length [px]."""
        return float(self.colmap.mean_focal_length())

    @property
    def principal_point(self) -> NDArray:
        """Return the principal point, (2,) px."""
        return np.array([self.colmap.principal_point_x, self.colmap.principal_point_y])

    def scale_focal(self, factor: float) -> Camera:
        """Return the same lens with its focal lengths multiplied, so that pixels move away from the principal point."""
        focal = self.colmap.focal_length_idxs()
        params = tuple(p * factor if index in focal else p for index, p in enumerate(self.params))
        return replace(self, params=params)

    def mirror(self) -> Camera:
        """Return the camera of the image with left and right exchanged.

        Tangential distortion is not mirrored. That is an error of less than a pixel, far below what distinguishes a
        mirrored image from one that is not.
        """
        params = np.array(self.params)
        params[self.colmap.principal_point_idxs()[0]] = self.width - 1 - self.principal_point[0]
        return replace(self, params=tuple(params.tolist()))

    def change_intrinsics(self, change: NDArray) -> Camera:
        """Return the camera with other intrinsics.

        Args:
            change: (4,) in the order of INTRINSICS: added to the logarithm of the focal lengths, to the principal point
                [px] and to the radial distortion coefficient; the last is ignored if the lens model has none.
        """
        if not change.any():
            return self
        lens = self.with_distortion() if change[3] else self
        params = np.array(lens.params)
        params[lens.colmap.focal_length_idxs()] *= np.exp(change[0])
        params[lens.colmap.principal_point_idxs()] += change[1:3]
        if lens._radial_index is not None:
            params[lens._radial_index] += change[3]
        return replace(lens, params=tuple(params.tolist()))

    def with_distortion(self) -> Camera:
        """Return the same lens as a camera model with distortion coefficients."""
        if self.model not in WITH_DISTORTION:
            return self
        model, coefficients = WITH_DISTORTION[self.model]
        return replace(self, model=model, params=(*self.params, *[0.0] * coefficients))

    def intrinsics_jacobian(self, points_in_cam: NDArray, pixels: NDArray) -> NDArray:
        """Return the (N, 2, 4) derivatives d(pixel) / d(change), the change being that of `change_intrinsics`.

        Args:
            points_in_cam: (N, 3) in front of the camera.
            pixels: (N, 2) their projections.
        """
        jacobian = np.zeros((len(pixels), 2, len(INTRINSICS)))
        jacobian[:, :, 0] = pixels - self.principal_point  # for any lens, focal length scales about the principal point
        jacobian[:, :, 1:3] = np.eye(2)
        more_distorted = self.change_intrinsics(np.array([0, 0, 0, RADIAL_STEP]))
        jacobian[:, :, 3] = (more_distorted.project(points_in_cam) - pixels) / RADIAL_STEP
        return jacobian

    @cached_property
    def _radial_index(self) -> int | None:
        names = self.colmap.params_info.split(", ")
        return next((names.index(name) for name in RADIAL_PARAMETERS if name in names), None)

    def project(self, points_in_cam: NDArray) -> NDArray:
        """Project (N, 3) points [m] to (N, 2) distorted pixels; NaN where a point is not in front of the camera."""
        points = np.atleast_2d(np.asarray(points_in_cam, float))
        front = points[:, 2] > 1e-9
        if len(points) and front.all():
            return np.asarray(self.colmap.img_from_cam(points))  # the usual case without copies
        pixels = np.full((len(points), 2), np.nan)
        if front.any():
            pixels[front] = self.colmap.img_from_cam(points[front])
        return pixels

    def is_in_image(self, pixels: NDArray) -> NDArray:
        """Return (N,) whether (N, 2) pixels lie in the image, including its outer half pixel; False for NaN."""
        size = np.array([self.width, self.height])
        return np.all((pixels >= -0.5) & (pixels < size - 0.5), axis=1)

    def is_beyond_view(self, points_in_cam: NDArray) -> NDArray:
        """Return (N,) whether (N, 3) points lie far outside the field of view, or behind the camera.

        Distortion polynomials fold: they would project such points back into the image.
        """
        x, y, z = points_in_cam.T
        return (z <= 0) | (x * x + y * y > (BEYOND_VIEW * self._widest_ray * z) ** 2)

    @cached_property
    def _widest_ray(self) -> float:
        """Return the tangent of the widest angle between a corner's ray and the optical axis.

        If a corner has no ray (the lens sees 90 degrees or more, or folds within the image) there is no bound.
        """
        right, bottom = self.width - 1.0, self.height - 1.0
        rays = self.rays(np.array([[0.0, 0.0], [0.0, bottom], [right, 0.0], [right, bottom]]))
        return float(np.hypot(rays[:, 0], rays[:, 1]).max()) if np.isfinite(rays).all() else NO_BOUND

    def project_visible(self, points_in_cam: NDArray) -> NDArray:
        """Project like `project`, but to NaN for points outside the image as well.

        Distortion polynomials fold: they would project points far beyond the image's corners back into it.
        """
        pixels = self.project(points_in_cam)
        pixels[~self.is_in_image(pixels)] = np.nan
        rows = np.flatnonzero(np.isfinite(pixels).all(1))
        points = np.atleast_2d(points_in_cam)[rows]
        towards = points[:, :2] / points[:, 2:]
        leads_there = np.linalg.norm(self.rays(pixels[rows])[:, :2] - towards, axis=1) * self.focal_px < 1
        pixels[rows[~leads_there]] = np.nan
        return pixels

    def rays(self, keypoints: NDArray) -> NDArray:
        """Return (N, 3) undistorted viewing rays with z = 1 for (N, 2) distorted pixels; NaN where there is none.

        A pixel outside the domain of the lens model, or at 90 degrees and more, has no ray. For some of these pycolmap
        returns rays that do not project back to the pixel, which is how they are recognized here.
        """
        keypoints = np.atleast_2d(np.asarray(keypoints, float))
        if not len(keypoints):
            return np.zeros((0, 3))
        xy = np.asarray(self.colmap.cam_from_img(keypoints), float)
        rays = np.concatenate([xy, np.ones((len(xy), 1))], 1)
        leads_back = np.abs(self.project(rays) - keypoints).max(1) < LEADS_BACK_PX
        return np.where(leads_back[:, None], rays, np.nan)
