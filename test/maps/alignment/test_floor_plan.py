"""A map on a floor plan: up is found, walls find the place, pairs too, and what is not sure is said."""

import json

import cv2
import numpy as np
import pycolmap
import pytest
from floor_worlds import (
    L_SHAPE,
    MAP_FROM_GRID,
    OBLONG,
    draw_lines,
    points_of_room,
    slice_scene,
    walls_of,
    write_room_map,
)
from hypothesis import given
from hypothesis import strategies as st
from rooms import room_config
from test_cli import assert_one_line, status_of
from worlds import rigid_of, rigids

from deviloc_ros.camera import Camera
from deviloc_ros.geometry import transform_points
from deviloc_ros.mapping.build import build_map
from deviloc_ros.maps.alignment.floor_plan import PairsFile, PointPair, align_to_grid, fit_pairs, read_pairs
from deviloc_ros.maps.alignment.occupancy import read_occupancy
from deviloc_ros.maps.alignment.similarity import move_points
from deviloc_ros.maps.alignment.upright import find_floor, find_upright, turn_upright, up_of_cameras
from deviloc_ros.maps.alignment.walls import (
    MAX_EXTENT_M,
    apply_2d,
    check_extent,
    make_transform,
    select_upright,
    to_parameters,
)
from deviloc_ros.maps.edit import align_map
from deviloc_ros.maps.provenance import ARBITRARY_SCALE
from deviloc_ros.maps.store import Map
from deviloc_ros.sources.base import PosedImage, SourceError
from deviloc_ros.synthetic.render import render_color
from deviloc_ros.synthetic.room import make_room
from deviloc_ros.synthetic.trajectory import look_at

CORNERS = np.array([[0, 0], [7, 0], [7, 3], [0, 5.0]])


@pytest.fixture(scope="module")
def l_room(tmp_path_factory):
    """A map of the L, and its floor plan, which is turned."""
    folder = tmp_path_factory.mktemp("l")
    return write_room_map(folder / "l.map", L_SHAPE), draw_lines(walls_of(L_SHAPE), folder / "floor.yaml", yaw=0.3)


def assert_lies_on(alignment_or_map, reference_map, within_m, map_from_grid=MAP_FROM_GRID):
    """Cameras come to lie where they are on the grid."""
    wanted = move_points(map_from_grid.inverse(), reference_map.centres)
    np.testing.assert_allclose(move_points(alignment_or_map, reference_map.centres), wanted, atol=within_m)


def pairs_of(reference_map, error_m=0.0):
    """Corners of the L, clicked."""
    plan_from_map = find_upright(reference_map).plan_from_map
    in_map = move_points(MAP_FROM_GRID, np.pad(CORNERS, ((0, 0), (0, 1))))
    off = np.random.default_rng(0).normal(0, error_m, (4, 2)) if error_m else np.zeros((4, 2))
    plan = transform_points(plan_from_map, in_map)[:, :2] + off
    return PairsFile(
        reference_map.identity, plan_from_map, [PointPair(*pair) for pair in zip(plan, CORNERS, strict=True)]
    )


# ---- which way is up


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=3).filter(lambda v: np.linalg.norm(v) > 0.01))
def test_up_is_turned_to_z(vector):
    up = np.array(vector) / np.linalg.norm(vector)
    rotation = turn_upright(up)
    np.testing.assert_allclose(rotation @ up, [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)


@given(rigids)
def test_cameras_that_do_not_roll_say_what_is_up(world_from_grid):
    looks = [(1, 0, -0.5), (0, 1, 0.2), (-1, 0.3, 0), (0.2, -1, -0.3)]
    poses = [look_at(np.zeros(3), np.array(look)) * world_from_grid.inverse() for look in looks]
    np.testing.assert_allclose(up_of_cameras(poses), world_from_grid.rotation.matrix()[:, 2], atol=1e-6)


def test_cameras_that_look_one_way_are_taken_to_be_level():
    poses = [look_at(np.array([x, 0.0, 0.0]), np.array([x, 1.0, 0.0])) for x in (0, 1, 2)]
    np.testing.assert_allclose(up_of_cameras(poses), [0, 0, 1], atol=1e-9)


def test_the_floor_is_the_lowest_plane_and_no_table():
    points = points_of_room(L_SHAPE, np.random.default_rng(1), floor=300)
    tilted = transform_points(rigid_of((0.05, -0.03, 0), (0, 0, 0)), points)
    normal, level = find_floor(tilted, np.array([[2.0, 1.0, 1.2]]))
    angle_deg = np.degrees(np.arccos(normal @ rigid_of((0.05, -0.03, 0), (0, 0, 0)).rotation.matrix()[:, 2]))
    assert angle_deg < 0.5 and level == pytest.approx(0, abs=0.02)
    assert find_floor(points[points[:, 2] > 1.3], np.array([[2.0, 1.0, 1.2]])) is None
    assert find_floor(np.zeros((0, 3)), np.zeros((1, 3))) is None


def test_what_stands_upright_is_neither_floor_nor_table(l_room):
    points = points_of_room(L_SHAPE, np.random.default_rng(1))
    stands = select_upright(points)
    assert stands[:3000][points[:3000, 2] > 0.3].mean() > 0.95 and stands[3000:].mean() < 0.05


# ---- pairs


angles, shifts, scales = st.floats(-3, 3), st.floats(-50, 50), st.floats(0.1, 10)


@given(angles, shifts, shifts, scales)
def test_pairs_give_turn_shift_and_scale(yaw, x, y, scale):
    wanted = make_transform(np.array([yaw, x, y, np.log(scale), 0, 0]))
    fit, words = fit_pairs(
        [PointPair(place, there) for place, there in zip(CORNERS, apply_2d(wanted, CORNERS), strict=True)]
    )
    np.testing.assert_allclose(to_parameters(fit), to_parameters(wanted), atol=1e-6)
    assert words.startswith("4 pairs of points, off by 0.000 m")
    rigid, _ = fit_pairs([PointPair(place, 3 * place) for place in CORNERS], rigid=True)
    assert rigid.scale == 1


def test_a_pair_that_is_off_is_named_and_too_few_are_refused():
    pairs = [PointPair(place, place + (number == 2) * 0.4) for number, place in enumerate(CORNERS)]
    assert "(most, pair 3)" in fit_pairs(pairs)[1]
    with pytest.raises(SourceError, match="1 pairs of points: at least two are needed"):
        fit_pairs(pairs[:1])
    with pytest.raises(SourceError, match="are too close together"):
        fit_pairs(pairs[:1] * 3)


def test_pairs_put_a_map_on_the_plan_as_well_as_they_were_clicked(l_room):
    reference_map, grid = Map.open(l_room[0]), read_occupancy(l_room[1])
    found = align_to_grid(reference_map, grid, pairs_of(reference_map))
    assert_lies_on(found.grid_from_map, reference_map, 0.03)
    clicked = pairs_of(reference_map, 0.15)
    by_walls = align_to_grid(reference_map, grid, clicked, by_walls=True)
    assert_lies_on(by_walls.grid_from_map, reference_map, 0.03)
    assert "4 pairs of points" in by_walls.note and "upright landmarks lie at walls" in by_walls.note


def test_a_map_of_arbitrary_scale_needs_pairs(l_room, tmp_path):
    shrunk = pycolmap.Sim3d(0.37, MAP_FROM_GRID.rotation, MAP_FROM_GRID.translation)
    folder = write_room_map(tmp_path / "small.map", L_SHAPE, shrunk, notes={"scale": ARBITRARY_SCALE})
    reference_map, grid = Map.open(folder), read_occupancy(l_room[1])
    with pytest.raises(SourceError, match="its scale is arbitrary"):
        align_to_grid(reference_map, grid, by_walls=True)
    plan_from_map = find_upright(reference_map).plan_from_map
    plan = transform_points(plan_from_map, move_points(shrunk, np.pad(CORNERS, ((0, 0), (0, 1)))))[:, :2] + 0.03
    pairs = PairsFile(
        reference_map.identity, plan_from_map, [PointPair(*each) for each in zip(plan, CORNERS, strict=True)]
    )
    found = align_to_grid(reference_map, grid, pairs, by_walls=True)
    assert found.grid_from_map.scale == pytest.approx(1 / 0.37, rel=0.01)
    assert_lies_on(found.grid_from_map, reference_map, 0.04, shrunk)


# ---- walls


def test_walls_alone_find_the_place(l_room):
    reference_map = Map.open(l_room[0])
    found = align_to_grid(reference_map, read_occupancy(l_room[1]), by_walls=True)
    assert_lies_on(found.grid_from_map, reference_map, 0.03)


def test_a_room_that_fits_two_ways_is_refused(tmp_path):
    folder, plan = write_room_map(tmp_path / "a.map", OBLONG), draw_lines(walls_of(OBLONG), tmp_path / "floor.yaml")
    with pytest.raises(SourceError, match=r"fits in several ways, e.g. turned by .* degrees .*: give --pairs"):
        align_to_grid(Map.open(folder), read_occupancy(plan), by_walls=True)


def test_a_corridor_without_its_ends_is_refused(tmp_path):
    corridor = np.array([[[0, 0], [30, 0]], [[30, 2], [0, 2]]], float)
    plan = draw_lines(corridor, tmp_path / "floor.yaml")
    folder = write_room_map(tmp_path / "a.map", np.array([[10, 0], [14, 0], [14, 2], [10, 2], [10, 0.0]]))
    with pytest.raises(SourceError, match=r"in several ways|do not tell where the map lies along \(1\.00, 0\.00\)"):
        align_to_grid(Map.open(folder), read_occupancy(plan), by_walls=True)


def test_the_plan_of_another_place_is_refused(l_room, tmp_path):
    lines = np.random.default_rng(3).uniform(0, 30, (5, 2, 2))
    with pytest.raises(SourceError, match=r"the plan fits (nowhere|in several ways)"):
        align_to_grid(Map.open(l_room[0]), read_occupancy(draw_lines(lines, tmp_path / "f.yaml")), by_walls=True)


def test_without_a_floor_the_height_of_cameras_must_be_said(l_room, tmp_path):
    folder = write_room_map(tmp_path / "a.map", L_SHAPE, floor=0)
    reference_map, grid = Map.open(folder), read_occupancy(l_room[1])
    assert not find_upright(reference_map).has_floor
    with pytest.raises(SourceError, match="--camera-height"):
        align_to_grid(reference_map, grid, by_walls=True)
    found = align_to_grid(reference_map, grid, by_walls=True, camera_height_m=1.2)
    assert_lies_on(found.grid_from_map, reference_map, 0.05)


def test_a_rendered_room_comes_to_lie_within_5_cm(tmp_path):
    """Must: the residual is below 5 cm, and so is what cameras are truly off."""
    scene = make_room(np.random.default_rng(5))
    scene.free_low[2] = scene.free_high[2] = 1.1
    middle, half = (scene.free_low + scene.free_high) / 2, (scene.free_high - scene.free_low) / 2
    camera, images = Camera("PINHOLE", 320, 240, (200.0, 200.0, 159.5, 119.5)), []
    for angle in np.arange(0, 2 * np.pi, np.deg2rad(12)):
        centre = middle + 0.45 * half * [np.cos(angle), np.sin(angle), 0]
        if scene.clearance_m(centre) < 0.25:
            continue
        pose = look_at(centre, centre + np.array([np.cos(angle + 0.9), np.sin(angle + 0.9), -0.12]))
        path = tmp_path / f"{len(images)}.png"
        cv2.imwrite(str(path), render_color(scene, camera, pose))
        images.append(PosedImage(path.name, path, camera, pose))
    build_map(images, tmp_path / "room.map", room_config(), quiet=True)
    align_map(tmp_path / "room.map", MAP_FROM_GRID, tmp_path / "moved.map", {})
    reference_map = Map.open(tmp_path / "moved.map")
    plan = draw_lines(slice_scene(scene, 0.3), tmp_path / "floor.yaml")
    found = align_to_grid(reference_map, read_occupancy(plan), by_walls=True, rigid=True)
    assert_lies_on(found.grid_from_map, reference_map, 0.05)
    residual_m = float(found.note.partition("off by ")[2].partition(" m")[0])
    assert residual_m < 0.05


# ---- the command


def write_pairs(path, given: PairsFile, **change):
    plan = given.plan_from_map
    pose = {"rotation_xyzw": plan.rotation.quat.tolist(), "translation_m": plan.translation.tolist()}
    listed = [{"plan": pair.plan.tolist(), "grid": pair.grid.tolist()} for pair in given.pairs]
    path.write_text(json.dumps({"map_id": given.map_id, "plan_from_map": pose, "pairs": listed} | change))
    return path


def test_map_align_moves_the_map_onto_the_floor(l_room, tmp_path, capsys):
    folder, plan = l_room
    pairs = write_pairs(tmp_path / "pairs.json", pairs_of(Map.open(folder), 0.1))
    given = ("map", "align", folder, "--occupancy", plan, "--output", tmp_path / "new.map")
    assert status_of(*given, "--pairs", pairs, "--walls", "--page", tmp_path / "page.html") == 0
    said = capsys.readouterr().out
    assert "page.html: shows the map" in said and "upright landmarks lie at walls, off by 0.0" in said
    new = Map.open(tmp_path / "new.map")
    np.testing.assert_allclose(new.centres[:, 2], 1.2, atol=0.02)
    assert "on a floor plan by" in new.manifest.provenance.notes["frame"]
    assert (tmp_path / "page.html").read_text().count("<canvas") == 2


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "choose how: --page"),
        (("--pairs", "nowhere.json"), "nowhere.json"),
        (("--page", "nowhere/page.html"), "there is no folder"),
    ],
)
def test_flags_of_a_plan_that_do_not_fit_are_named(l_room, capsys, flags, says):
    assert status_of("map", "align", l_room[0], "--occupancy", l_room[1], *flags) == 2
    assert_one_line(capsys, says)


def test_flags_of_a_plan_without_one_are_named(l_room, tmp_path, capsys):
    assert status_of("map", "align", l_room[0], "--positions", tmp_path / "p.txt", "--walls") == 2
    assert_one_line(capsys, "--walls goes with --occupancy")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"map_id": "another"}, "has changed since the pairs were clicked"),
        ({"pairs": [{"plan": [1, 2]}]}, "field 'grid' is missing"),
        ({"pairs": [{"plan": [1, 2], "grid": [1, None]}]}, "two numbers"),
        ({"pairs": 7}, "pairs.json"),
        ({"plan_from_map": {"rotation_xyzw": [0, 0, 0, 0], "translation_m": [0, 0, 0]}}, "not valid"),
        ({"pairs": []}, "at least two are needed"),
    ],
)
def test_pairs_that_are_none_are_named(l_room, tmp_path, capsys, change, says):
    pairs = write_pairs(tmp_path / "pairs.json", pairs_of(Map.open(l_room[0])), **change)
    assert status_of("map", "align", l_room[0], "--occupancy", l_room[1], "--pairs", pairs) == 2
    assert_one_line(capsys, says)


def test_pairs_are_read_as_the_page_writes_them(l_room, tmp_path):
    pairs = pairs_of(Map.open(l_room[0]))
    read = read_pairs(write_pairs(tmp_path / "pairs.json", pairs))
    assert read.map_id == pairs.map_id and len(read.pairs) == 4
    np.testing.assert_allclose(read.plan_from_map.matrix(), pairs.plan_from_map.matrix())


@pytest.mark.parametrize(
    "place",
    [None, 1, [1], [1, 2, 3], [1, None], [1, True], [1, "2"], {"x": 1}, [[1], 2], [1, 1e300], [1, float("nan")]],
)
@pytest.mark.parametrize("side", ["plan", "grid"])
def test_a_place_of_a_pair_that_is_none_is_named(tmp_path, side, place):
    path = tmp_path / "pairs.json"
    turn = {"rotation_xyzw": [0, 0, 0, 1], "translation_m": [0, 0, 0]}
    pairs = [{"plan": [0, 0], "grid": [1, 2]} | {side: place}]
    path.write_text(json.dumps({"map_id": "a", "plan_from_map": turn, "pairs": pairs}))
    with pytest.raises(SourceError, match=r"pairs\.json: .* is no place of two numbers"):
        read_pairs(path)


@pytest.mark.parametrize("extent_m", [499.0, 501.0, 1e5, 1e9])
def test_a_plan_of_another_unit_is_refused_before_memory_is_taken(extent_m):
    points = np.array([[0.0, 0.0], [extent_m, 3.0]])
    if extent_m < MAX_EXTENT_M:
        check_extent("walls of the floor plan", points)
        return
    with pytest.raises(SourceError, match=r"walls of the floor plan extend over \d+ m, .*'resolution' in metres"):
        check_extent("walls of the floor plan", points)
