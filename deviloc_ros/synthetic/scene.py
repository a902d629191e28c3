"""Describe a scene: textured rectangles in a world frame whose z axis points up [m]."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray


class Texture:
    """Hold a square image and its mip levels, packed into one atlas so that one look-up can mix levels.

    Attributes:
        atlas: (h, w, 3) uint8 BGR, each level with a wrapped border of one texel, since textures repeat.
        corners: (L, 2) x, y of each level's first texel in the atlas. sides: (L,) texels.
    """

    def __init__(self, image: NDArray) -> None:
        side = image.shape[0]
        if image.shape != (side, side, 3) or image.dtype != np.uint8 or side & (side - 1):
            raise ValueError(f"a texture is a square uint8 BGR image with a power of two as side, got {image.shape}")
        levels = [image]
        while levels[-1].shape[0] > 2:
            levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        self.sides = np.array([len(level) for level in levels], np.float32)
        self.atlas = np.zeros((side + 2 * len(levels) + 2, side * 3 // 2 + 4, 3), np.uint8)
        corners, x, y = [], 0, 0
        for level in levels:
            size = len(level) + 2
            self.atlas[y : y + size, x : x + size] = np.pad(level, ((1, 1), (1, 1), (0, 0)), mode="wrap")
            corners.append((x + 1, y + 1))
            x, y = (size, 0) if len(corners) == 1 else (x, y + size)
        self.corners = np.array(corners, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """Describe how a rectangle looks. A texture covers `meters`; `tint` multiplies BGR.

    `gloss` in [0, 1] is its highlight.
    """

    texture: Texture
    meters: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gloss: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Quad:
    """Hold a rectangle `origin + u edge_u + v edge_v`, u and v in [0, 1].

    It hangs like a picture: edge_u right, edge_v down. So edge_u x edge_v points away from who looks at it; from
    behind it is invisible unless `two_sided`. The texture starts at `texture_origin` and repeats `repeats` times along
    the two edges.
    """

    origin: NDArray
    edge_u: NDArray
    edge_v: NDArray
    surface: Surface
    texture_origin: tuple[float, float]
    repeats: tuple[float, float]
    two_sided: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """Bound a box no camera may enter: centre (3,), axes (3, 3) with unit rows, half sizes (3,)."""

    centre: NDArray
    axes: NDArray
    half: NDArray


@dataclass(eq=False)
class Scene:
    """Hold rectangles, light and the part of space a camera may be in.

    free_low, free_high: (3,) corners of the box that cameras stay in. light: (3,) position of the lamp or the sun. sky:
    (3,) BGR of what lies behind everything.
    """

    quads: list[Quad] = field(default_factory=list)
    solids: list[Solid] = field(default_factory=list)
    free_low: NDArray = field(default_factory=lambda: np.full(3, -np.inf))
    free_high: NDArray = field(default_factory=lambda: np.full(3, np.inf))
    light: NDArray = field(default_factory=lambda: np.array([0.0, 0.0, 10.0]))
    ambient: float = 0.6
    sky: NDArray = field(default_factory=lambda: np.array([230.0, 215.0, 200.0]))

    @cached_property
    def frames(self) -> tuple[NDArray, NDArray, NDArray]:
        """Return origins and both edges of all rectangles, (Q, 3) each."""
        vectors = np.array([(quad.origin, quad.edge_u, quad.edge_v) for quad in self.quads]).reshape(-1, 3, 3)
        return vectors[:, 0], vectors[:, 1], vectors[:, 2]

    def forget_frames(self) -> None:
        """Forget the cached `frames`, which lack a rectangle that was added."""
        self.__dict__.pop("frames", None)

    def add_quad(
        self,
        origin: NDArray | tuple,
        edge_u: NDArray | tuple,
        edge_v: NDArray | tuple,
        surface: Surface,
        texture_origin: tuple[float, float] = (0.0, 0.0),
        repeats: tuple[float, float] | None = None,
        two_sided: bool = False,
    ) -> None:
        """Add a rectangle; `repeats` follows from the surface's scale unless given.

        Raises:
            ValueError: the edges are not perpendicular, or one has no length.
        """
        origin, edge_u, edge_v = (np.asarray(vector, float) for vector in (origin, edge_u, edge_v))
        lengths = np.linalg.norm(edge_u), np.linalg.norm(edge_v)
        if min(lengths) < 1e-6 or abs(edge_u @ edge_v) > 1e-6 * lengths[0] * lengths[1]:
            raise ValueError(f"edges {edge_u} and {edge_v} do not span a rectangle")
        repeats = repeats or (float(lengths[0]) / surface.meters, float(lengths[1]) / surface.meters)
        self.forget_frames()
        self.quads.append(Quad(origin, edge_u, edge_v, surface, texture_origin, repeats, two_sided))

    def add_box(
        self, centre: NDArray | tuple, size: NDArray | tuple, surface: Surface, rotation: NDArray | None = None
    ) -> None:
        """Add a box of six rectangles seen from outside, `size` along the columns of `rotation` (default: upright)."""
        centre, size = np.asarray(centre, float), np.asarray(size, float)
        axes = (np.eye(3) if rotation is None else rotation).T * size[:, None]
        for number in range(3):
            normal, first, second = axes[number], axes[(number + 1) % 3], axes[(number + 2) % 3]
            # Each side starts elsewhere in the texture, or all faces would show the same picture.
            shift = (0.31 * len(self.quads) % 1, 0.17 * len(self.quads) % 1)
            self.add_quad(centre + (normal - first - second) / 2, second, first, surface, shift)
            self.add_quad(centre + (-normal - first - second) / 2, first, second, surface, shift[::-1])
        self.solids.append(Solid(centre, axes / size[:, None], size / 2))

    def clearance_m(self, point: NDArray) -> float:
        """Return the distance [m] from a point to the nearest rectangle; negative inside a solid."""
        for solid in self.solids:
            if np.all(np.abs(solid.axes @ (point - solid.centre)) < solid.half):
                return -1.0
        origins, edges_u, edges_v = self.frames
        offset = point - origins
        u = np.clip((offset * edges_u).sum(1) / (edges_u**2).sum(1), 0, 1)
        v = np.clip((offset * edges_v).sum(1) / (edges_v**2).sum(1), 0, 1)
        nearest = u[:, None] * edges_u + v[:, None] * edges_v
        return float(np.linalg.norm(offset - nearest, axis=1).min())


def random_rotation(rng: Generator, upright: bool = False) -> NDArray:
    """Return a (3, 3) uniform rotation, or one about z alone."""
    if upright:
        return rotation_about_z(rng.uniform(0, 2 * np.pi))
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def rotation_about_z(angle_rad: float) -> NDArray:
    """Return the (3, 3) rotation about the vertical, counterclockwise as seen from above."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
