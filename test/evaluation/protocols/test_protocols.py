"""The fixed protocols are what the data's README says they are."""

import pytest

from deviloc_ros.evaluation.protocols.scenes import (
    CALIBRATION_PROTOCOLS,
    JOINED_PROTOCOLS,
    PROTOCOLS,
    add_kitchen_depth,
    frame_number,
    load_protocol,
)
from deviloc_ros.sources.base import SourceError
from deviloc_ros.sources.depth_images import read_depth

COUNTS = {  # folds, map images of the first fold, queries of all folds
    "kitchen-12": (1, 50, 50),
    "kitchen-36": (1, 17, 50),
    "kitchen-72": (1, 9, 50),
    "fountain-loo": (11, 10, 11),
    "entry-loo": (10, 9, 10),
    "drive-even": (1, 13, 13),
    "drive-sparse": (1, 7, 19),
    "joined-12": (1, 50, 73),
    "kitchen-back-8": (1, 50, 50),
    "kitchen-back-24": (1, 17, 50),
    "kitchen-back-72": (1, 6, 50),
    "joined-back-8": (1, 50, 50),
    "kitchen-depth-72": (1, 9, 50),
    "kitchen-depth-144": (1, 5, 50),
}


def test_these_are_all_protocols():
    assert tuple(COUNTS) == PROTOCOLS + JOINED_PROTOCOLS + CALIBRATION_PROTOCOLS


@pytest.mark.data
@pytest.mark.parametrize("name", COUNTS)
def test_each_protocol_has_its_images(data, name):
    protocol = load_protocol(name, data)
    folds, mapped, queries = COUNTS[name]
    assert (len(protocol.folds), len(protocol.folds[0].map_images)) == (folds, mapped)
    assert sum(len(fold.queries) for fold in protocol.folds) == queries
    assert protocol.relative_to_scene == name.endswith("-loo")
    for fold in protocol.folds:
        assert not {image.name for image in fold.map_images} & {query.name for query in fold.queries}
    assert all(image.path.is_file() for image in protocol.images)


@pytest.mark.data
def test_the_kitchen_is_mapped_from_one_sequence_and_asked_from_the_other(data):
    (fold,) = load_protocol("kitchen-12", data).folds
    assert [frame_number(image) for image in fold.map_images] == list(range(0, 589, 12))
    assert [frame_number(query) for query in fold.queries] == list(range(0, 393, 8))
    assert {image.name[:6] for image in fold.map_images} == {"seq-01"}
    assert {query.name[:6] for query in fold.queries} == {"seq-02"}
    assert fold.map_images[0].camera.focal_px == pytest.approx(525.75, abs=0.05)


@pytest.mark.data
def test_what_calibrates_shares_no_image_with_what_is_reported(data):
    kitchen = PROTOCOLS[:3]
    assert not names(data, kitchen) & names(data, [name for name in CALIBRATION_PROTOCOLS if "-back-" in name])
    with_depth = names(data, [name for name in CALIBRATION_PROTOCOLS if "-depth-" in name])
    assert not names(data, kitchen[1:]) & with_depth  # these two are reported with depth
    assert not {query.name for query in load_protocol(kitchen[0], data).folds[0].queries} & with_depth


def names(data, protocols) -> set[str]:
    """Of all images of some protocols."""
    folds = [fold for name in protocols for fold in load_protocol(name, data).folds]
    return {image.name for fold in folds for image in fold.map_images + fold.queries}


@pytest.mark.data
def test_depth_lies_beside_the_kitchens_map_images_alone(data):
    (fold,) = load_protocol("kitchen-72", data).folds
    assert all(read_depth(image.depth).max() > 1 for image in add_kitchen_depth(fold.map_images))
    with pytest.raises(SourceError, match=r"depth\.png: not found; of the protocols, only kitchen-12"):
        add_kitchen_depth(fold.queries)


@pytest.mark.data
def test_joined_scenes_lie_apart_and_keep_their_names_apart(data):
    (fold,) = load_protocol("joined-12", data).folds
    assert [len(images) for images in fold.joined] == [6, 5, 13]
    maps = [fold.map_images, *fold.joined]
    names = [image.name for images in [*maps, fold.queries] for image in images]
    assert len(set(names)) == len(names)
    for number, images in enumerate(maps):
        x = [image.cam_from_world.inverse().translation[0] for image in images]
        assert 100 * number - 50 < min(x) and max(x) < 100 * number + 50


@pytest.mark.data
def test_every_keeps_each_nth_query_and_the_whole_map(data):
    (fold,) = load_protocol("kitchen-36", data, every=20).folds
    assert (len(fold.queries), len(fold.map_images)) == (3, 17)
    assert len(load_protocol("fountain-loo", data, every=4).folds) == 3


@pytest.mark.parametrize("name", ["kitchen-13", "garden", ""])
def test_an_unknown_protocol_lists_the_known(tmp_path, name):
    with pytest.raises(ValueError, match="kitchen-12"):
        load_protocol(name, tmp_path)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_missing_data_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=str(tmp_path)):
        load_protocol(name, tmp_path)
