"""A room in one map with its own copy: the image says that it fits both, and whoever knows more decides."""

import numpy as np
import pycolmap
import pytest

from deviloc_ros.config import TrackingConfig
from deviloc_ros.geometry import isotropic_covariance, translation_distance_m
from deviloc_ros.localizer import Localizer
from deviloc_ros.maps.edit import align_map, merge_maps
from deviloc_ros.maps.look_alikes import find_look_alikes
from deviloc_ros.maps.store import Map
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.follower import Follower
from deviloc_ros.tracking.rig_images import StampedImage
from deviloc_ros.types import Localized, Lost, Prior

APART_M = 10.0
SHIFT = np.array([APART_M, 0.0, 0.0])
IDENTITY = pycolmap.Rigid3d()
PERIOD_NS = 200_000_000


@pytest.fixture(scope="module")
def twin_map(room_folder, tmp_path_factory) -> Map:
    folder = tmp_path_factory.mktemp("twins")
    align_map(room_folder, pycolmap.Sim3d(1.0, pycolmap.Rotation3d(), SHIFT), folder / "copy.map", {})
    merge_maps([room_folder, folder / "copy.map"], folder / "both.map", prefix=True)
    return Map.open(folder / "both.map")


@pytest.fixture(scope="module")
def localizer(twin_map) -> Localizer:
    return Localizer(twin_map)


def in_copy(cam_from_world: pycolmap.Rigid3d) -> pycolmap.Rigid3d:
    """The pose of a camera that stands in the copy as another does in the room."""
    return cam_from_world * pycolmap.Rigid3d(pycolmap.Rotation3d(), -SHIFT)


def test_an_image_that_fits_two_places_gives_no_pose_and_names_both(localizer, room):
    for image, pose in zip(room.queries, room.query_poses, strict=True):
        result = localizer.localize(image, room.camera)
        assert isinstance(result, Lost) and result.reason is Status.AMBIGUOUS
        one, other = result.evidence.places
        assert translation_distance_m(one.cam_from_world, other.cam_from_world) == pytest.approx(APART_M, abs=0.05)
        assert min(translation_distance_m(p.cam_from_world, pose) for p in (one, other)) < 0.03
        assert str(one) in result.detail and str(other) in result.detail and one.view != other.view


@pytest.mark.parametrize("where", [lambda pose: pose, in_copy], ids=["room", "copy"])
def test_a_prior_decides_unless_it_reaches_the_other_place(localizer, room, where):
    truth = where(room.query_poses[0])
    near, unsure = Prior(truth, 5.0, 75.0), Prior(truth, 5.0, 75.0, rivals_m=APART_M + 1)
    result = localizer.localize(room.queries[0], room.camera, near)
    assert isinstance(result, Localized) and translation_distance_m(result.cam_from_world, truth) < 0.03
    assert result.evidence.in_sight and not result.evidence.everywhere
    ambiguous = localizer.localize(room.queries[0], room.camera, unsure)
    assert isinstance(ambiguous, Lost) and ambiguous.reason is Status.AMBIGUOUS


def test_every_place_that_a_prior_names_is_searched(localizer, room):
    truth = room.query_poses[0]
    prior = Prior(truth, 5.0, 75.0, others=(in_copy(truth),))
    assert len(localizer.localize(room.queries[0], room.camera, prior).evidence.places) == 2


def test_a_room_alone_has_no_double(room_map, room):
    for image in room.queries:
        result = Localizer(room_map).localize(image, room.camera)
        assert isinstance(result, Localized) and len(result.evidence.places) == 1 and result.evidence.everywhere
    assert find_look_alikes(room_map, room_map.config) == []


def test_views_of_one_thing_do_not_look_alike_whatever_geometry_says(room_map, monkeypatch):
    monkeypatch.setattr(room_map, "views_out_of_sight", lambda views, *_: views)
    assert find_look_alikes(room_map, room_map.config) == []


def test_the_map_names_the_places_that_look_alike(twin_map):
    pairs = find_look_alikes(twin_map, twin_map.config)
    assert pairs and all(pair.apart_m == pytest.approx(APART_M, abs=0.5) for pair in pairs)
    assert all(pair.view.split("/")[0] != pair.other.split("/")[0] for pair in pairs)
    assert len(pairs) < len(twin_map)  # views of one place are not listed one by one


@pytest.mark.parametrize("hint", [True, False])
def test_a_robot_told_that_it_is_in_the_copy_stays_there_through_blank_images(localizer, room, hint):
    follower, blank = Follower(localizer, TrackingConfig()), np.full((240, 320), 40, np.uint8)
    truths = [in_copy(pose).inverse() for pose in room.query_poses]
    if hint:
        follower.hint(Fix(0, truths[0], isotropic_covariance(0.5, 0.2), None))
    steps = []
    for number, shown in enumerate([0, None, None, 0, None, 0, 0]):
        pixels, stamp_ns = blank if shown is None else room.queries[shown], (number + 1) * PERIOD_NS
        image = StampedImage(stamp_ns, pixels, room.camera, IDENTITY)
        steps.append(follower.follow([image], lambda *_: None, stamp_ns))
    fixes = [step.fix for step in steps if step.fix is not None]
    assert len(fixes) == (4 if hint else 0)
    assert all(np.linalg.norm(fix.map_from_base.translation - truths[0].translation) < 0.05 for fix in fixes)
    if not hint:
        assert {step.status for step in steps} == {Status.AMBIGUOUS, Status.NO_FEATURES}
