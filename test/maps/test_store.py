"""A map comes back as it was written, whole or not at all, and nothing damaged is used."""

import json
import shutil

import numpy as np
import pycolmap
import pytest
import torch
from rooms import room_config

from deviloc_ros.config import Config, MatcherConfig, from_dict
from deviloc_ros.maps.retrieval import Vlad
from deviloc_ros.maps.sources import SourceError
from deviloc_ros.maps.store import Map, MapError, MapWriter
from deviloc_ros.types import Camera, Features, Landmarks, Lifted, ReferenceView

CAMERAS = (
    Camera("PINHOLE", 320, 240, (262.0, 262.0, 159.5, 119.5)),
    Camera("SIMPLE_RADIAL", 640, 480, (525.0, 319.5, 239.5, -0.02)),
)


def reference_view(number: int, count: int = 50) -> tuple[ReferenceView, Landmarks]:
    rng, generator = np.random.default_rng(number), torch.Generator().manual_seed(number)
    camera = CAMERAS[number % 2]
    descriptors = torch.nn.functional.normalize(torch.randn(count, 64, generator=generator), dim=1)
    size = (camera.width, camera.height)
    features = Features(240 * torch.rand(count, 2), descriptors, torch.rand(count), torch.ones(count), size)
    lifted = Lifted(rng.normal(size=(count, 3)), rng.random(count), rng.uniform(1, 5, count))
    pose = pycolmap.Rigid3d(pycolmap.Rotation3d(rng.normal(0, 1, 3)), rng.normal(0, 5, 3))
    landmarks = Landmarks(np.arange(7) + 5 * number, rng.uniform(0, 240, (7, 2)), rng.normal(size=(7, 3)))
    return ReferenceView(f"view {number}.png", camera, pose, features, lifted), landmarks


def write(folder, views, **options) -> None:
    with MapWriter(folder, room_config(), **options) as writer:
        points = {}
        for view, landmarks in views:
            writer.add_view(view, landmarks)
            points |= dict(zip(landmarks.ids.tolist(), landmarks.points_in_world, strict=True))
        vlad = Vlad(torch.zeros(2, 64))
        writer.finish(points, vlad, torch.zeros(len(views), 128), {"made_by": "a test"})


@pytest.fixture
def copy(room_folder, tmp_path):
    """A map of one's own, to be damaged."""
    return shutil.copytree(room_folder, tmp_path / "copy.map")


def use_everything(folder) -> None:
    """Read every file of a map."""
    reference_map = Map.open(folder)
    reference_map.landmarks()
    for number in range(len(reference_map)):
        query = reference_map.view(number).features
    reference_map.nearby_views(query, None, reference_map.config.retrieval)


def test_a_map_gives_back_what_was_written(tmp_path):
    views = [reference_view(number) for number in range(3)]
    write(tmp_path / "a.map", views)
    reference_map = Map.open(tmp_path / "a.map")
    assert len(reference_map) == 3 and reference_map.config == room_config()
    assert reference_map.manifest["provenance"] == {"made_by": "a test"}
    for number, (view, landmarks) in enumerate(views):
        again = reference_map.view(number)
        assert (again.name, again.camera, again.features.size) == (view.name, view.camera, view.features.size)
        np.testing.assert_allclose(again.cam_from_world.matrix(), view.cam_from_world.matrix(), atol=1e-12)
        torch.testing.assert_close(again.features.keypoints, view.features.keypoints)
        torch.testing.assert_close(
            again.features.descriptors, view.features.descriptors, atol=1e-3, rtol=0
        )  # half floats
        np.testing.assert_allclose(again.lifted.points_in_world, view.lifted.points_in_world, rtol=1e-6)
        np.testing.assert_allclose(again.lifted.confidence, view.lifted.confidence, rtol=1e-6)
        np.testing.assert_array_equal(reference_map.landmarks_of(number).ids, landmarks.ids)
    assert len(reference_map.landmarks()) == 17  # 7 a view, 2 of them shared with the next


def test_the_same_map_has_the_same_identity(tmp_path):
    torch.manual_seed(0)
    views = [reference_view(number) for number in range(2)]
    for name in ("a", "b"):
        write(tmp_path / name, views)
    write(tmp_path / "c", views[:1])
    a, b, c = (Map.open(tmp_path / name).identity for name in "abc")
    assert a == b != c


def test_views_without_keypoints_or_landmarks_are_kept(tmp_path):
    view, _ = reference_view(0, count=0)
    write(tmp_path / "a.map", [(view, Landmarks(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 3))))])
    reference_map = Map.open(tmp_path / "a.map")
    assert len(reference_map.view(0).features) == 0 and reference_map.landmarks().shape == (0, 3)


@pytest.mark.parametrize(
    "file", ["manifest.json", "landmarks.safetensors", "retrieval.safetensors", "views/000002.safetensors"]
)
@pytest.mark.parametrize("where", [0.001, 0.5, 0.999])
def test_a_flipped_byte_is_found_in_every_file(copy, file, where):
    path = copy / file
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 0x01
    path.write_bytes(data)
    with pytest.raises(MapError, match=path.name):
        use_everything(copy)


@pytest.mark.parametrize(
    "file", ["manifest.json", "landmarks.safetensors", "retrieval.safetensors", "views/000002.safetensors"]
)
def test_a_missing_or_truncated_file_is_named(copy, file):
    path = copy / file
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(MapError, match=path.name):
        use_everything(copy)
    path.unlink()
    with pytest.raises(MapError, match=path.name):
        use_everything(copy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged"),
        ("[1, 2]", "field 'format'"),
        ("{}", "field 'format'"),
        ('{"format": "deviloc-map"}', "field 'version' is None"),
        (
            '{"format": "deviloc-map", "version": 99}',
            "field 'version' is 99, this program reads 1",
        ),
        ('{"format": "deviloc-map", "version": 1}', "damaged"),
    ],
)
def test_other_manifests_are_refused(copy, text, message):
    (copy / "manifest.json").write_text(text)
    with pytest.raises(MapError, match=rf"manifest\.json: .*{message}"):
        Map.open(copy)


@pytest.mark.parametrize("key", ["config", "cameras", "views", "files"])
def test_a_manifest_without_a_field_names_it(copy, key):
    from deviloc_ros.maps.store import manifest_hash

    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest[key]
    (copy / "manifest.json").write_text(json.dumps(manifest | {"sha256": manifest_hash(manifest)}))
    with pytest.raises(MapError, match=rf"manifest\.json: field '{key}' is missing"):
        use_everything(copy)


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_what_is_no_map_is_an_error_by_name(tmp_path, name):
    with pytest.raises(MapError, match=r"not a map, manifest\.json not found"):
        Map.open(tmp_path / name)


def test_an_error_while_writing_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), MapWriter(tmp_path / "a.map", Config()) as writer:
        writer.add_view(*reference_view(0))
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_map_that_is_there_survives_a_failed_build(copy, room):
    identity = Map.open(copy).identity
    with pytest.raises(MapError, match="exists already"):
        room.build(copy)
    with pytest.raises(SourceError):
        room.build(copy, images=room.images[:1], overwrite=True)  # one view has no landmarks
    assert Map.open(copy).identity == identity and [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_overwriting_replaces_the_whole_map(copy):
    write(copy, [reference_view(0)], overwrite=True)
    assert len(Map.open(copy)) == 1 and len(list(copy.glob("views/*"))) == 1


def test_a_folder_that_is_no_map_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(MapError, match="not a map"):
        MapWriter(tmp_path, Config(), overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_map_is_bound_to_its_matcher(room_map):
    room_map.check_matcher(room_config().matcher)
    with pytest.raises(MapError, match="built with matcher 'xfeat', asked to match with 'xfeat-lighterglue'"):
        room_map.check_matcher(MatcherConfig(name="xfeat-lighterglue"))


def test_few_views_in_memory_are_as_good_as_many(room_folder, monkeypatch):
    monkeypatch.setattr("deviloc_ros.maps.store.VIEWS_IN_MEMORY", 2)
    reference_map = Map.open(room_folder)
    names = [reference_map.view(number).name for number in (0, 1, 2, 0, 1)]
    assert names == ["view-0.png", "view-1.png", "view-2.png", "view-0.png", "view-1.png"]


def test_the_map_states_the_config_it_was_built_with(room, tmp_path):
    config = from_dict(room_config(), {"pose": {"min_inliers": 44}, "lift": {"method": "landmarks-only"}})
    room.build(tmp_path / "a.map", config)
    assert Map.open(tmp_path / "a.map").config == config
