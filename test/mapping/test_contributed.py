"""A map takes what robots kept where the images say the same as the poses, and names what it refuses."""

import re
from pathlib import Path
from shutil import copytree

import cv2
import numpy as np
import pycolmap
import pytest
from worlds import rigid_of, textured_image

from deviloc_ros.cli import run_command
from deviloc_ros.config import ContributeConfig
from deviloc_ros.geometry import translation_distance_m
from deviloc_ros.imaging import read_gray
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping import contributed
from deviloc_ros.mapping.contributed import add_contributions
from deviloc_ros.maps.edit import align_map, drop_views
from deviloc_ros.maps.store import Map, MapError
from deviloc_ros.matching.xfeat import XFeatSemiDense
from deviloc_ros.sources.base import SourceError
from deviloc_ros.sources.contributions import Contribution, pack_contribution, write_contribution
from deviloc_ros.types import Localized, Prior

WANTED = ContributeConfig(few_inliers=1200, spacing_m=0.05)  # views of the room stand 5 cm apart
MAP_ID = [""]  # of the map below
COVARIANCE = np.diag([1e-4] * 3 + [1e-6] * 3)


@pytest.fixture(scope="module")
def sparse_map(room, tmp_path_factory) -> Path:
    """Every second view of the room."""
    folder = tmp_path_factory.mktemp("sparse") / "a.map"
    room.build(folder, images=room.images[::2])
    MAP_ID[0] = Map.open(folder).identity
    return folder


def keep(folder: Path, room, number: int, name: str = "", pose=None, gray=None, map_id: str | None = None) -> None:
    """Keep the room's image of that number, with the pose it has."""
    image = room.images[number]
    folder.mkdir(exist_ok=True)
    pose = pose or image.cam_from_world
    entry = Contribution(
        name or str(number), Path(), image.camera, pose, COVARIANCE, 100, MAP_ID[0] if map_id is None else map_id
    )
    gray = read_gray(image.path) if gray is None else gray
    write_contribution(folder, entry.name, pack_contribution(entry, gray, None))


def test_contributions_that_agree_are_added_and_a_disturbed_one_is_named(sparse_map, room, tmp_path):
    folder = copytree(sparse_map, tmp_path / "a.map")
    keep(tmp_path / "kept", room, 1)
    keep(tmp_path / "kept", room, 3, "off by 20 cm", room.images[3].cam_from_world * rigid_of((0, 0, 0), (0.2, 0, 0)))
    keep(tmp_path / "kept", room, 3, "turned", rigid_of((0, 0.05, 0), (0, 0, 0)) * room.images[3].cam_from_world)
    keep(tmp_path / "kept", room, 3, "of elsewhere", gray=textured_image(np.random.default_rng(0)))
    report = add_contributions(folder, tmp_path / "kept", WANTED, quiet=True)
    refused = {entry.name: entry.why for entry in report.refused}
    assert report.added == 1 and sorted(refused) == ["of elsewhere", "off by 20 cm", "turned"]
    assert re.search(r"pose is 0\.(19|2)", refused["off by 20 cm"]) and "off what its image says" in refused["turned"]
    assert "nothing confirms its pose" in refused["of elsewhere"]
    grown = Map.open(folder)
    assert "1.jpg" in grown and len(grown) == len(Map.open(sparse_map)) + 1
    result = Localizer(grown).localize(
        read_gray(room.images[1].path), room.camera, Prior(room.images[1].cam_from_world)
    )
    assert isinstance(result, Localized) and "1.jpg" in result.evidence.references


def test_contributions_are_adjusted_to_the_map_and_to_each_other(sparse_map, room, tmp_path):
    folder = copytree(sparse_map, tmp_path / "a.map")
    rng, off_m = np.random.default_rng(0), 0.008
    numbers = range(1, len(room.images), 2)
    for number in numbers:
        direction = rng.normal(size=3)
        moved = rigid_of((0, 0, 0), off_m * direction / np.linalg.norm(direction))
        keep(tmp_path / "kept", room, number, pose=moved * room.images[number].cam_from_world)
    report = add_contributions(folder, tmp_path / "kept", WANTED, quiet=True)
    assert report.added == len(numbers)
    poses = {record.name: record.cam_from_world for record in Map.open(folder).records}
    errors_m = [translation_distance_m(poses[f"{n}.jpg"], room.images[n].cam_from_world) for n in numbers]
    assert np.mean(errors_m) < 0.7 * off_m and max(errors_m) < off_m  # the room is small: a few views, 10 cm apart
    before = {record.name: record.cam_from_world.matrix() for record in Map.open(sparse_map).records}
    assert all((poses[name].matrix() == pose).all() for name, pose in before.items())  # the map's views stay


def test_features_are_extracted_once_before_views_are_made_and_the_map_is_the_same(
    sparse_map, room, tmp_path, monkeypatch
):
    """Views are made with dense features as well, which are too large to be kept till then."""
    for number in (1, 3):
        keep(tmp_path / "kept", room, number)
    extracted, extract, adjust = [], XFeatSemiDense.extract, contributed.adjust_to_map

    def count(self, image, *, keep_dense=False, used=None):
        extracted.append(keep_dense)
        return extract(self, image, keep_dense=keep_dense, used=used)

    monkeypatch.setattr(XFeatSemiDense, "extract", count)
    once, again = (copytree(sparse_map, tmp_path / name) for name in ("once.map", "again.map"))
    assert add_contributions(once, tmp_path / "kept", WANTED, quiet=True).added == 2
    assert extracted.count(False) == 2
    monkeypatch.setattr(
        contributed, "adjust_to_map", lambda there, images, _, *others: adjust(there, images, {}, *others)
    )
    assert add_contributions(again, tmp_path / "kept", WANTED, quiet=True).added == 2
    assert extracted.count(False) == 2 + 4
    assert Map.open(once).identity == Map.open(again).identity


def test_what_is_added_twice_or_shown_already_is_not_needed(sparse_map, room, tmp_path):
    folder = copytree(sparse_map, tmp_path / "a.map")
    keep(tmp_path / "kept", room, 1)
    keep(tmp_path / "kept", room, 1, "once more")
    keep(tmp_path / "kept", room, 0, "of a view")
    report = add_contributions(folder, tmp_path / "kept", WANTED, quiet=True)
    assert report.added == 1 and {entry.name for entry in report.needless} == {"once more", "of a view"}
    again = add_contributions(folder, tmp_path / "kept", WANTED, quiet=True)
    assert "a view of this name" in {entry.name: entry.why for entry in again.needless}["1"]


def test_what_was_kept_with_another_map_is_refused_and_with_an_earlier_state_of_this_one_taken(
    sparse_map, room, tmp_path
):
    folder = copytree(sparse_map, tmp_path / "a.map")
    drop_views(folder, [room.images[6].name])
    keep(tmp_path / "kept", room, 1)
    keep(tmp_path / "kept", room, 3, "of another floor", map_id="0123456789abcdef")
    report = add_contributions(folder, tmp_path / "kept", WANTED, quiet=True)
    (refused,) = report.refused
    assert report.added == 1 and refused.name == "of another floor"
    assert "kept with another map (0123456789abcdef)" in refused.why
    assert add_contributions(folder, tmp_path / "kept", WANTED, of_any_map=True, quiet=True).added == 1


def test_nothing_is_added_to_a_map_that_was_moved_while_contributions_were_judged(
    sparse_map, room, tmp_path, monkeypatch
):
    folder = copytree(sparse_map, tmp_path / "a.map")
    keep(tmp_path / "kept", room, 1)
    judge = contributed.judge_contributions

    def judge_slowly(*arguments, **options):
        verdicts = judge(*arguments, **options)
        turn = pycolmap.Sim3d(1.0, pycolmap.Rotation3d(np.array([0, 0, 1.0])), np.array([5.0, 0, 0]))
        align_map(folder, turn, folder, {}, overwrite=True)
        return verdicts

    monkeypatch.setattr(contributed, "judge_contributions", judge_slowly)
    with pytest.raises(MapError, match="another process has changed this map in the meantime"):
        add_contributions(folder, tmp_path / "kept", WANTED, quiet=True)
    assert [r.name for r in Map.open(folder).records] == [r.name for r in Map.open(sparse_map).records]


def test_a_contribution_without_its_picture_is_named(sparse_map, room, tmp_path):
    folder = copytree(sparse_map, tmp_path / "a.map")
    keep(tmp_path / "kept", room, 1)
    (tmp_path / "kept" / "1.jpg").write_bytes(b"no picture")
    keep(tmp_path / "kept", room, 3)
    cv2.imwrite(str(tmp_path / "kept" / "3.jpg"), np.zeros((10, 10), np.uint8))
    report = add_contributions(folder, tmp_path / "kept", WANTED, quiet=True)
    refused = {entry.name: entry.why for entry in report.refused}
    assert report.added == 0 and "1.jpg" in refused["1"] and "10 x 10" in refused["3"]


def test_the_command_says_what_became_of_each(sparse_map, room, tmp_path, capsys):
    folder = copytree(sparse_map, tmp_path / "a.map")
    keep(tmp_path / "kept", room, 1)
    keep(tmp_path / "kept", room, 3, "off", room.images[3].cam_from_world * rigid_of((0, 0, 0), (0.2, 0, 0)))
    assert run_command(["update-map", str(folder), "--contributed", str(tmp_path / "kept")]) == 0
    said = capsys.readouterr().out
    assert re.search(r"1 contributions refused:\n  off: its pose is 0\.[12]", said)
    assert "1 contributions not needed:\n  1: the map shows it" in said and "0 contributions added" in said


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--every", "2"], "--every goes with --colmap, "),
        (["--kitti", "somewhere"], "--kitti does not go with --contributed"),
        (["--mask", "some.png"], "--mask goes with --colmap, "),
        ([], "nowhere: no such folder"),
    ],
)
def test_flags_that_say_nothing_of_contributions_are_named(sparse_map, tmp_path, capsys, flags, says):
    assert run_command(["update-map", str(sparse_map), "--contributed", str(tmp_path / "nowhere"), *flags]) == 2
    assert says in capsys.readouterr().err


def test_an_empty_folder_is_named(sparse_map, tmp_path):
    with pytest.raises(SourceError, match="holds no contribution"):
        add_contributions(sparse_map, tmp_path, quiet=True)
