"""Paths that cannot be looked at: what is said names them, and what stands beside a map is not taken for it.

A link to itself fails as what one may not enter does, for root, too.
"""

import os
import shutil
from pathlib import Path

import pytest
from small_maps import reference_view, write_map

from deviloc_ros.imaging import ImageError, read_gray
from deviloc_ros.maps.manifest import LOST_AND_FOUND, find_maps
from deviloc_ros.maps.store import Map, MapError


@pytest.fixture
def house(tmp_path) -> Path:
    """A folder of two maps."""
    write_map(tmp_path / "house" / "ground", [reference_view(number) for number in range(2)])
    shutil.copytree(tmp_path / "house" / "ground", tmp_path / "house" / "first")
    return tmp_path / "house"


def close(path: Path) -> Path:
    """Make it one that cannot be looked at."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(path)
    return path


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("name", ["closed", "x" * 300, "zero\0byte", "closed/below", "ground/manifest.json/below"])
def test_a_map_that_cannot_be_looked_at_is_named(house, name):
    close(house / "closed")
    with pytest.raises(MapError) as error:
        Map.open(find_maps(house / name)[0])
    assert str(house / name.split("/")[0]) in str(error.value)


@pytest.mark.parametrize("spoil", [close, make_pipe])
@pytest.mark.parametrize("kind", ["manifest.json", "landmarks-*", "retrieval-*", "views", "views/*"])
def test_so_is_a_file_of_it(house, kind, spoil):
    folder, (file, *_) = house / "ground", sorted((house / "ground").glob(kind))
    if file.is_dir() and spoil is make_pipe:
        return
    spoil(file)
    with pytest.raises(MapError, match=str(folder)):
        one = Map.open(folder)
        one.landmarks()
        one.retrieval()
        for number in range(len(one)):
            one.view(number)


def test_of_several_maps_none_is_left_out_unseen(house):
    (house / "notes").mkdir()
    assert [path.name for path in find_maps(house)] == ["first", "ground"]
    close(house / LOST_AND_FOUND)
    assert len(find_maps(house)) == 2
    close(house / "attic")
    with pytest.raises(MapError, match="attic"):
        find_maps(house)


def test_what_stands_beside_a_map_that_is_missing_is_not_blamed_for_it(house):
    close(house / "attic")
    with pytest.raises(MapError, match="groun: no such map; did you mean 'ground'"):
        Map.open(find_maps(house / "groun")[0])


@pytest.mark.parametrize("name", ["closed", "x" * 300, "house", "nothing"])
def test_an_image_that_cannot_be_looked_at_is_named(house, name):
    close(house.parent / "closed")
    with pytest.raises(ImageError, match=name):
        read_gray(house.parent / name)
