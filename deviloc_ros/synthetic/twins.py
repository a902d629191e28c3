"""Make places that look alike: two rooms of one furniture, a room and its mirror image, a corridor of equal doors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pycolmap
from numpy.random import Generator
from numpy.typing import NDArray

from deviloc_ros.synthetic import textures
from deviloc_ros.synthetic.materials import Palette
from deviloc_ros.synthetic.room import make_room
from deviloc_ros.synthetic.scene import Quad, Scene, Surface, Texture
from deviloc_ros.synthetic.trajectory import look_at, make_smooth_path

X, Y, Z = np.eye(3)
EYE_M = 1.1  # height of the robot's camera
APART_M = 15.0  # more than any room is long
MODULE_M, MODULES = 3.0, 8  # of the corridor: a door and the wall beside it
WIDTH_M, HEIGHT_M = 2.4, 2.6


@dataclass(frozen=True, slots=True, eq=False)
class ScenePlace:
    """Hold a scene in its own frame, whose origin lies at `origin_m` in the world."""

    scene: Scene
    origin_m: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def to_place(self, cam_from_world: pycolmap.Rigid3d) -> pycolmap.Rigid3d:
        """Return the pose of a camera in the frame of the scene."""
        return cam_from_world * self._world_from_place

    def to_world(self, cam_from_place: pycolmap.Rigid3d) -> pycolmap.Rigid3d:
        """Return the pose of a camera in the world."""
        return cam_from_place * self._world_from_place.inverse()

    @property
    def _world_from_place(self) -> pycolmap.Rigid3d:
        return pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array(self.origin_m))


def make_rooms_with_another_poster(seed: int) -> list[ScenePlace]:
    """Make two rooms of one furniture; on one wall hang different posters."""
    places = []
    for number in range(2):
        scene = make_furnished_room(seed)
        poster = Texture(textures.draw_poster(np.random.default_rng([seed, number])))
        hang_poster(scene, poster, share_along=0.85)
        places.append(ScenePlace(scene, (number * APART_M, 0.0, 0.0)))
    return places


def make_mirrored_rooms(seed: int) -> list[ScenePlace]:
    """Make a room and its mirror image, as flats on two sides of a staircase; pictures in it are not mirrored."""
    scene = make_furnished_room(seed)
    mirrored_at_m = (APART_M + float(scene.free_high[0]), 0.0, 0.0)
    return [ScenePlace(scene), ScenePlace(mirror_scene(scene), mirrored_at_m)]


def make_furnished_room(seed: int) -> Scene:
    """Make a room with cameras at the height of a robot's."""
    scene = make_room(np.random.default_rng(seed))
    scene.free_low[2] = scene.free_high[2] = EYE_M
    return scene


def hang_poster(scene: Scene, poster: Texture, share_along: float, size_m: Sequence[float] = (0.8, 0.6)) -> None:
    """Hang a poster on the wall at the far end in y, in front of what is there."""
    x = share_along * (scene.free_low[0] + scene.free_high[0])
    corner = np.array([x - size_m[0] / 2, wall_y(scene) - 0.12, 2.1])
    scene.add_quad(corner, size_m[0] * X, -size_m[1] * Z, Surface(poster), repeats=(1.0, 1.0))


def wall_y(scene: Scene) -> float:
    """Return where the wall at the far end in y stands, by the margin that `make_room` leaves before it."""
    return float(scene.free_high[1] + 0.3)


def mirror_scene(scene: Scene) -> Scene:
    """Return the scene with x turned round. Pictures stay readable."""
    flip = np.array([-1.0, 1.0, 1.0])
    low, high = scene.free_low * flip, scene.free_high * flip
    twin = replace(scene, quads=[mirror_quad(quad, flip) for quad in scene.quads], light=scene.light * flip)
    twin.solids = [replace(s, centre=s.centre * flip, axes=s.axes * flip) for s in scene.solids]
    twin.free_low, twin.free_high = np.minimum(low, high), np.maximum(low, high)
    return twin


def mirror_quad(quad: Quad, flip: NDArray) -> Quad:
    """Return a quad that begins at what was its other end, so that it still faces who looks at it."""
    return replace(
        quad, origin=(quad.origin + quad.edge_u) * flip, edge_u=-quad.edge_u * flip, edge_v=quad.edge_v * flip
    )


def make_corridor(
    seed: int, modules: int = MODULES, notices: Sequence[int] = (5,), details: Generator | None = None
) -> Scene:
    """Make a corridor along x: the same doors on both sides, its ends different, notices at a few of the doors.

    Args:
        notices: the doors before which one hangs.
        details: draws the ends and the notices, so that corridors of one seed differ in these; None: the seed does.
    """
    rng = np.random.default_rng(seed)
    palette = Palette(rng)
    length = MODULE_M * modules
    scene = Scene(light=np.array([length / 2, WIDTH_M / 2, 50.0]), ambient=0.8)  # far up: each module is lit alike
    scene.free_low, scene.free_high = np.array([1.0, 0.9, EYE_M]), np.array([length - 1.0, WIDTH_M - 0.9, EYE_M])
    add_corridor_shell(scene, rng, length)
    prints = [palette.draw_surface("print") for _ in range(2)]
    things = [Surface(Texture(textures.draw_text(rng)), 1.0), *prints]
    door = Surface(Texture(textures.draw_planks(rng)), 2.0)
    for module in range(modules):
        for side in (0, 1):
            add_module(scene, module, side, door, things)
    rng = details or rng
    for x, right in ((0.004, Y), (length - 0.004, -Y)):  # the ends
        corner = np.array([x, 0.0 if right[1] > 0 else WIDTH_M, HEIGHT_M])
        scene.add_quad(corner, WIDTH_M * right, -HEIGHT_M * Z, Surface(Texture(textures.draw_shapes(rng)), 2.5))
    for module in notices:
        notice = Surface(Texture(textures.draw_poster(rng)), 1.0)
        scene.add_quad((MODULE_M * module - 1.3, WIDTH_M - 0.02, 2.0), 1.0 * X, -1.0 * Z, notice, repeats=(1.0, 1.0))
    return scene


def add_corridor_shell(scene: Scene, rng: Generator, length: float) -> None:
    """Add floor, ceiling and walls whose pattern comes again with each module."""
    floor, ceiling, wall = (
        Surface(Texture(maker(rng)), MODULE_M)
        for maker in (textures.draw_tiles, textures.draw_paint, textures.draw_noise)
    )
    scene.add_quad((0, WIDTH_M, 0), length * X, -WIDTH_M * Y, floor)
    scene.add_quad((0, 0, HEIGHT_M), length * X, WIDTH_M * Y, ceiling)
    scene.add_quad((0, WIDTH_M, HEIGHT_M), length * X, -HEIGHT_M * Z, wall)
    scene.add_quad((length, 0, HEIGHT_M), -length * X, -HEIGHT_M * Z, wall)


def add_module(scene: Scene, module: int, side: int, door: Surface, things: list[Surface]) -> None:
    """Add a door with its frame, its number plate and two things beside it, on the left wall (side 1) or the right."""
    right = X if side else -X
    start = np.array([MODULE_M * module, WIDTH_M, 0.0]) if side else np.array([MODULE_M * (module + 1), 0.0, 0.0])
    inward = Y * (-1 if side else 1)
    at = lambda along, up, out: start + along * right + up * Z + out * inward  # noqa: E731
    scene.add_quad(at(0.3, 2.05, 0.01), 0.9 * right, -2.05 * Z, door)
    plate, picture, box = things
    scene.add_quad(at(1.3, 1.6, 0.012), 0.25 * right, -0.25 * Z, plate, repeats=(0.5, 0.5))
    scene.add_quad(at(1.75, 1.9, 0.012), 0.7 * right, -0.9 * Z, picture, repeats=(0.8, 0.9))
    rotation = np.stack([right, inward, np.cross(right, inward)], 1)
    quads = len(scene.quads)
    scene.add_box(at(2.65, 0.35, 0.12), (0.4, 0.2, 0.5), box, rotation)
    for number in range(quads, len(scene.quads)):  # a box's texture starts elsewhere on each: here, on none
        scene.quads[number] = replace(scene.quads[number], texture_origin=(0.1 * (number - quads), 0.0))


def drive_along(
    place: ScenePlace, start_m: float, step_m: float, count: int, sway: Generator
) -> list[pycolmap.Rigid3d]:
    """Return poses in the world of a camera that is driven along a corridor, looking ahead and to the left.

    Args:
        step_m: negative: the robot drives back, and sees the other wall.
    """
    forth = np.sign(step_m)
    phase, poses = sway.uniform(0, 2 * np.pi, 2), []
    for number in range(count):
        aside, turned = 0.4 - 0.1 * np.sin(phase[0] + 0.3 * number), 0.15 * np.sin(phase[1] + 0.25 * number)
        centre = np.array([start_m + number * step_m, WIDTH_M / 2 - forth * aside, EYE_M])
        aim = centre + np.array([forth * (0.35 + turned), forth, 0.05])
        poses.append(place.to_world(look_at(centre, aim)))
    return poses


def drive_around(place: ScenePlace, seed: int, count: int, span: float) -> list[pycolmap.Rigid3d]:
    """Return poses in the world along a smooth path through a room, looking at the wall at the far end in y."""
    scene = place.scene
    middle = (scene.free_low + scene.free_high) / 2
    target = middle + np.array([0, 0.6 * scene.free_high[1], 0])
    return [place.to_world(pose) for pose in make_smooth_path(scene, np.random.default_rng(seed), count, target, span)]
