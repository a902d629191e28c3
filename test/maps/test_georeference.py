"""Where on Earth a map lies: kept with it, moved with it, and named where it is no place."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st
from small_maps import reference_view, write_map
from test_cli import assert_one_line, status_of
from worlds import rigid_of, rigids

from deviloc_ros.maps.alignment.known_positions import read_geographic_positions
from deviloc_ros.maps.edit import merge_maps
from deviloc_ros.maps.georeference import EARTH, GEOREFERENCE, Georeference, to_enu
from deviloc_ros.maps.store import Map, MapError
from deviloc_ros.sources.base import SourceError
from deviloc_ros.synthetic.trajectory import look_at

MUNICH = Georeference(48.137, 11.575, 520.0, pycolmap.Rigid3d())
latitudes, longitudes = st.floats(-89.0, 89.0), st.floats(-180.0, 180.0)


@given(latitudes, longitudes, st.floats(-400, 9000), rigids)
def test_it_is_written_and_read_as_it_is(latitude, longitude, altitude, enu_from_map):
    known = Georeference(latitude, longitude, altitude, enu_from_map)
    read = Georeference.from_note(known.to_note())
    assert (read.latitude, read.longitude, read.altitude) == (latitude, longitude, altitude)
    np.testing.assert_allclose(read.enu_from_map.matrix(), enu_from_map.matrix(), atol=1e-12)


@given(latitudes, longitudes, rigids, st.floats(-500, 500), st.floats(-500, 500))
def test_a_place_is_found_where_it_lies(latitude, longitude, enu_from_map, east, north):
    known = Georeference(latitude, longitude, 0.0, enu_from_map)
    place = EARTH.enu_to_ellipsoid(np.array([[east, north, 0.0]]), latitude, longitude, 0.0)[0]
    expected = known.map_from_enu * np.array([east, north, 0.0])
    np.testing.assert_allclose(known.locate(place[0], place[1]), expected, atol=0.1)  # the Earth is round


@given(rigids, rigids)
def test_it_moves_with_its_map(enu_from_map, new_from_map):
    known = replace(MUNICH, enu_from_map=enu_from_map)
    moved = known.move(pycolmap.Sim3d(1.0, new_from_map.rotation, new_from_map.translation))
    point = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(moved.enu_from_map * (new_from_map * point), enu_from_map * point, atol=1e-9)
    assert known.move(pycolmap.Sim3d(1.01, new_from_map.rotation, new_from_map.translation)) is None


@pytest.mark.parametrize(
    "change", [{"latitude": 91}, {"longitude": "x"}, {"altitude": float("nan")}, {"rotation_xyzw": [0, 0, 0, 0]}]
)
def test_a_note_that_is_none_is_named(change):
    with pytest.raises(ValueError, match=GEOREFERENCE):
        Georeference.from_note(MUNICH.to_note() | change)
    assert Georeference.from_note(None) is None
    assert Georeference.from_note("a: {…}; b: {…}") is None  # of joined maps that differ


def write_positions(path, lines) -> None:
    path.write_text("# NAME LATITUDE LONGITUDE\n" + "\n".join(lines) + "\n")
    return path


def test_positions_on_earth_become_metres_east_north_and_up(tmp_path):
    metres = {"a.png": (0, 0, 0), "my view 7.png": (30, 0, 1), "c.png": (0, 20, -2)}
    places = {n: EARTH.enu_to_ellipsoid(np.array([m], float), 48.137, 11.575, 520.0)[0] for n, m in metres.items()}
    lines = [f"{name} {p[0]:.9f} {p[1]:.9f} {p[2]:.4f}" for name, p in places.items()]
    found, origin = read_geographic_positions(write_positions(tmp_path / "p.txt", lines))
    assert (round(origin.latitude, 6), round(origin.longitude, 6), round(origin.altitude, 3)) == (48.137, 11.575, 520.0)
    for name, expected in metres.items():
        np.testing.assert_allclose(found[name], expected, atol=2e-3)
    flat = [line.rsplit(maxsplit=1)[0] for line in lines]
    found, origin = read_geographic_positions(write_positions(tmp_path / "p.txt", flat))
    assert origin.altitude == 0 and list(found) == list(metres)
    np.testing.assert_allclose(found["my view 7.png"][:2], (30, 0), atol=0.01)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["a 48"], r"p\.txt:2: expected NAME LATITUDE LONGITUDE"),
        (["a 48 x"], r"p\.txt:2: expected NAME"),
        (["a 48 11", "a 48 12"], r"p\.txt:3: the second position of 'a'"),
        (["a 91 11"], r"p\.txt:2: .*no place on Earth"),
        (["a nan 11"], r"p\.txt:2: .*not all finite"),
        (["a 48 11", "b 48 12 5"], "some lines have an altitude"),
        ([], "has no line"),
    ],
)
def test_what_is_no_position_is_named(tmp_path, lines, says):
    with pytest.raises(SourceError, match=says):
        read_geographic_positions(write_positions(tmp_path / "p.txt", lines))


@given(st.text(st.characters(codec="utf-8"), max_size=60))
@examples(200)
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "p.txt"
    path.write_bytes(text.encode())
    try:
        found, origin = read_geographic_positions(path)
    except (SourceError, ValueError):
        return
    assert all(np.isfinite(position).all() for position in found.values()) and abs(origin.latitude) <= 90


@pytest.fixture
def placed(tmp_path):
    """A map, and the file of where on Earth its cameras were: turned by 40 degrees, and twice as large."""
    write_map(tmp_path / "a.map", [reference_view(number) for number in range(6)])
    turn = pycolmap.Sim3d(2.0, pycolmap.Rotation3d(np.array([0.0, 0.0, 0.7])), np.array([5.0, -3.0, 1.0]))
    lines = []
    for record in Map.open(tmp_path / "a.map").records:
        metres = turn * record.cam_from_world.tgt_origin_in_src()
        p = EARTH.enu_to_ellipsoid(np.array([metres]), 48.137, 11.575, 520.0)[0]
        lines.append(f"{record.name} {p[0]:.10f} {p[1]:.10f} {p[2]:.5f}")
    return tmp_path / "a.map", write_positions(tmp_path / "p.txt", lines)


def test_map_align_puts_a_map_on_earth(placed, tmp_path, capsys):
    folder, positions = placed
    assert status_of("map", "align", folder, "--positions", positions, "--geographic") == 0
    assert "scale 2.0000, off by 0.000 m" in capsys.readouterr().out
    aligned = Map.open(folder)
    known = aligned.georeference
    assert known.latitude == pytest.approx(48.137, abs=1e-3) and aligned.centres[0] == pytest.approx(
        [0, 0, 0], abs=2e-3
    )
    for record, line in zip(aligned.records, positions.read_text().splitlines()[1:], strict=True):
        latitude, longitude = map(float, line.split()[-3:-1])
        centre = record.cam_from_world.tgt_origin_in_src()
        np.testing.assert_allclose(known.locate(latitude, longitude)[:2], centre[:2], atol=0.01)
    assert status_of("map", "info", folder) == 0 and "georeference" in capsys.readouterr().out


def write_centres(path, reference_map, move):
    """Positions, moved, of a map's views."""
    places = {record.name: move(record.cam_from_world.tgt_origin_in_src()) for record in reference_map.records}
    path.write_text("\n".join(f"{name} {x} {y} {z}" for name, (x, y, z) in places.items()))
    return path


def test_moving_the_map_moves_it_and_another_scale_loses_it(placed, tmp_path, capsys, caplog):
    folder, positions = placed
    status_of("map", "align", folder, "--positions", positions, "--geographic")
    before = Map.open(folder)
    moved = write_centres(tmp_path / "moved.txt", before, lambda p: rigid_of((0, 0, 1.0), (7, 8, 0)) * p)
    assert status_of("map", "align", folder, "--positions", moved, "--rigid") == 0
    after = Map.open(folder)
    assert to_enu(after.georeference, [[48.137, 11.575, 520.0]]) == pytest.approx(
        to_enu(before.georeference, [[48.137, 11.575, 520.0]])
    )
    np.testing.assert_allclose(after.georeference.enu_from_map * after.centres[3], before.centres[3], atol=1e-3)
    caplog.clear()
    same = write_centres(tmp_path / "same.txt", after, lambda p: 1.02 * p)
    assert status_of("map", "align", folder, "--positions", same, "--output", tmp_path / "same.map") == 0
    assert not caplog.records
    twice = write_centres(tmp_path / "twice.txt", after, lambda p: 2 * p)
    assert status_of("map", "align", folder, "--positions", twice) == 0
    assert "the map was in metres, and is 2 times as large now" in caplog.text
    assert "no longer known where on Earth" in capsys.readouterr().out and Map.open(folder).georeference is None


@pytest.mark.parametrize("swapped", [False, True])
def test_a_level_drive_whose_latitudes_are_longitudes_is_warned_of(tmp_path, caplog, swapped):
    """Its positions lie in a plane, which fits from below as well."""
    views, lines = [], []
    for number, (x, y) in enumerate([(0, 0), (10, 0), (20, 5), (20, 20), (5, 15)]):
        view, landmarks = reference_view(number)
        pose = look_at(np.array([x, y, 1.0]), np.array([x + 1.0, y + 0.5 * number, 1.0]))
        views.append((replace(view, cam_from_world=pose), landmarks))
        p = EARTH.enu_to_ellipsoid(np.array([[x, y, 0.0]], float), 48.137, 11.575, 520.0)[0]
        lines.append(f"{view.name} {p[1]:.9f} {p[0]:.9f}" if swapped else f"{view.name} {p[0]:.9f} {p[1]:.9f}")
    write_map(tmp_path / "a.map", views)
    positions = write_positions(tmp_path / "p.txt", lines)
    assert status_of("map", "align", tmp_path / "a.map", "--positions", positions, "--geographic") == 0
    assert ("the cameras are upside down now" in caplog.text) == swapped


@pytest.mark.parametrize(("offset_m", "says"), [(1e3, ""), (1e5, "0.008 m"), (5.4e6, "0.500 m")])
def test_a_map_is_not_moved_to_where_its_points_could_not_be_told_apart(
    placed, tmp_path, capsys, caplog, offset_m, says
):
    folder, _ = placed
    before = Map.open(folder).identity
    far = write_centres(tmp_path / "far.txt", Map.open(folder), lambda p: p + np.array([0, offset_m, 0]))
    status = status_of("map", "align", folder, "--positions", far)
    assert status == (2 if offset_m > 1e6 else 0) and (Map.open(folder).identity == before) == bool(status)
    assert says in caplog.text + capsys.readouterr().err


def test_geographic_is_of_positions(placed, capsys):
    folder, positions = placed
    assert status_of("map", "align", folder, "--poses", positions, "--geographic") == 2
    assert_one_line(capsys, "--geographic says how to read --positions")


def test_a_manifest_whose_georeference_is_none_is_named(tmp_path):
    write_map(tmp_path / "a.map", [reference_view(0)], {GEOREFERENCE: {"latitude": 5}})
    with pytest.raises(MapError, match=r"manifest\.json: georeference: "):
        _ = Map.open(tmp_path / "a.map").georeference


@pytest.mark.parametrize(
    ("places", "says"),
    [
        ([None, None], ""),
        ([MUNICH, MUNICH], ""),
        ([MUNICH, None, MUNICH], "of its maps only 0, 2 say it"),
        ([None, MUNICH], "of its maps only 1 say it"),
        ([MUNICH, replace(MUNICH, latitude=50.0)], "its maps say it differently"),
    ],
)
def test_joined_maps_lie_on_earth_where_all_of_them_say_the_same(tmp_path, caplog, places, says):
    maps = [tmp_path / f"{number}.map" for number in range(len(places))]
    for number, (folder, place) in enumerate(zip(maps, places, strict=True)):
        write_map(folder, [reference_view(number)], {GEOREFERENCE: place.to_note()} if place else {})
    merge_maps(maps, tmp_path / "all.map")
    kept = Map.open(tmp_path / "all.map").georeference
    assert (kept is not None) == (places[0] is not None and not says)
    assert says in caplog.text and bool(says) == ("all.map: it is not known where on Earth it lies" in caplog.text)
