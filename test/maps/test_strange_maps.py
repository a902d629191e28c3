"""Maps that are well signed and absurd, files that are cut while they are used, and files that are not the map's."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from small_maps import reference_view, use_everything, write_map

from deviloc_ros.maps.edit import drop_views
from deviloc_ros.maps.files import hash_file
from deviloc_ros.maps.inspect import find_problems
from deviloc_ros.maps.manifest import hash_manifest
from deviloc_ros.maps.retrieval import index as view_index
from deviloc_ros.maps.retrieval.index import ViewIndex
from deviloc_ros.maps.store import Map, MapError


@pytest.fixture(scope="module")
def three_views(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("maps") / "three.map"
    write_map(folder, [reference_view(number) for number in range(3)])
    return folder


@pytest.fixture
def folder(three_views, tmp_path) -> Path:
    return shutil.copytree(three_views, tmp_path / "a.map")


def change(folder: Path, field: str, **tensors: torch.Tensor | None) -> Path:
    """Put other tensors into a file of the map, and sign it all anew. `field`: of the manifest; "views": the first."""
    manifest = json.loads((folder / "manifest.json").read_text())
    stored = manifest["views"][0] if field == "views" else manifest[field]
    path = folder / stored["file"]
    changed = load_file(path) | tensors
    save_file({name: tensor.contiguous() for name, tensor in changed.items() if tensor is not None}, path)
    stored["sha256"] = hash_file(path)
    manifest["sha256"] = hash_manifest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return path


def values(shape: tuple[int, ...], value: float, **options) -> torch.Tensor:
    return torch.full(shape, value, **options)


ABSURD_VIEWS = {
    "keypoints far away": {"keypoints": values((50, 2), 3e38)},
    "keypoints before the image": {"keypoints": values((50, 2), -1e4)},
    "keypoints as integers": {"keypoints": values((50, 2), 3, dtype=torch.int64)},
    "confidence of 1e30": {"confidence": values((50,), 1e30)},
    "confidence below zero": {"confidence": values((50,), -0.5)},
    "negative depths": {"depths": values((50,), -1.0)},
    "depths of zero": {"depths": values((50,), 0.0)},
    "depths of 1e30": {"depths": values((50,), 1e30)},
    "points of 1e30": {"points_in_world": values((50, 3), 1e30)},
    "points that are none": {"points_in_world": values((50, 3), float("inf"))},
    "scales of zero": {"scales": values((50, 2), 0.0)},
    "scales of 1e30": {"scales": values((50, 2), 1e30)},
    "descriptors that are none": {"descriptors": values((50, 64), float("nan"), dtype=torch.float16)},
    "descriptors as integers": {"descriptors": values((50, 64), 1, dtype=torch.int32)},
    "descriptors of another width": {"descriptors": values((50, 63), 0.1, dtype=torch.float16)},
    "descriptors of no width": {"descriptors": torch.zeros(50, 0)},
    "descriptors as bfloat16": {"descriptors": values((50, 64), 0.1, dtype=torch.bfloat16)},
    "landmarks far away": {"landmark_points_in_world": values((7, 3), 3e38)},
    "landmarks out of the image": {"landmark_keypoints": values((7, 2), 1e5)},
    "negative ids": {"landmark_ids": torch.arange(-7, 0)},
    "ids as floats": {"landmark_ids": torch.zeros(7)},
    "negative deviations": {"landmark_depth_stds": values((7,), -1.0)},
    "another count": {"scores": torch.zeros(49)},
    "no rows": {"keypoints": torch.tensor(1.0)},
}


@pytest.mark.parametrize("case", ABSURD_VIEWS)
def test_an_absurd_view_is_refused_when_it_is_read_and_named_by_check(folder, case):
    path = change(folder, "views", **ABSURD_VIEWS[case])
    name = next(iter(ABSURD_VIEWS[case]))
    with pytest.raises(MapError) as refused:
        use_everything(folder)
    assert name.split("_")[0] in str(refused.value)
    assert any(path.name in line or "descriptors" in line for line in find_problems(folder))
    if name.startswith("landmark"):
        with pytest.raises(MapError, match=path.name):
            Map.open(folder).landmarks_of(0)


@pytest.mark.parametrize(
    ("field", "tensors"),
    [
        ("landmarks", {"ids": torch.zeros(17)}),
        ("landmarks", {"points_in_world": values((17, 3), 3e38)}),
        ("landmarks", {"points_in_world": torch.zeros(3)}),
        ("retrieval", {"descriptors": values((3, 128), float("nan"))}),
        ("retrieval", {"descriptors": torch.zeros(2, 128)}),
        ("retrieval", {"descriptors": torch.zeros(3, 128, dtype=torch.int16)}),
        ("retrieval", {"centroids": torch.zeros(128)}),
        ("retrieval", {"centroids": torch.tensor(1.0)}),
    ],
)
def test_absurd_shared_files_are_refused_and_named_by_check(folder, field, tensors):
    path = change(folder, field, **tensors)
    with pytest.raises(MapError, match=path.name):
        use_everything(folder)
    assert any(path.name in line for line in find_problems(folder))


@pytest.fixture(scope="module")
def small_index() -> dict[str, torch.Tensor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view_index, "CODE_BYTES", 4)
        descriptors = torch.randn(300, 32, generator=torch.Generator().manual_seed(0))
        return ViewIndex.learn(descriptors).to_tensors()


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("codes", torch.full((300, 5), 255, dtype=torch.uint8)),  # list 255 of 34
        ("codes", torch.zeros(300, 5)),
        ("codes", torch.zeros(300, 6, dtype=torch.uint8)),
        ("codebooks", torch.zeros(0, 256, 8)),
        ("codebooks", torch.zeros(5, 256, 6)),
        ("projection", torch.zeros(0, 32)),
        ("centroids", torch.full((34, 32), float("inf"))),
        ("offset", torch.zeros(32, dtype=torch.int64)),
    ],
)
def test_an_absurd_index_is_refused(small_index, name, tensor):
    ViewIndex.from_tensors(small_index, 300, 32)
    with pytest.raises((ValueError, TypeError, IndexError, RuntimeError)):
        ViewIndex.from_tensors(small_index | {name: tensor}, 300, 32)


NUMBERS = st.sampled_from([0.0, -1.0, 1e-30, 1e8, 3e38, -3e38, float("inf"), float("nan"), 2.0**31])
TYPES = st.sampled_from([torch.float32, torch.float16, torch.int64, torch.uint8, torch.bool, torch.float64])


@examples(80)
@given(st.data())
def test_whatever_tensors_a_signed_view_holds_they_are_used_or_refused(three_views, tmp_path_factory, data):
    folder = shutil.copytree(three_views, tmp_path_factory.mktemp("fuzzed") / "a.map")
    path = folder / Map.open(folder).records[0].stored.file
    name = data.draw(st.sampled_from(sorted(load_file(path))))
    shape = tuple(data.draw(st.lists(st.integers(0, 51), max_size=3)))
    whole = load_file(path)[name]
    if data.draw(st.booleans()) and whole.numel():  # one value alone
        tensor = whole.clone().reshape(-1)
        tensor[0] = data.draw(st.sampled_from([0, -1, 1e8, 6e4])) if tensor.is_floating_point() else -5
        tensor = tensor.reshape(whole.shape)
    else:
        tensor = torch.full(shape, data.draw(NUMBERS), dtype=torch.float64).to(data.draw(TYPES))
    change(folder, "views", **{name: tensor})
    try:
        view = use_everything(folder).view(0)
    except MapError as error:
        assert "a.map" in str(error)
        return
    assert np.isfinite(view.lifted.points_in_world).all() and (view.lifted.depths >= 0).all()


# ---- files that are cut, or written over, while the map is used


@pytest.mark.parametrize("how", ["truncated", "written over"])
def test_what_was_read_of_a_map_stays_whole_whatever_becomes_of_its_files(folder, how):
    reference_map = use_everything(folder)
    views = [reference_map.view(number) for number in range(3)]
    before = [view.features.descriptors.sum() for view in views]
    query = torch.ones(128)
    ranked = reference_map.retrieval().nearest(query, 3).tolist()
    for path in folder.rglob("*.safetensors"):
        if how == "truncated":
            os.truncate(path, 0)
        else:
            path.write_bytes(b"\xff" * path.stat().st_size)
    assert [view.features.descriptors.sum() for view in views] == before
    assert reference_map.retrieval().nearest(query, 3).tolist() == ranked
    with pytest.raises(MapError, match="damaged"):
        Map.open(folder).view(0)


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file_is_none(folder, kind):
    path = folder / Map.open(folder).records[0].stored.file
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(MapError, match="missing"):
        Map.open(folder).view(0)


# ---- files that are not the map's


FOREIGN = [
    "my.safetensors",
    "views/mine.safetensors",
    "views/000123.safetensors",
    "landmarks.safetensors",
    "views/notes.txt",
    "views/DEADBEEF0123456789ab.safetensors",
    "retrieval-old.safetensors",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_the_user_survives_every_change(folder, name):
    (folder / name).write_bytes(b"mine")
    drop_views(folder, ["view 0.png"])
    assert (folder / name).read_bytes() == b"mine" and len(Map.open(folder)) == 2


def test_our_own_files_are_cleared_away(folder):
    left = folder / "views" / f"{'0' * 20}.safetensors"
    left.write_bytes(b"of a writer that was killed")
    dropped = folder / Map.open(folder).records[0].stored.file
    drop_views(folder, ["view 0.png"])
    assert not left.exists() and not dropped.exists()


def test_views_behind_a_link_are_not_touched(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (folder / "views").rename(elsewhere)
    (folder / "views").symlink_to(elsewhere)
    before = sorted(elsewhere.iterdir())
    with pytest.raises(MapError, match="link"):
        drop_views(folder, ["view 0.png"])
    assert sorted(elsewhere.iterdir()) == before and len(use_everything(folder)) == 3


def test_a_link_among_the_views_is_left_alone(folder, tmp_path):
    target = tmp_path / "target.safetensors"
    target.write_bytes(b"mine")
    link = folder / "views" / f"{'1' * 20}.safetensors"
    link.symlink_to(target)
    drop_views(folder, ["view 0.png"])
    assert link.is_symlink() and target.read_bytes() == b"mine"


def test_where_a_map_is_written_nothing_of_the_user_is_deleted(folder):
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir()
    (partial / "diary.txt").write_text("mine")
    with pytest.raises(MapError, match=r"diary\.txt"):
        drop_views(folder, ["view 0.png"])
    assert (partial / "diary.txt").read_text() == "mine" and len(use_everything(folder)) == 3


def test_a_link_where_a_map_is_written_is_refused(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "diary.txt").write_text("mine")
    folder.with_name(f".{folder.name}.partial").symlink_to(elsewhere)
    with pytest.raises(MapError, match="link"):
        drop_views(folder, ["view 0.png"])
    assert (elsewhere / "diary.txt").read_text() == "mine"


def test_a_view_of_another_width_than_the_matcher_is_named(folder):
    reference_map = Map.open(folder)
    reference_map.check_matcher("xfeat", descriptor_size=256)
    with pytest.raises(MapError, match="have 64 values, others 256"):
        reference_map.view(0)
    assert replace(reference_map.records[0]).name == "view 0.png"
