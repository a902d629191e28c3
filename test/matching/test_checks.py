"""A matcher of one's own is checked before minutes of work rest on it, and its maps are bound to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deviloc_ros import Localizer, Map, build_map
from deviloc_ros.doctor.checks import examine_matcher
from deviloc_ros.maps.edit import merge_maps
from deviloc_ros.maps.inspect import describe_map
from deviloc_ros.maps.manifest import MANIFEST
from deviloc_ros.maps.store import MapError
from deviloc_ros.matching.base import Matcher
from deviloc_ros.matching.checks import MatcherError
from deviloc_ros.types import Features, Matches


class GridMatcher(Matcher):
    """Pixels of a grid, described by the image around them and matched with those of the same place in the grid."""

    name, descriptor_size, device = "grid", 64, torch.device("cpu")

    def extract(self, image, *, keep_dense=False, used=None):
        rows, columns = np.mgrid[8 : image.shape[0] - 8 : 8, 8 : image.shape[1] - 8 : 8].reshape(2, -1)
        patches = [image[y - 4 : y + 4, x - 4 : x + 4].reshape(64) for x, y in zip(columns, rows, strict=True)]
        places = torch.from_numpy(np.stack([columns, rows], 1)).float()
        described = torch.nn.functional.normalize(torch.from_numpy(np.array(patches)).float() + 1, dim=1)
        return Features(places, described, torch.ones(len(rows)), torch.ones(len(rows), 2), image.shape[::-1])

    def match_on_device(self, query, references, useful):
        rows = np.arange(len(query))
        return [Matches(query.keypoints.numpy(), rows, np.ones(len(rows), np.float32)) for _ in references]


class Nameless(Matcher):
    extract, match_on_device = GridMatcher.extract, GridMatcher.match_on_device


class Orb(GridMatcher):
    name, descriptor_size = "orb", 32

    def extract(self, image, **asked):
        found = super().extract(image, **asked)
        return replace(found, descriptors=found.descriptors[:, :32])


@pytest.fixture(scope="module")
def grid_map(room, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid") / "grid.map"
    build_map(room.images[:3], folder, matcher=GridMatcher(), quiet=True)
    return folder


def with_attributes(matcher, **attributes):
    for name, value in attributes.items():
        setattr(matcher, name, value)
    return matcher


def test_numbers_of_numpy_are_numbers_and_any_sequence_is_images(room, tmp_path):
    matcher = with_attributes(GridMatcher(), descriptor_size=np.int64(64), noise_px=np.float32(1.0))
    build_map(tuple(room.images[:3]), tmp_path / "grid.map", matcher=matcher, quiet=True)
    assert Localizer(tmp_path / "grid.map", matcher=GridMatcher()).map.matcher_name == "grid"


@pytest.mark.parametrize(
    ("matcher", "said"),
    [
        (Nameless(), "Nameless has no attribute 'name'"),
        (with_attributes(Nameless(), name="a", descriptor_size=64), "no attribute 'device'"),
        (with_attributes(GridMatcher(), descriptor_size="64"), "'descriptor_size' must be an int above 0, got '64'"),
        (with_attributes(GridMatcher(), device="cpu"), r"'device' must be a torch\.device"),
        (with_attributes(GridMatcher(), weights_id=None), "'weights_id' must be a str"),
        (with_attributes(GridMatcher(), noise_px=0), "'noise_px' must be a number above 0"),
        ("xfeat", "must be a deviloc_ros.matching.base.Matcher, got str"),
    ],
)
def test_a_matcher_that_says_too_little_is_refused_at_once(room, room_map, tmp_path, matcher, said):
    for use in (
        lambda: build_map(room.images, tmp_path / "a.map", matcher=matcher),
        lambda: Localizer(room_map, matcher=matcher),
    ):
        with pytest.raises(MatcherError, match=said):
            use()
    assert not (tmp_path / "a.map").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"descriptor_size": 32}, r"descriptors of shape \(\d+, 64\), expected \(\d+, 32\), as descriptor_size says"),
        ({"extract": lambda image, **_: None}, "result of extract must be Features, is NoneType"),
        ({"match_on_device": lambda *_: Matches(*np.zeros((3, 0)))}, "must be a list of Matches"),
        (
            {"match_on_device": lambda *_: [Matches(np.zeros((1, 2)), np.array([10**6]), np.ones(1))]},
            "reference_indices that are not rows",
        ),
    ],
)
def test_what_it_gives_is_seen_at_the_first_image(room, tmp_path, changes, said):
    with pytest.raises(MatcherError, match=said):
        build_map(room.images, tmp_path / "a.map", matcher=with_attributes(GridMatcher(), **changes), quiet=True)


def test_a_map_is_bound_to_a_matcher_of_ones_own(room, room_map, grid_map):
    assert Localizer(Map.open(grid_map), matcher=GridMatcher()).map.matcher_name == "grid"
    assert repr(Map.open(grid_map)) == f"<Map '{grid_map}': 3 views, matcher 'grid'>"
    with pytest.raises(MapError, match=r"built with the matcher 'grid', which is not .* pass it to Localizer"):
        Localizer(Map.open(grid_map))
    with pytest.raises(MapError, match="built with matcher 'grid', asked to match with 'orb'"):
        Localizer(Map.open(grid_map), matcher=Orb())
    with pytest.raises(MapError, match="descriptors of 64 values, those of the matcher 'grid' have 32"):
        Localizer(Map.open(grid_map), matcher=with_attributes(GridMatcher(), descriptor_size=32))
    with pytest.raises(MapError, match="built with matcher 'xfeat', asked to match with 'grid'"):
        Localizer(room_map, matcher=GridMatcher())


def test_maps_of_two_matchers_are_not_merged_whichever_is_first(room_map, grid_map, tmp_path):
    for maps in ([room_map.folder, grid_map], [grid_map, room_map.folder]):
        with pytest.raises(MapError, match=r"built with matcher '(grid|xfeat)', .* with '(grid|xfeat)'"):
            merge_maps(maps, tmp_path / "both.map")


def test_who_shows_a_map_shows_its_matcher(grid_map):
    described = list(describe_map(Map.open(grid_map)))
    assert [value for name, value in described if name == "matcher"] == ["grid"]
    assert "matcher grid is not in the package" in examine_matcher(Map.open(grid_map)).what


def test_a_map_of_before_names_were_kept_opens(grid_map, room_map):
    for folder, matcher in ((grid_map, GridMatcher()), (room_map.folder, None)):
        manifest = Map.open(folder).manifest
        old = Map(folder, replace(manifest, provenance=replace(manifest.provenance, matcher="", descriptor_size=None)))
        assert Localizer(old, matcher=matcher).map is old
    assert (grid_map / MANIFEST).is_file()
