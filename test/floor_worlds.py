"""Worlds with a floor plan: points on walls whose grid is drawn, and a rendered room cut at one height."""

from itertools import pairwise

import cv2
import numpy as np
import pycolmap
from small_maps import CAMERAS, features_of, write_map

from deviloc_ros.maps.alignment.similarity import move_points, move_pose
from deviloc_ros.synthetic.trajectory import look_at
from deviloc_ros.types import Landmarks, Lifted, ReferenceView

CELL_M = 0.05
# An L: no turn brings it onto itself.
L_SHAPE = np.array([(0, 0), (7, 0), (7, 3), (3.5, 3), (3.5, 5), (0, 5), (0, 0)], float)
OBLONG = np.array([(0, 0), (7, 0), (7, 4), (0, 4), (0, 0)], float)
# The map's frame is another one; up is nowhere in it.
MAP_FROM_GRID = pycolmap.Sim3d(1.0, pycolmap.Rotation3d(np.array([0.9, -0.6, 1.7])), np.array([3.0, -8.0, 2.0]))


def draw_lines(lines, path, yaw=0.0, margin_m=1.0):
    """Write a floor plan, the .yaml at `path`, of (N, 2, 2) walls; inside of their bounds it is free."""
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    lines = np.asarray(lines) @ turn.T  # in the frame of the image
    low, high = lines.min((0, 1)) - margin_m - CELL_M / 2, lines.max((0, 1)) + margin_m
    width, height = np.ceil((high - low) / CELL_M).astype(int)
    pixels = np.full((height, width), 205, np.uint8)
    inside = np.floor((np.stack([lines.min((0, 1)), lines.max((0, 1))]) - low) / CELL_M).astype(int)
    pixels[height - 1 - inside[1, 1] : height - inside[0, 1], inside[0, 0] : inside[1, 0] + 1] = 254
    for start, end in lines:
        count = max(2, int(4 * np.linalg.norm(end - start) / CELL_M))
        cells = np.floor((start + (end - start) * np.linspace(0, 1, count)[:, None] - low) / CELL_M).astype(int)
        pixels[height - 1 - cells[:, 1], cells[:, 0]] = 0
    cv2.imwrite(str(path.with_suffix(".pgm")), pixels)
    x, y = turn.T @ low
    path.write_text(f"image: {path.stem}.pgm\nresolution: {CELL_M}\norigin: [{x}, {y}, {yaw}]\nnegate: 0\n")
    return path


def points_of_room(outline, rng, count=3000, floor=600):
    """(N, 3) m on walls of 2.5 m height, on the floor, and on a table; without a floor nothing below half a metre."""
    things = 150 if floor else 0
    starts, ends = outline[:-1], outline[1:]
    shares = np.linalg.norm(ends - starts, axis=1)
    which = rng.choice(len(starts), count, p=shares / shares.sum())
    along = rng.random((count, 1))
    walls = np.concatenate(
        [starts[which] + along * (ends - starts)[which], rng.uniform(0 if floor else 0.5, 2.5, (count, 1))], 1
    )
    level = np.concatenate([rng.uniform((0.5, 0.5), (3, 2.5), (floor, 2)), np.zeros((floor, 1))], 1)
    table = np.concatenate([rng.uniform((1, 1), (1.8, 1.6), (things, 2)), np.full((things, 1), 0.8)], 1)
    return np.concatenate([walls, level, table]) + rng.normal(0, 0.01, (count + floor + things, 3))


def write_room_map(folder, outline, map_from_grid=MAP_FROM_GRID, floor=600, notes=None):
    """A map of cameras 1.2 m above the floor that look all around, and what they see."""
    rng = np.random.default_rng(0)
    points = move_points(map_from_grid, points_of_room(outline, rng, floor=floor))
    views = []
    for number, angle in enumerate(np.linspace(0, 2 * np.pi, 12, endpoint=False)):
        centre = np.array([1.7 + np.cos(angle), 1.5 + 0.8 * np.sin(angle), 1.2])
        pose = move_pose(
            map_from_grid, look_at(centre, centre + np.array([np.cos(2 * angle), np.sin(2 * angle), -0.1]))
        )
        lifted = Lifted(np.zeros((60, 3)), np.ones(60), np.ones(60))
        rows = np.arange(number, len(points), 12)
        landmarks = Landmarks.without_stds(rows, np.zeros((len(rows), 2)), points[rows])
        features = features_of(number, number)
        views.append((ReferenceView(f"{number}.png", CAMERAS[0], pose, features, lifted), landmarks))
    write_map(folder, views, notes)
    return folder


def walls_of(outline):
    return list(pairwise(outline))


def slice_scene(scene, height_m):
    """(N, 2, 2) lines in which a scene's rectangles meet a level plane, as a laser scanner sees them."""
    lines = []
    for quad in scene.quads:
        corners = [quad.origin, quad.origin + quad.edge_u, quad.origin + quad.edge_u + quad.edge_v]
        corners.append(quad.origin + quad.edge_v)
        cut = [
            a + (b - a) * ((height_m - a[2]) / (b[2] - a[2]))
            for a, b in pairwise([*corners, corners[0]])
            if (a[2] < height_m) != (b[2] < height_m)
        ]
        if len(cut) == 2:
            lines.append(np.array(cut)[:, :2])
    return lines
