"""What robots keep for their map: written whole, read back as it was, refused by name where it is damaged."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fuzzing import FUZZ_FACTOR
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import SMALL, rigid_of, rigids, textured_image

from deviloc_ros.imaging import read_gray
from deviloc_ros.sources.base import SourceError
from deviloc_ros.sources.contributions import (
    Contribution,
    delete_contribution,
    measure_contribution,
    pack_contribution,
    parse_contribution,
    read_contributions,
    write_contribution,
)

GRAY = textured_image(np.random.default_rng(0))
USED = np.indices(GRAY.shape)[1] > 100


def make_entry(pose, name="17", inliers=40) -> Contribution:
    return Contribution(name, Path(), SMALL, pose, np.diag([1e-4] * 3 + [1e-5] * 3), inliers, "abc")


def write(folder, entry, used=None) -> None:
    folder.mkdir(exist_ok=True)
    write_contribution(folder, entry.name, pack_contribution(entry, GRAY, used))


@given(pose=rigids, inliers=st.integers(0, 5000), masked=st.booleans())
@settings(max_examples=10)
def test_what_is_written_is_read(tmp_path_factory, pose, inliers, masked):
    folder = tmp_path_factory.mktemp("kept")
    write(folder, make_entry(pose, inliers=inliers), USED if masked else None)
    ((entry,), skipped) = read_contributions(folder)
    assert not skipped and (entry.name, entry.camera, entry.inliers, entry.map_id) == ("17", SMALL, inliers, "abc")
    np.testing.assert_allclose(entry.cam_from_world.matrix(), pose.matrix(), atol=1e-9)
    np.testing.assert_allclose(entry.covariance, make_entry(pose).covariance)
    assert np.abs(read_gray(entry.path).astype(int) - GRAY).mean() < 3
    assert (entry.mask is not None) == masked
    if entry.mask:
        assert not entry.mask.read((320, 240))[:, :100].any() and entry.mask.read((320, 240))[:, 120:].all()
    assert entry.to_posed_image().name == "17.jpg"


def test_an_entry_is_measured_and_deleted_whole(tmp_path):
    write(tmp_path, make_entry(rigid()), USED)
    assert measure_contribution(tmp_path, "17") == sum(path.stat().st_size for path in tmp_path.iterdir())
    delete_contribution(tmp_path, "17")
    assert list(tmp_path.iterdir()) == []


def rigid():
    return rigid_of((0.1, 0.2, 0.3), (1, 2, 3))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rotation_xyzw": [0, 0, 0, 0]}, "not valid"),
        ({"translation_m": [0, float("nan"), 0]}, "not valid"),
        ({"covariance": [[1.0]]}, "reshape"),
        ({"covariance": (-np.eye(6)).tolist()}, "not positive"),
        ({"covariance": np.full((6, 6), np.inf).tolist()}, "not finite"),
        ({"camera": {"model": "PINHOLE", "width": 320, "height": 240, "params": [1]}}, "PINHOLE"),
        ({"camera": None}, "None"),
        ({"inliers": None}, "NoneType"),
    ],
)
def test_a_damaged_entry_is_named(tmp_path, change, says):
    write(tmp_path, make_entry(rigid()))
    write(tmp_path, make_entry(rigid(), "18"))
    file = tmp_path / "17.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    entries, (skipped,) = read_contributions(tmp_path)
    assert [entry.name for entry in entries] == ["18"] and skipped.name == "17"
    assert "17.json" in skipped.why and says in skipped.why


def test_a_missing_field_or_image_is_named(tmp_path):
    write(tmp_path, make_entry(rigid()))
    (tmp_path / "17.jpg").rename(tmp_path / "elsewhere.jpg")
    assert "17.jpg: not found" in read_contributions(tmp_path)[1][0].why
    (tmp_path / "17.json").write_text("{}")
    assert "field 'camera' is missing" in read_contributions(tmp_path)[1][0].why
    (tmp_path / "17.json").write_text("[" * 100_000)
    assert "17.json" in read_contributions(tmp_path)[1][0].why


def test_a_folder_that_is_none_or_empty_is_named(tmp_path):
    for folder, says in ((tmp_path / "nowhere", "no such folder"), (tmp_path, "holds no contribution")):
        with pytest.raises(SourceError, match=f"{folder.name}: {says}"):
            read_contributions(folder)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)
FIELDS = ("camera", "rotation_xyzw", "translation_m", "covariance", "inliers", "map_id")


@given(content=json_values | st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, json_values)))
@settings(max_examples=100 * FUZZ_FACTOR)
def test_other_json_is_refused_and_nothing_else_is_raised(content):
    with pytest.raises((KeyError, ValueError, TypeError, OverflowError)):
        parse_contribution("17", Path("17.jpg"), content)


def test_an_entry_that_cannot_be_written_leaves_nothing(tmp_path):
    files = pack_contribution(replace(make_entry(rigid()), name="a"), GRAY, None)
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OSError, match=r"a\.json"):
        write_contribution(tmp_path, "a", files)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
