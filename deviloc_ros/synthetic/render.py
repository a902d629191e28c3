"""Render textured rectangles by casting rays: exact depth, antialiased colour.

With rays r of z = 1, a rectangle's inverse depth 1/z and its coordinates u/z, v/z are linear in r, whatever the lens:
that only decides which ray a pixel has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import transform_points
from deviloc_ros.synthetic.scene import Quad, Scene

NEAR_M = 0.02
SAMPLES = 2  # per pixel and axis, for colour
NOTHING = -1


@dataclass(frozen=True, slots=True, eq=False)
class RayGrid:
    """Hold x and y of the rays (z = 1) of a grid of samples, and the bounds of each column's x and row's y."""

    x: NDArray
    y: NDArray
    column_bounds: NDArray
    row_bounds: NDArray

    def find_window(self, low: NDArray, high: NDArray) -> tuple[slice, slice]:
        """Return the rows and columns whose rays can lie between `low` and `high` (x, y)."""
        columns = np.flatnonzero((self.column_bounds[1] >= low[0]) & (self.column_bounds[0] <= high[0]))
        rows = np.flatnonzero((self.row_bounds[1] >= low[1]) & (self.row_bounds[0] <= high[1]))
        if not len(rows) or not len(columns):
            return slice(0, 0), slice(0, 0)
        return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


@lru_cache(maxsize=4)
def make_ray_grid(camera: Camera, samples: int) -> RayGrid:
    """Make the rays of `samples` x `samples` points in each pixel."""
    xs = (np.arange(camera.width * samples) + 0.5) / samples - 0.5
    ys = (np.arange(camera.height * samples) + 0.5) / samples - 0.5
    pixels = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    x, y = camera.rays(pixels).astype(np.float32).reshape(len(ys), len(xs), 3)[..., :2].transpose(2, 0, 1).copy()
    return RayGrid(x, y, np.array([np.nanmin(x, 0), np.nanmax(x, 0)]), np.array([np.nanmin(y, 1), np.nanmax(y, 1)]))


def plane_coefficients(scene: Scene, cam_from_world: pycolmap.Rigid3d) -> NDArray:
    """Return (Q, 3, 3): of each rectangle the rows that times a ray of z = 1 give 1/z, u/z and v/z [1/m]."""
    origins, edges_u, edges_v = scene.frames
    rotation = cam_from_world.rotation.matrix()
    origins, edges_u, edges_v = transform_points(cam_from_world, origins), edges_u @ rotation.T, edges_v @ rotation.T
    normals = np.cross(edges_u, edges_v)
    distances = (normals * origins).sum(1)  # times the area; positive in front of the rectangle
    distances[np.abs(distances) < 1e-9] = 1e-9  # seen edge-on: no ray meets it
    inverse_depth = normals / distances[:, None]
    rows = [inverse_depth]
    for edges in (edges_u, edges_v):
        dual = edges / (edges**2).sum(1, keepdims=True)
        rows.append(dual - (dual * origins).sum(1, keepdims=True) * inverse_depth)
    return np.stack(rows, 1)


def is_facing(scene: Scene, centre: NDArray) -> NDArray:
    """Return (Q,) whether each rectangle shows its picture, or its back where that counts, to a camera at `centre`."""
    origins, edges_u, edges_v = scene.frames
    in_front = (np.cross(edges_u, edges_v) * (origins - centre)).sum(1) > 0
    return in_front | np.array([quad.two_sided for quad in scene.quads], bool)


def outline_bounds(corners: NDArray) -> tuple[NDArray, NDArray] | None:
    """Return bounds (x, y) at z = 1 of a polygon (K, 3) in the camera frame, cut at the near plane.

    None if behind it.
    """
    following = np.roll(corners, -1, 0)
    kept = corners[corners[:, 2] >= NEAR_M]
    crossing = (corners[:, 2] >= NEAR_M) != (following[:, 2] >= NEAR_M)
    a, b = corners[crossing], following[crossing]
    cut = a + (b - a) * ((NEAR_M - a[:, 2]) / (b[:, 2] - a[:, 2]))[:, None]
    points = np.concatenate([kept, cut])
    if not len(points):
        return None
    image = points[:, :2] / points[:, 2:]
    return image.min(0), image.max(0)


def find_visible(scene: Scene, cam_from_world: pycolmap.Rigid3d, rays: RayGrid) -> list[tuple[int, slice, slice]]:
    """Return the rectangles that may be seen, each with the rows and columns where."""
    origins, u, v = scene.frames
    corners = transform_points(
        cam_from_world, np.stack([origins, origins + u, origins + u + v, origins + v], 1).reshape(-1, 3)
    )
    found = []
    for number in np.flatnonzero(is_facing(scene, cam_from_world.tgt_origin_in_src())):
        bounds = outline_bounds(corners[4 * number : 4 * number + 4])
        if bounds is not None:
            rows, columns = rays.find_window(*bounds)
            if rows.stop:
                found.append((int(number), rows, columns))
    return found


def cast_rays(coefficients: NDArray, seen: list[tuple[int, slice, slice]], rays: RayGrid) -> NDArray:
    """Return (h, w) int16, the number of the rectangle that each ray meets first, or NOTHING."""
    nearest = np.zeros(rays.x.shape, np.float32)  # inverse depth
    index = np.full(rays.x.shape, NOTHING, np.int16)
    for number, rows, columns in seen:
        x, y, best = rays.x[rows, columns], rays.y[rows, columns], nearest[rows, columns]
        (w0, w1, w2), (u0, u1, u2), (v0, v1, v2) = coefficients[number].astype(np.float32)
        w = w0 * x + w1 * y + w2
        hit = w > best
        if not hit.any():
            continue
        u = u0 * x + u1 * y + u2
        v = v0 * x + v1 * y + v2
        hit &= (u >= 0) & (u <= w) & (v >= 0) & (v <= w) & (w < 1 / NEAR_M)
        best[hit] = w[hit]
        index[rows, columns][hit] = number
    return index


def find_surfaces(scene: Scene, camera: Camera, cam_from_world: pycolmap.Rigid3d) -> tuple[NDArray, NDArray]:
    """Return what each pixel sees, exactly: (H, W) int16 rectangle numbers or NOTHING, and (Q, 3) planes.

    A plane times a ray of z = 1 is the inverse depth [1/m], at any subpixel position on that rectangle.
    """
    rays = make_ray_grid(camera, 1)
    coefficients = plane_coefficients(scene, cam_from_world)
    return cast_rays(coefficients, find_visible(scene, cam_from_world, rays), rays), coefficients[:, 0]


def depth_along_rays(index: NDArray, planes: NDArray, rays: NDArray) -> NDArray:
    """Return the depth [m] along rays (..., 3) of z = 1 that meet rectangles `index` (...).

    0 where they meet nothing.
    """
    depth = np.zeros(index.shape)
    hit = index != NOTHING
    depth[hit] = 1 / (planes[index[hit]] * rays[hit]).sum(-1)
    return depth


def render_depth(scene: Scene, camera: Camera, cam_from_world: pycolmap.Rigid3d) -> NDArray:
    """Render (H, W) float32 depth [m] at the pixel centres, 0 where there is nothing."""
    index, planes = find_surfaces(scene, camera, cam_from_world)
    grid = make_ray_grid(camera, 1)
    rays = np.stack([grid.x, grid.y, np.ones_like(grid.x)], -1)
    return depth_along_rays(index, planes, rays).astype(np.float32)


def render(scene: Scene, camera: Camera, cam_from_world: pycolmap.Rigid3d) -> tuple[NDArray, NDArray]:
    """Render what the camera sees.

    Returns:
        (H, W, 3) uint8 BGR image, antialiased, and (H, W) float32 depth [m] at the pixel centres, 0 for nothing.
    """
    return render_color(scene, camera, cam_from_world), render_depth(scene, camera, cam_from_world)


def render_color(scene: Scene, camera: Camera, cam_from_world: pycolmap.Rigid3d, samples: int = SAMPLES) -> NDArray:
    """Render a (H, W, 3) uint8 BGR image; `samples` per pixel and axis are averaged."""
    rays = make_ray_grid(camera, samples)
    coefficients = plane_coefficients(scene, cam_from_world).astype(np.float32)
    seen = find_visible(scene, cam_from_world, rays)
    index = cast_rays(coefficients, seen, rays)
    image = np.empty((*index.shape, 3), np.uint8)
    image[:] = scene.sky
    centre = cam_from_world.tgt_origin_in_src()
    for number, rows, columns in seen:
        mask = index[rows, columns] == number
        tight = bounding_slices(mask)
        if tight is None:
            continue
        mask, window = mask[tight], image[rows, columns][tight]
        x, y = rays.x[rows, columns][tight], rays.y[rows, columns][tight]
        quad = scene.quads[number]
        u, v, level = texture_coordinates(quad, coefficients[number], x, y, camera.focal_px * samples)
        color = sample_texture(quad, u, v, level)
        color = cv2.multiply(color, shade(scene, quad, centre, u, v), dtype=cv2.CV_8U)
        np.copyto(window, color, where=mask[..., None])
    return cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA)


def bounding_slices(mask: NDArray) -> tuple[slice, slice] | None:
    """Return the smallest window that holds all true values, or None if there is none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def texture_coordinates(
    quad: Quad, coefficients: NDArray, x: NDArray, y: NDArray, focal_px: float
) -> tuple[NDArray, NDArray, NDArray]:
    """Return u, v on the rectangle and the mip level (float) for rays x, y whose samples are 1/focal apart."""
    (w0, w1, w2), (u0, u1, u2), (v0, v1, v2) = coefficients
    z = 1 / np.maximum(w0 * x + w1 * y + w2, 1e-4)
    u, v = (u0 * x + u1 * y + u2) * z, (v0 * x + v1 * y + v2) * z
    texels_u, texels_v = (quad.surface.texture.sides[0] * repeats / focal_px for repeats in quad.repeats)
    # Texels per sample along the image's x and y axes, squared.
    along_x = (((u0 - u * w0) * z) * texels_u) ** 2 + (((v0 - v * w0) * z) * texels_v) ** 2
    along_y = (((u1 - u * w1) * z) * texels_u) ** 2 + (((v1 - v * w1) * z) * texels_v) ** 2
    longest = np.maximum(along_x, along_y)
    # Slanted surfaces: half a level sharper than the longer side asks for, as the samples of a pixel are averaged.
    level = 0.5 * np.log2(np.maximum(longest, 1.0)) - 0.5
    return u, v, np.clip(level, 0, len(quad.surface.texture.sides) - 1.001, dtype=np.float32)


def sample_texture(quad: Quad, u: NDArray, v: NDArray, level: NDArray) -> NDArray:
    """Return (h, w, 3) uint8 colour of the texture, linear in position and between mip levels."""
    texture = quad.surface.texture
    s = np.mod(quad.texture_origin[0] + u * np.float32(quad.repeats[0]), 1, dtype=np.float32)
    t = np.mod(quad.texture_origin[1] + v * np.float32(quad.repeats[1]), 1, dtype=np.float32)
    lower = level.astype(np.int32)
    colors = []
    for mip in (lower, lower + 1):
        side, corner = texture.sides[mip], texture.corners[mip]
        map_x, map_y = s * side - 0.5 + corner[..., 0], t * side - 0.5 + corner[..., 1]
        colors.append(cv2.remap(texture.atlas, map_x, map_y, cv2.INTER_LINEAR))
    upper = level - lower.astype(np.float32)
    return cv2.blendLinear(colors[0], colors[1], 1 - upper, upper)


def shade(scene: Scene, quad: Quad, centre: NDArray, u: NDArray, v: NDArray) -> NDArray:
    """Return (h, w, 3) float32 gain: ambient light, the lamp's (Lambert) and its highlight on glossy surfaces."""
    grid = np.linspace(0, 1, 16)
    points = quad.origin + grid[None, :, None] * quad.edge_u + grid[:, None, None] * quad.edge_v  # (v, u, 3)
    normal = np.cross(quad.edge_v, quad.edge_u)
    normal = normal / np.linalg.norm(normal) * np.sign(normal @ (centre - quad.origin))
    to_light = scene.light - points
    to_light /= np.linalg.norm(to_light, axis=-1, keepdims=True)
    gain = scene.ambient + (1 - scene.ambient) * np.maximum(to_light @ normal, 0)
    if quad.surface.gloss:
        to_eye = centre - points
        halfway = to_light + to_eye / np.linalg.norm(to_eye, axis=-1, keepdims=True)
        halfway /= np.linalg.norm(halfway, axis=-1, keepdims=True)
        gain = gain + quad.surface.gloss * np.maximum(halfway @ normal, 0) ** 40
    lightmap = (gain[..., None] * quad.surface.tint).astype(np.float32)
    return cv2.remap(lightmap, u * 15, v * 15, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
