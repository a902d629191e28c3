"""Maps of a place that was photographed several times, as by day and by night."""

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rooms import room_matcher
from small_maps import CAMERAS, features_of, names, reference_view, use_everything, view_at, write_map
from worlds import rigid_of

from deviloc_ros.cli import main, run_command
from deviloc_ros.config import RetrievalConfig
from deviloc_ros.evaluation.maps.page import make_map_report
from deviloc_ros.evaluation.maps.quality import inspect_views
from deviloc_ros.evaluation.maps.self_localization import Tolerance
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.update import update_map
from deviloc_ros.maps.edit import merge_maps
from deviloc_ros.maps.inspect import describe_map
from deviloc_ros.maps.manifest import MANIFEST, hash_manifest
from deviloc_ros.maps.store import Map, MapError
from deviloc_ros.types import Prior

DAY, NIGHT = 1, 2  # what the place looks like
SESSIONS = ("", "day", "night", "winter")


def at(x: float) -> Prior:
    return Prior(rigid_of([0, 0, 0], [-x, 0, 0]), radius_m=20)


def views_of(session: str, look: int, count: int, first_m: float, landmarks_of: int = 1) -> list:
    """Views half a metre apart, which observe the landmarks of one place."""
    _, landmarks = view_at("", landmarks_of, 0)
    return [(view_at(f"{session} {n}", look, first_m + 0.5 * n)[0], landmarks) for n in range(count)]


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Map:
    """Twenty views by day, all nearer than the six by night."""
    folder = tmp_path_factory.mktemp("both") / "both.map"
    views = views_of("day", DAY, 20, 0.0) + views_of("night", NIGHT, 6, 12.0)
    write_map(folder, views, sessions=["day"] * 20 + ["night"] * 6)
    return Map.open(folder)


@pytest.mark.parametrize(("look", "session"), [(DAY, "day"), (NIGHT, "night")])
def test_a_query_is_matched_with_the_session_that_it_looks_like(both, look, session):
    found = both.nearby_views(features_of(look, 7), CAMERAS[0], at(0.0), RetrievalConfig(references=4))
    assert names(found) == [f"{session} {n}" for n in range(4)]  # the nearest first


def test_what_a_session_lacks_comes_from_the_others(both):
    found = both.nearby_views(features_of(NIGHT, 7), CAMERAS[0], at(0.0), RetrievalConfig(references=8))
    assert names(found) == [f"night {n}" for n in range(6)] + ["day 0", "day 1"]


@settings(max_examples=30, deadline=None)
@given(
    sessions=st.lists(st.sampled_from(SESSIONS), min_size=1, max_size=12),
    count=st.integers(1, 8),
    x=st.floats(-3, 9),
)
def test_each_session_near_the_prior_is_looked_at(tmp_path_factory, sessions, count, x):
    folder = tmp_path_factory.mktemp("any") / "any.map"
    views = [view_at(f"{session} {number}", DAY, 0.5 * number) for number, session in enumerate(sessions)]
    write_map(folder, views, sessions=sessions)
    found = Map.open(folder).views_by_pose(CAMERAS[0], at(x), RetrievalConfig(references=count))
    assert len(set(names(found))) == len(found) == min(count, len(sessions))
    seen = {view.name.rpartition(" ")[0] for view in found}
    assert len(seen) == min(count, len(set(sessions)))
    if len(set(sessions)) == 1:
        distances = [abs(view.cam_from_world.tgt_origin_in_src()[0] - x) for view in found]
        assert distances == sorted(distances)


def test_sessions_stay_with_their_views(room, room_folder, tmp_path):
    folder, other, merged = tmp_path / "room.map", tmp_path / "other.map", tmp_path / "merged.map"
    room.build(folder, images=room.images[:4], session="day")
    update_map(room.images[4:], folder, quiet=True, matcher=room_matcher("xfeat"), session="night")
    assert [record.session for record in use_everything(folder).records] == ["day"] * 4 + ["night"] * 3
    assert dict(describe_map(Map.open(folder)))["sessions"] == "day (4 views), night (3 views)"
    shutil.copytree(room_folder, other)
    merge_maps([folder, other], merged, prefix=True)
    assert [record.session for record in Map.open(merged).records] == ["day"] * 4 + ["night"] * 3 + [""] * 7
    assert "sessions" not in dict(describe_map(Map.open(other)))

    localizer = Localizer(Map.open(folder), matcher=room_matcher("xfeat"))
    quality = inspect_views(localizer, Tolerance(0.1, 2.0), quiet=True)
    assert all(view.from_others is not None for view in quality.views)
    assert {view.session for view in quality.views} == {"day", "night"}
    page = make_map_report(localizer, quality, [], [])
    assert "<h2>Sessions</h2>" in page and "4 of 4 (100%)" in page

    assert run_command(["map", "drop", str(folder), "--session", "night"]) == 0
    assert [record.session for record in use_everything(folder).records] == ["day"] * 4


def test_a_map_without_sessions_has_no_table_of_them(room_map):
    localizer = Localizer(room_map)
    quality = inspect_views(localizer, Tolerance(0.1, 2.0), quiet=True)
    assert all(view.from_others is None for view in quality.views)
    assert "Sessions" not in make_map_report(localizer, quality, [], [])


def test_a_session_that_is_not_there_is_named(both, tmp_path, capsys):
    with pytest.raises(MapError, match="no view is of session 'nigth'; did you mean 'night'"):
        both.list_views_of("nigth")
    write_map(tmp_path / "a.map", [reference_view(0)])
    with pytest.raises(SystemExit):
        main(["map", "drop", str(tmp_path / "a.map")])
    assert "--session" in capsys.readouterr().err


@pytest.mark.parametrize("name", [" ", "a ", "a\nb", "x" * 81, "\x1b[31m"])
def test_names_that_cannot_be_read_are_refused(tmp_path, name, capsys):
    with pytest.raises(SystemExit):
        main(["map", "drop", str(tmp_path), "--session", name])
    assert "argument --session" in capsys.readouterr().err


@pytest.mark.parametrize("session", [3, None, ["day"], {}])
def test_a_session_that_is_no_text_is_damage(tmp_path, session):
    write_map(tmp_path / "a.map", [reference_view(0)])
    path = tmp_path / "a.map" / MANIFEST
    content = json.loads(path.read_text())
    content["views"][0]["session"] = session
    path.write_text(json.dumps(content | {"sha256": hash_manifest(content)}))
    with pytest.raises(MapError, match="field 'session'"):
        Map.open(tmp_path / "a.map")


def test_maps_are_compared_as_they_were_before_one_of_them_was_replaced(tmp_path, monkeypatch):
    for name, number in (("a", 0), ("b", 5)):
        write_map(tmp_path / f"{name}.map", [reference_view(number)])
    seen = []
    monkeypatch.setattr(
        "deviloc_ros.evaluation.maps.shared_views.compare_frames",
        lambda folders: seen.append([len(Map.open(folder)) for folder in folders]) or [],
    )
    maps = [str(tmp_path / "a.map"), str(tmp_path / "b.map")]
    for output in (tmp_path / "c.map", tmp_path / "a.map"):
        assert run_command(["map", "merge", *maps, "--output", str(output), "--overwrite"]) == 0
        assert seen.pop() == [1, 1] and len(Map.open(output)) == 2
