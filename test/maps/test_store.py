"""A map comes back as it was written, whole or not at all, and nothing damaged is used."""

import gc
import json
import shutil
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from rooms import room_config
from safetensors.torch import load_file, save_file
from small_maps import CONFIG, reference_view, use_everything, write_map

from deviloc_ros.config import Config, PoseConfig, bind_to_map
from deviloc_ros.config_fields import from_dict
from deviloc_ros.maps.checks import check_view
from deviloc_ros.maps.files import hash_file
from deviloc_ros.maps.manifest import hash_manifest
from deviloc_ros.maps.provenance import Provenance
from deviloc_ros.maps.retrieval import index as view_index
from deviloc_ros.maps.retrieval.global_descriptors import Vlad
from deviloc_ros.maps.store import Map, MapError
from deviloc_ros.maps.tensors import features_from_tensors, view_to_tensors
from deviloc_ros.maps.writer import MapWriter
from deviloc_ros.sources.base import SourceError
from deviloc_ros.types import Landmarks


@pytest.fixture
def copy(room_folder, tmp_path):
    """A map of one's own, to be damaged."""
    return shutil.copytree(room_folder, tmp_path / "copy.map")


def write_signed(folder, manifest) -> None:
    """A manifest that states its own hash rightly, whatever is in it."""
    (folder / "manifest.json").write_text(json.dumps(manifest | {"sha256": hash_manifest(manifest)}))


def test_a_map_gives_back_what_was_written(tmp_path):
    views = [reference_view(number) for number in range(3)]
    write_map(tmp_path / "a.map", views)
    reference_map = Map.open(tmp_path / "a.map")
    assert len(reference_map) == 3 and reference_map.config == CONFIG
    assert reference_map.manifest.provenance == Provenance(notes={"made_by": "a test"})
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
    views = [reference_view(number) for number in range(2)]
    for name in ("a", "b"):
        write_map(tmp_path / name, views)
    write_map(tmp_path / "c", views[:1])
    a, b, c = (Map.open(tmp_path / name).identity for name in "abc")
    assert a == b != c


def test_views_without_keypoints_or_landmarks_are_kept(tmp_path):
    view, _ = reference_view(0, count=0)
    write_map(
        tmp_path / "a.map", [(view, Landmarks.without_stds(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 3))))]
    )
    reference_map = Map.open(tmp_path / "a.map")
    assert len(reference_map.view(0).features) == 0 and reference_map.landmarks().shape == (0, 3)


@pytest.mark.parametrize(
    "file", ["manifest.json", "landmarks-*.safetensors", "retrieval-*.safetensors", "views/*.safetensors"]
)
@pytest.mark.parametrize("where", [0.001, 0.5, 0.999])
def test_a_flipped_byte_is_found_in_every_file(copy, file, where):
    path = sorted(copy.glob(file))[-1]
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 0x01
    path.write_bytes(data)
    with pytest.raises(MapError, match=path.name):
        use_everything(copy)


@pytest.mark.parametrize(
    "file", ["manifest.json", "landmarks-*.safetensors", "retrieval-*.safetensors", "views/*.safetensors"]
)
def test_a_missing_or_truncated_file_is_named(copy, file):
    path = sorted(copy.glob(file))[-1]
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
            "field 'version' is 99, this program reads 1 to 2",
        ),
        ('{"format": "deviloc-map", "version": 2}', "damaged"),
        ("[" * 100000, "damaged"),
    ],
)
def test_other_manifests_are_refused(copy, text, message):
    (copy / "manifest.json").write_text(text)
    with pytest.raises(MapError, match=rf"manifest\.json: .*{message}"):
        Map.open(copy)


@pytest.mark.parametrize("key", ["config", "cameras", "views", "landmarks", "retrieval", "provenance"])
def test_a_manifest_without_a_field_names_it(copy, key):
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest[key]
    write_signed(copy, manifest)
    with pytest.raises(MapError, match=rf"manifest\.json: field '{key}' is missing"):
        use_everything(copy)


@pytest.mark.parametrize(("name", "says"), [("nowhere", "no such map"), (".", r"not a map, manifest\.json not found")])
def test_what_is_no_map_is_an_error_by_name(tmp_path, name, says):
    with pytest.raises(MapError, match=says):
        Map.open(tmp_path / name)


def test_an_error_while_writing_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), MapWriter(tmp_path / "a.map", Config()) as writer:
        writer.add_view(*reference_view(0))
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_map_that_is_there_survives_a_failed_build(copy, room):
    identity = Map.open(copy).identity
    with pytest.raises(MapError, match="is there; --overwrite"):
        room.build(copy)
    with pytest.raises(SourceError):
        room.build(copy, images=room.images[:1], overwrite=True)  # one view has no landmarks
    assert Map.open(copy).identity == identity and [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_overwriting_replaces_the_whole_map(copy):
    write_map(copy, [reference_view(0)], overwrite=True)
    assert len(Map.open(copy)) == 1 and len(list(copy.glob("views/*"))) == 1


def test_a_folder_that_is_no_map_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(MapError, match="not a map"):
        MapWriter(tmp_path, Config(), overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_map_is_bound_to_its_matcher(room_map):
    room_map.check_matcher("xfeat")
    with pytest.raises(MapError, match="built with matcher 'xfeat', asked to match with 'xfeat-lighterglue'"):
        room_map.check_matcher("xfeat-lighterglue")


def test_few_views_in_memory_are_as_good_as_many(room_folder, monkeypatch):
    monkeypatch.setattr("deviloc_ros.maps.store.VIEWS_IN_MEMORY", 2)
    reference_map = Map.open(room_folder)
    names = [reference_map.view(number).name for number in (0, 1, 2, 0, 1)]
    assert names == ["view-0.png", "view-1.png", "view-2.png", "view-0.png", "view-1.png"]


def test_the_map_states_the_config_it_was_built_with(room, tmp_path):
    config = from_dict(room_config(), {"pose": {"min_inliers": 44}, "lift": {"method": "landmarks-only"}})
    room.build(tmp_path / "a.map", config)
    assert Map.open(tmp_path / "a.map").config == config


def test_a_map_is_freed_with_its_last_user(room_folder):
    """And not when the garbage collector comes round to it: a node that loads another map would hold both."""
    reference_map = Map.open(room_folder)
    for number in range(len(reference_map)):
        reference_map.view(number)
        reference_map._seen(number)
    reference_map.retrieval()
    gone = weakref.ref(reference_map)
    gc.disable()
    try:
        del reference_map
        assert gone() is None
    finally:
        gc.enable()


def test_opening_a_map_reads_its_manifest_alone(room_folder, monkeypatch):
    def read(*_):
        raise AssertionError("a file was read")

    monkeypatch.setattr("deviloc_ros.maps.store.read_arrays", read)
    monkeypatch.setattr("deviloc_ros.maps.tensors.read_content", read)
    assert len(Map.open(room_folder)) == 7


@pytest.mark.parametrize("old_m", [0.1, 0.25])
def test_a_map_made_when_gates_were_in_metres_is_read(tmp_path, old_m):
    write_map(tmp_path / "a.map", [reference_view(0)])
    path = tmp_path / "a.map" / "manifest.json"
    content = json.loads(path.read_text())
    old = {"max_position_std_m": old_m, "max_shift_m": 0.035, "covariance_scale": 6.0, "min_inliers": 55}
    content["config"]["pose"] = old
    path.write_text(json.dumps(content | {"sha256": hash_manifest(content)}))
    pose = Map.open(tmp_path / "a.map").config.pose
    assert (pose.min_inliers, pose.required_position_std_m) == (55, old_m)
    assert pose.covariance_scale == PoseConfig().covariance_scale


def test_a_map_made_when_small_images_were_not_scaled_up_is_asked_as_it_was_built(tmp_path):
    write_map(tmp_path / "a.map", [reference_view(0)])
    path = tmp_path / "a.map" / "manifest.json"
    content = json.loads(path.read_text())
    assert content["config"]["matcher"].pop("min_image_side_px") == 640
    path.write_text(json.dumps(content | {"sha256": hash_manifest(content)}))
    old = Map.open(tmp_path / "a.map").config
    assert old.matcher.min_image_side_px == 0
    assert bind_to_map(Config(), old).matcher.min_image_side_px == 0


def test_a_map_of_version_1_is_read(room_folder, tmp_path):
    """It named files by number, and dense ones by their view."""
    old = shutil.copytree(room_folder, tmp_path / "old.map")
    manifest = json.loads((old / "manifest.json").read_text()) | {"version": 1, "files": {}}
    for number, view in enumerate(manifest["views"]):
        (old / view["file"]).rename(old / f"views/{number:06d}.safetensors")
        view["file"] = f"views/{number:06d}.safetensors"
    shutil.copy(old / "views/000000.safetensors", old / "views/000000.dense.safetensors")
    manifest["files"]["views/000000.dense.safetensors"] = manifest["views"][0]["sha256"]
    for name in ("landmarks", "retrieval"):
        stored = manifest.pop(name)
        (old / stored["file"]).rename(old / f"{name}.safetensors")
        manifest["files"][f"{name}.safetensors"] = stored["sha256"]
    write_signed(old, manifest)
    reference_map = use_everything(old)
    assert len(reference_map) == 7 and reference_map.records[1].dense is None
    assert reference_map.records[0].dense.file == "views/000000.dense.safetensors"


@pytest.mark.parametrize("seed", range(8))
def test_random_damage_is_a_map_error_or_harmless(tmp_path, seed):
    """Flipped bytes, cut and swapped files: what is read is what was written, or a MapError says what is wrong."""
    rng = np.random.default_rng(seed)
    folder = tmp_path / "a.map"
    write_map(folder, [reference_view(number) for number in range(3)])
    identity = Map.open(folder).identity
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for _ in range(10):
        path, other = (paths[rng.integers(len(paths))] for _ in range(2))
        whole = path.read_bytes()
        data = bytearray(whole)
        match rng.integers(4):
            case 0:
                data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            case 1:
                data = data[: rng.integers(len(data))]
            case 2:
                data = bytearray(other.read_bytes())
            case 3:
                data += rng.bytes(rng.integers(1, 100))
        path.write_bytes(data)
        try:
            assert use_everything(folder).identity == identity and data == whole
        except MapError as error:
            assert folder.name in str(error)
        path.write_bytes(whole)


ABSURD = (None, "", "x", -1, 0.5, 10**400, 1e308, float("nan"), [], [[]], {}, True, "../../../etc/passwd", [1e308] * 9)


@pytest.mark.parametrize("seed", range(8))
def test_manifests_that_lie_are_a_map_error(tmp_path, seed):
    """Signed rightly, with absurd values anywhere: a MapError, or a map that is the same in what matters."""
    rng = np.random.default_rng(seed)
    folder = tmp_path / "a.map"
    write_map(folder, [reference_view(number) for number in range(2)])
    manifest = (folder / "manifest.json").read_text()
    for _ in range(25):
        content = json.loads(manifest)
        node = content
        while True:
            key = rng.choice(list(node)) if isinstance(node, dict) else int(rng.integers(len(node)))
            if not isinstance(node[key], dict | list) or not len(node[key]) or rng.random() < 0.2:
                break
            node = node[key]
        node[key] = ABSURD[rng.integers(len(ABSURD))]
        write_signed(folder, content)
        try:
            use_everything(folder)
        except MapError as error:
            assert folder.name in str(error)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("keypoints", torch.zeros(50, 3), r"keypoints is of shape \(50, 3\), not \(50, 2\)"),
        ("descriptors", torch.zeros(49, 64), "descriptors is of shape"),
        ("depths", torch.full((50,), float("nan")), "depths: a value is not finite"),
        ("landmark_ids", torch.tensor(7), r"landmark_ids is of shape \(\)"),
        ("confidence", None, "field 'confidence' is missing"),
    ],
)
def test_a_view_whose_tensors_do_not_fit_is_named(tmp_path, name, value, message):
    """Damage that its own hash knows nothing of: whoever wrote the map was wrong."""
    folder = tmp_path / "a.map"
    write_map(folder, [reference_view(0)])
    manifest = json.loads((folder / "manifest.json").read_text())
    path = folder / manifest["views"][0]["file"]
    tensors = load_file(path) | {name: value}
    save_file({key: tensor for key, tensor in tensors.items() if tensor is not None}, path)
    manifest["views"][0]["sha256"] = hash_file(path)
    write_signed(folder, manifest)
    with pytest.raises(MapError, match=f"{path.name}: {message}"):
        use_everything(folder)


def test_a_map_of_many_views_stores_its_index_and_checks_it(tmp_path, monkeypatch):
    monkeypatch.setattr(view_index, "INDEXED_FROM", 8)
    monkeypatch.setattr(view_index, "CODE_BYTES", 4)
    folder, vlad = tmp_path / "a.map", Vlad(torch.zeros(2, 64))
    retrieval = view_index.Retrieval.learn(torch.randn(300, 128, generator=torch.Generator().manual_seed(0)), vlad)
    with MapWriter(folder, CONFIG) as writer:
        writer.add_view(*reference_view(0))
        for number in range(1, 300):  # all in one file
            writer.keep_view(replace(writer.records[0], name=str(number)))
        writer.finish({}, retrieval, Provenance())
    opened = Map.open(folder)
    assert opened._retrieval is None  # until a query without a prior comes
    query = retrieval.descriptors[70].float()
    assert opened.retrieval().nearest(query, 5).tolist() == retrieval.nearest(query, 5).tolist()
    (index,) = folder.glob("index-*")
    index.write_bytes(index.read_bytes()[:-1] + b"x")
    with pytest.raises(MapError, match=r"index-.*damaged"):
        Map.open(folder).retrieval()


def test_views_of_earlier_maps_have_one_scale_for_both_directions():
    view, landmarks = reference_view(0)
    tensors = view_to_tensors(view, landmarks)
    tensors["scales"] = tensors["scales"][:, 0]
    check_view({name: tensor.numpy() for name, tensor in tensors.items()}, view.camera)
    assert torch.equal(features_from_tensors(tensors, view.camera).scales, view.features.scales)
