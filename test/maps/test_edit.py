"""Maps looked at, changed, joined and given away, without the images they were made from."""

import shutil
from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from rooms import room_config, room_matcher
from small_maps import reference_view, use_everything, write_map
from worlds import rigid_of

from deviloc_ros.cli import main, run_command
from deviloc_ros.evaluation.maps.self_localization import Tolerance, find_needless_views, localize_view
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.update import update_map
from deviloc_ros.maps.edit import drop_views, merge_maps
from deviloc_ros.maps.export import export_colmap, export_ply
from deviloc_ros.maps.inspect import describe_map, find_problems
from deviloc_ros.maps.provenance import ARBITRARY_SCALE
from deviloc_ros.maps.store import Map, MapError
from deviloc_ros.sources.base import Source, SourceError
from deviloc_ros.sources.colmap import read_model
from deviloc_ros.types import Localized


@pytest.fixture
def copy(room_folder, tmp_path):
    return shutil.copytree(room_folder, tmp_path / "copy.map")


@pytest.fixture(scope="module")
def grown(room, tmp_path_factory):
    """Built of four views of the room, updated with the other three."""
    folder = tmp_path_factory.mktemp("grown") / "grown.map"
    room.build(folder, images=room.images[:4])
    report = update_map(Source(room.images[3:], []), folder, quiet=True, matcher=room_matcher("xfeat"))
    assert report.views == 3
    assert [(s.name, s.why) for s in report.skipped] == [("view-3.png", "the map has a view of this name")]
    return folder


def test_an_updated_map_localizes_like_one_built_at_once(room, grown):
    localizer = Localizer(Map.open(grown))
    for query, pose in zip(room.queries, room.query_poses, strict=True):
        result = localizer.localize(query, room.camera)
        assert isinstance(result, Localized)
        assert np.linalg.norm(result.cam_from_world.inverse().translation - pose.inverse().translation) < 0.1


def test_new_views_share_landmarks_with_the_old(grown):
    reference_map = use_everything(grown)
    observed = [set(reference_map.landmarks_of(number).ids.tolist()) for number in range(7)]
    assert len(observed[4] & observed[3]) > 20
    assert reference_map.manifest.provenance.changes[0]["added"] == 3
    assert list(find_problems(grown)) == []


def test_added_poses_are_held_against_those_of_the_map(room, grown, tmp_path, caplog):
    """What was built and what was added are told apart; poses of another frame are warned of."""
    assert "3 added: matches lie 0." in dict(describe_map(Map.open(grown)))["pose fit"]
    room.build(tmp_path / "a.map", images=room.images[:4], graph=None)
    built = Map.open(tmp_path / "a.map").manifest.provenance.notes["pose fit"]
    caplog.clear()
    turn = rigid_of([0.0, 0.0, 0.05], [0, 0, 0])
    elsewhere = [replace(image, cam_from_world=turn * image.cam_from_world) for image in room.images[4:]]
    report = update_map(Source(elsewhere, []), tmp_path / "a.map", quiet=True, matcher=room_matcher("xfeat"))
    assert "are they posed in the map's frame?" in report.notes["pose fit"] and "pose fit" in caplog.text
    assert (
        dict(describe_map(Map.open(tmp_path / "a.map")))["pose fit"] == f"{built}; 3 added: {report.notes['pose fit']}"
    )


def test_poses_that_cannot_be_in_the_maps_frame_are_refused(room, tmp_path, capsys):
    write_map(tmp_path / "a.map", [reference_view(0)], {"scale": ARBITRARY_SCALE})
    arguments = ["update-map", str(tmp_path / "a.map"), "--kitti", str(tmp_path / "nowhere")]
    for more, why in (
        (["--odom-topic", "/odom"], "--odom-topic: odometry restarts"),
        ([], "a.map: its scale is arbitrary"),
        (["--same-unit"], "nowhere: no image folder"),
    ):
        with pytest.raises(SystemExit):
            main(arguments + more)
        assert why in capsys.readouterr().err


def test_one_image_alone_can_be_added(room, tmp_path):
    room.build(tmp_path / "a.map", images=room.images[:4])
    report = update_map(Source(room.images[4:5], []), tmp_path / "a.map", quiet=True, matcher=room_matcher("xfeat"))
    assert report.views == 1 and report.lifted_share > 0.1


def test_an_update_without_a_new_image_changes_nothing(room, copy):
    identity = Map.open(copy).identity
    with pytest.raises(SourceError, match="left of 7, all of one reason: the map has a view of this name"):
        update_map(Source(room.images, []), copy, quiet=True)
    assert use_everything(copy).identity == identity
    with pytest.raises(MapError, match="no such map"):
        update_map(Source(room.images, []), copy / "nowhere", quiet=True)
    with pytest.raises(SourceError, match=r"image name 'view-0\.png' occurs more than once"):
        update_map(Source(room.images[:1] * 2, []), copy, quiet=True)


def test_dropped_views_take_their_landmarks_with_them(copy):
    before = use_everything(copy)
    landmarks_before = len(before.landmarks())
    drop_views(copy, ["view-6.png", "view-0.png"])
    after = use_everything(copy)
    assert [record.name for record in after.records] == [f"view-{number}.png" for number in range(1, 6)]
    assert 0 < len(after.landmarks()) < landmarks_before
    np.testing.assert_array_equal(after.retrieval().descriptors, before.retrieval().descriptors[1:6])
    assert len(list(copy.glob("views/*"))) == 5 and list(find_problems(copy)) == []


def test_views_that_are_not_there_or_all_of_them_cannot_be_dropped(copy):
    with pytest.raises(MapError, match=r"no view is named 'kitchen\.png'"):
        drop_views(copy, ["view-0.png", "kitchen.png"])
    with pytest.raises(MapError, match="would leave no map"):
        drop_views(copy, [f"view-{number}.png" for number in range(7)])
    assert len(use_everything(copy)) == 7


def test_merged_maps_hold_both(tmp_path):
    for name, numbers in {"a": (0, 1), "b": (1, 2)}.items():
        write_map(tmp_path / name, [reference_view(number) for number in numbers])
    maps = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(MapError, match=r"two views are named 'view 1\.png'"):
        merge_maps(maps, tmp_path / "c")
    assert not (tmp_path / "c").exists()
    assert merge_maps(maps, tmp_path / "c", prefix=True) == 4
    merged, b = use_everything(tmp_path / "c"), Map.open(tmp_path / "b")
    assert [record.name for record in merged.records] == [
        "a/view 0.png",
        "a/view 1.png",
        "b/view 1.png",
        "b/view 2.png",
    ]
    assert len(merged.landmarks()) == 24 == len(np.unique(merged.landmarks_and_ids()[0]))
    np.testing.assert_array_equal(merged.view(3).lifted.points_in_world, b.view(1).lifted.points_in_world)
    rows = np.searchsorted(merged.landmarks_and_ids()[0], merged.landmarks_of(3).ids)
    np.testing.assert_allclose(merged.landmarks()[rows], merged.landmarks_of(3).points_in_world)


def test_maps_of_different_matchers_are_not_merged(tmp_path):
    write_map(tmp_path / "a", [reference_view(0)])
    write_map(tmp_path / "b", [reference_view(1)], config=room_config("xfeat-lighterglue"))
    with pytest.raises(MapError, match="b: built with matcher 'xfeat-lighterglue'"):
        merge_maps([tmp_path / "a", tmp_path / "b"], tmp_path / "c")


def test_merged_maps_keep_what_was_said_of_them(tmp_path):
    notes = {"a": {"timing": "in time", "pose fit": "0.1 px"}, "b": {"timing": "in time", "pose fit": "3 px"}, "c": {}}
    for number, (name, said) in enumerate(notes.items()):
        write_map(tmp_path / name, [reference_view(number)], said)
    merge_maps([tmp_path / "a", tmp_path / "b"], tmp_path / "ab")
    info = dict(describe_map(Map.open(tmp_path / "ab")))
    assert info["timing"] == "in time" and info["pose fit"] == "a: 0.1 px; b: 3 px"
    merge_maps([tmp_path / "a", tmp_path / "c"], tmp_path / "ac")
    assert dict(describe_map(Map.open(tmp_path / "ac")))["timing"] == "a: in time"


def test_a_merged_map_is_no_more_metric_than_its_parts(tmp_path, caplog):
    for number, name in enumerate(("a", "b")):
        write_map(tmp_path / name, [reference_view(number)], {"scale": ARBITRARY_SCALE})
    write_map(tmp_path / "metric", [reference_view(2)], {"scale": "metres, by `map align`"})
    with pytest.raises(MapError, match="a: its scale is arbitrary, that of others is metres"):
        merge_maps([tmp_path / "metric", tmp_path / "a"], tmp_path / "c")
    merge_maps([tmp_path / "a"], tmp_path / "one")
    assert not caplog.text
    info = dict(describe_map(Map.open(tmp_path / "one")))
    assert info["scale"] == ARBITRARY_SCALE and info["camera positions"].endswith(" arbitrary units")
    merge_maps([tmp_path / "a", tmp_path / "b"], tmp_path / "ab")
    assert not Map.open(tmp_path / "ab").manifest.provenance.is_metric
    assert "only if they come from one structure" in caplog.text


def test_a_view_is_localized_from_the_others(room_map):
    result = localize_view(Localizer(room_map), 3)
    assert result.outcome.name == "view-3.png" and result.outcome.translation_m < 0.1
    assert result.helped and "view-3.png" not in result.helped


def test_pruning_keeps_every_view_localizable(room_map):
    localizer, tolerance = Localizer(room_map), Tolerance(0.1, 2.0)
    names = find_needless_views(localizer, tolerance, quiet=True)
    assert 0 < len(names) < 6
    for number, record in enumerate(room_map.records):
        if record.name in names:
            assert tolerance.holds(localize_view(localizer, number, frozenset(names)).outcome)


def test_a_good_map_has_no_problems_and_each_damage_is_named(copy):
    assert list(find_problems(copy)) == []
    view, shared = next(copy.glob("views/*")), next(copy.glob("retrieval-*"))
    view.write_bytes(view.read_bytes()[:-1])
    shared.unlink()
    (copy / "views" / f"{20 * '0'}.safetensors").write_bytes(b"")
    found = list(find_problems(copy))
    assert len(found) == 3
    assert any(view.name in line for line in found) and any(shared.name in line for line in found)
    assert "1 files that belong to no view" in found[-1]


def test_info_tells_what_the_manifest_says(room_map):
    info = dict(describe_map(room_map))
    assert info["views"] == "7" and info["matcher"] == "xfeat" and info["identity"] == room_map.identity


def test_an_exported_model_is_read_back_as_it_was(room, room_map, tmp_path):
    for text in (False, True):
        export_colmap(room_map, tmp_path / str(text), text=text)
        source = read_model(tmp_path / str(text), room.folder)
        assert [image.name for image in source.images] == [record.name for record in room_map.records]
        for number, (image, record) in enumerate(zip(source.images, room_map.records, strict=True)):
            observed = room_map.landmarks_of(number)
            assert image.camera.params == pytest.approx(record.camera.params)
            np.testing.assert_allclose(image.cam_from_world.matrix(), record.cam_from_world.matrix(), atol=1e-9)
            np.testing.assert_allclose(image.landmarks.keypoints, observed.keypoints, atol=1e-4)
            np.testing.assert_allclose(image.landmarks.points_in_world, observed.points_in_world, atol=1e-5)


def test_names_with_spaces_are_not_written_as_text(tmp_path):
    write_map(tmp_path / "a.map", [reference_view(0)])
    reference_map = Map.open(tmp_path / "a.map")
    with pytest.raises(MapError, match=r"'view 0\.png': .*leave --text out"):
        export_colmap(reference_map, tmp_path / "model", text=True)
    assert not (tmp_path / "model").exists()
    export_colmap(reference_map, tmp_path / "model")
    assert [image.name for image in read_model(tmp_path / "model", tmp_path).images] == ["view 0.png"]


def test_an_exported_cloud_has_the_landmarks(room_map, tmp_path):
    export_ply(room_map, tmp_path / "a.ply")
    cloud = pycolmap.Reconstruction()
    cloud.import_PLY(str(tmp_path / "a.ply"))
    assert cloud.num_points3D() == len(room_map.landmarks())


@pytest.mark.parametrize(("scale", "metric"), [(ARBITRARY_SCALE, False), ("metres, as measured", True)])
def test_a_map_that_is_moved_into_another_has_the_unit_of_that(tmp_path, monkeypatch, scale, metric):
    moved = pycolmap.Sim3d(2.0, pycolmap.Rotation3d(), np.zeros(3)), "as 9 known poses have it"
    monkeypatch.setattr("deviloc_ros.evaluation.maps.shared_views.align_to_map", lambda *_, rigid: moved)
    for name, of_it in (("a.map", ARBITRARY_SCALE), ("b.map", scale)):
        write_map(tmp_path / name, [reference_view(0)], {"scale": of_it})
    assert run_command(["map", "align", str(tmp_path / "a.map"), "--to", str(tmp_path / "b.map")]) == 0
    assert Map.open(tmp_path / "a.map").manifest.provenance.is_metric is metric
