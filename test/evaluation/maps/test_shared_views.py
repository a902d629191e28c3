"""Two maps of a place: whether they are of one frame is seen, and how one lies in the other."""

import numpy as np
import pycolmap
import pytest
from small_maps import reference_view, write_map
from worlds import rigid_of

from deviloc_ros.cli import run_command
from deviloc_ros.config_fields import change_config
from deviloc_ros.evaluation.maps.shared_views import align_to_map, compare_frames, find_views
from deviloc_ros.geometry import rotation_distance_deg
from deviloc_ros.localizer import Localizer
from deviloc_ros.maps.edit import align_map
from deviloc_ros.maps.store import Map
from deviloc_ros.sources.base import SourceError

ELSEWHERE = rigid_of([0.2, -0.3, 1.0], [10.0, -2.0, 0.5])


@pytest.fixture(scope="module")
def halves(room, tmp_path_factory):
    """Two maps of one room, made of different images, of which the second is moved; and the second unmoved."""
    folder = tmp_path_factory.mktemp("halves")
    room.build(folder / "a.map", images=room.images[::2])
    room.build(folder / "b.map", images=room.images[1::2])
    moved = pycolmap.Sim3d(1.0, ELSEWHERE.rotation, ELSEWHERE.translation)
    align_map(folder / "b.map", moved, folder / "moved.map", {"frame": "elsewhere"})
    return folder


def test_maps_of_one_frame_are_said_to_be(halves):
    (words,) = compare_frames([halves / "a.map", halves / "b.map"], quiet=True)
    assert "3 of 3 views are found" in words and "align" not in words


def test_maps_of_two_frames_are_told_apart_and_what_to_do_is_said(halves):
    (words,) = compare_frames([halves / "a.map", halves / "moved.map"], quiet=True)
    assert f"map align {halves / 'moved.map'} --to {halves / 'a.map'}" in words


def test_places_that_share_nothing_leave_it_open(halves, tmp_path):
    write_map(tmp_path / "other.map", [reference_view(3, 300), reference_view(4, 300)])
    assert find_views(Map.open(tmp_path / "other.map"), Localizer(Map.open(halves / "a.map")), quiet=True) == {}


@pytest.mark.parametrize("rigid", [True, False])
def test_a_map_is_brought_into_the_frame_of_another(halves, rigid):
    other_from_moved, words = align_to_map(
        Map.open(halves / "moved.map"), Map.open(halves / "a.map"), rigid=rigid, quiet=True
    )
    back = ELSEWHERE.inverse()
    assert other_from_moved.scale == pytest.approx(1.0, abs=0.0 if rigid else 0.02)
    assert rotation_distance_deg(pycolmap.Rigid3d(other_from_moved.rotation, np.zeros(3)), back) < 0.5
    centres = Map.open(halves / "moved.map").centres
    true = centres @ back.rotation.matrix().T + back.translation
    np.testing.assert_allclose([other_from_moved * centre for centre in centres], true, atol=0.05)
    assert "off by" in words


def test_what_shows_nothing_of_it_is_not_moved(halves, tmp_path):
    write_map(tmp_path / "other.map", [reference_view(3, 300)])
    with pytest.raises(SourceError, match="0 of 1 views are found"):
        align_to_map(Map.open(tmp_path / "other.map"), Map.open(halves / "a.map"), rigid=False, quiet=True)


def test_descriptors_of_images_are_not_in_a_map(halves):
    localizer = Localizer(Map.open(halves / "a.map"))
    localizer.config = change_config(localizer.config, retrieval={"descriptor_file": "net.pt"})
    with pytest.raises(ValueError, match="are of images"):
        find_views(Map.open(halves / "b.map"), localizer, quiet=True)


def test_maps_that_cannot_be_localized_in_are_joined_all_the_same(halves, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("deviloc_ros.localizer.create_matcher", lambda config: (tmp_path / "weights").open())
    a, b, joined = halves / "a.map", halves / "b.map", tmp_path / "joined.map"
    assert run_command(["map", "merge", str(a), str(b), "--output", str(joined)]) == 0
    assert f"{b}: not looked for in {a}" in capsys.readouterr().out and len(Map.open(joined)) == 7


def test_the_commands(halves, tmp_path, capsys):
    a, moved, back, joined = halves / "a.map", halves / "moved.map", tmp_path / "back.map", tmp_path / "joined.map"
    assert run_command(["map", "align", str(moved), "--to", str(a), "--output", str(back)]) == 0
    assert run_command(["map", "merge", str(a), str(back), "--output", str(joined)]) == 0
    said = capsys.readouterr().out
    assert f"{joined}: 7 views of 2 maps" in said and f"3 of 3 views are found in {a}" in said and "--to" not in said
    assert run_command(["map", "merge", str(a), str(moved), "--output", str(joined), "--overwrite"]) == 0
    assert f"map align {moved} --to {a}" in capsys.readouterr().out
