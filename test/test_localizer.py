"""The whole recipe: right where it knows the place, lost with a reason where it does not."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest
from rooms import Room, render_room, room_config
from worlds import rigid_of

from deviloc_ros.camera import Camera
from deviloc_ros.config_fields import from_dict
from deviloc_ros.evaluation.covariance import measure_consistency
from deviloc_ros.evaluation.metrics import normalised_error_squared
from deviloc_ros.geometry import rotation_distance_deg, translation_distance_m
from deviloc_ros.imaging import read_gray
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.build import build_map
from deviloc_ros.maps.store import Map, MapError
from deviloc_ros.search import orientation, places
from deviloc_ros.search.places import is_supported
from deviloc_ros.sources.colmap import read_model
from deviloc_ros.status import Status
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.types import Evidence, Localized, Lost, Prior

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def localizer(room_map) -> Localizer:
    return Localizer(room_map)


@pytest.fixture(scope="module")
def localizer_of_each_matcher(room_map_of_each_matcher) -> Localizer:
    return Localizer(room_map_of_each_matcher)


def assert_near(result, cam_from_world, translation_m: float, rotation_deg: float) -> None:
    assert isinstance(result, Localized), result
    assert translation_distance_m(result.cam_from_world, cam_from_world) < translation_m
    assert rotation_distance_deg(result.cam_from_world, cam_from_world) < rotation_deg


@pytest.mark.parametrize("with_prior", [True, False], ids=["prior", "no prior"])
def test_views_between_the_mapped_ones_are_localized(localizer_of_each_matcher, room, with_prior):
    for image, pose in zip(room.queries, room.query_poses, strict=True):
        result = localizer_of_each_matcher.localize(image, room.camera, Prior(pose) if with_prior else None)
        assert_near(result, pose, 0.03, 0.5)


@pytest.mark.parametrize("quarter_turns", [0, 3])
def test_an_image_looked_at_ahead_is_localized_as_any_other_and_extracted_once(
    room_map, room, monkeypatch, quarter_turns
):
    """So are images that another map, of the same matcher, was asked for before."""
    plain, ahead = Localizer(room_map), Localizer(room_map)
    other = Localizer(room_map, matcher=ahead.matcher)
    extracted = []
    extract = ahead.matcher.extract
    monkeypatch.setattr(
        ahead.matcher, "extract", lambda *image, **how: (extracted.append(1), extract(*image, **how))[1]
    )
    for image, pose in zip(room.queries, room.query_poses, strict=True):
        pixels = np.rot90(image, quarter_turns)
        camera, turned = turn_camera_and_pose(quarter_turns, room.camera, pose)
        prior, known, watch = Prior(turned), {}, Stopwatch()
        expected = plain.localize(pixels, camera, prior)
        ahead.look_ahead(pixels, camera, None, "", known, watch)
        count = len(extracted)
        for localizer in (ahead, other):
            result = localizer.localize(pixels, camera, prior, extracted=known)
            assert np.array_equal(result.cam_from_world.matrix(), expected.cam_from_world.matrix())
        assert "extract" in watch.stages_ms
    # From the second image on it is known how the camera is mounted, and all is extracted ahead.
    assert len(extracted) == count


def turn_camera_and_pose(quarter_turns: int, camera: Camera, cam_from_world) -> tuple[Camera, pycolmap.Rigid3d]:
    """The camera and pose of an image that is turned counterclockwise."""
    fx, fy, cx, cy = camera.params
    turned = Camera("PINHOLE", camera.height, camera.width, (fy, fx, cy, cx)) if quarter_turns % 2 else camera
    return turned, rigid_of([0, 0, -np.pi / 2 * quarter_turns], [0, 0, 0]) * cam_from_world


@pytest.mark.parametrize("with_prior", [True, False], ids=["prior", "no prior"])
@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_camera_mounted_sideways_or_upside_down_is_localized(room_map, room, quarter_turns, with_prior):
    """Its image is the upright one turned; what worked for one is tried first for the next."""
    localizer = Localizer(room_map)
    for image, pose in zip(room.queries, room.query_poses, strict=True):
        camera, turned = turn_camera_and_pose(quarter_turns, room.camera, pose)
        result = localizer.localize(np.rot90(image, quarter_turns), camera, Prior(turned) if with_prior else None)
        assert_near(result, turned, 0.03, 0.5)
    assert localizer.habits[""].turns.usual == 4 - quarter_turns


def assert_only_the_right_way_round_is_a_pose(room_map, room, quarter_turns, with_prior, is_bare=False):
    for image, pose in zip(room.queries, room.query_poses, strict=True):
        camera, turned = turn_camera_and_pose(quarter_turns, room.camera, pose)
        for pixels in (image, image[:, ::-1]):
            prior = Prior(turned) if with_prior else None
            result = Localizer(room_map).localize(np.rot90(pixels, quarter_turns), camera, prior)
            if pixels is not image:
                assert isinstance(result, Lost)
            elif not is_bare:
                assert_near(result, turned, 0.03, 0.5)
            elif isinstance(result, Localized):
                assert_near(result, turned, 0.1, 2)


MIRRORED = [(turns, with_prior) for turns in range(4) for with_prior in (True, False)]


@pytest.mark.parametrize(
    ("quarter_turns", "with_prior"),
    [pytest.param(*case, marks=[] if case in ((0, True), (1, False)) else [pytest.mark.long]) for case in MIRRORED],
)
def test_a_mirrored_image_of_the_place_is_no_pose(room_map, room, quarter_turns, with_prior):
    """Some things of the room are alike on their left and right: they look the same in it."""
    assert_only_the_right_way_round_is_a_pose(room_map, room, quarter_turns, with_prior)


def build_room(seed: int, folder: Path) -> tuple[Map, Room]:
    room = render_room(seed, folder)
    room.build(folder / "map")
    return Map.open(folder / "map"), room


# Seeds of rooms of which upside down, mirrored or not, a part fits
@pytest.fixture(scope="module", params=[8, pytest.param(9, marks=pytest.mark.long)])
def room_that_is_alike(request, tmp_path_factory):
    return build_room(request.param, tmp_path_factory.mktemp("alike"))


@pytest.mark.parametrize("quarter_turns", [pytest.param(0, marks=pytest.mark.long), 2])
def test_where_things_are_alike_at_their_top_and_bottom_only_the_right_way_round_is_a_pose(
    room_that_is_alike, quarter_turns
):
    assert_only_the_right_way_round_is_a_pose(*room_that_is_alike, quarter_turns, with_prior=False)


@pytest.mark.long
@pytest.mark.parametrize("seed", [12, 29, 103, *range(200, 206)])
def test_in_other_rooms_only_the_right_way_round_is_a_pose(seed, tmp_path):
    """Some rooms are nearly bare, and images of these are lost or less exact."""
    room_map, room = build_room(seed, tmp_path)
    for quarter_turns in range(4):
        for with_prior in (True, False):
            assert_only_the_right_way_round_is_a_pose(room_map, room, quarter_turns, with_prior, is_bare=True)


def test_an_image_that_fits_in_part_is_looked_at_all_orientation_until_the_camera_is_known():
    fits, fits_in_part = 0.9, 0.4
    habits = orientation.CameraHabits()
    assert habits.orientations_to_compare(fits, 0, False) == []
    assert len(habits.orientations_to_compare(fits_in_part, 0, True)) == 7
    assert orientation.Orientation(0) not in habits.orientations_to_compare(fits_in_part, 0, True)
    habits.turns.note_success(1)
    mirrored = [orientation.Orientation(turns, mirrored=True) for turns in range(4)]
    assert (
        habits.orientations_to_compare(fits_in_part, 1, True) == mirrored
        and len(habits.orientations_to_compare(fits_in_part, 0, True)) == 7
    )


def test_a_camera_that_does_not_mirror_is_not_asked_again_unless_an_image_hardly_fits():
    fits_in_part, doubtful = 0.4, 0.25
    habits = orientation.CameraHabits()
    habits.turns.note_success(0)
    for _ in range(orientation.PATIENCE):
        assert len(habits.orientations_to_compare(fits_in_part, 0, True)) == 4
        habits.mirroring.note(mirrored=False)
    assert habits.orientations_to_compare(fits_in_part, 0, True) == []
    assert len(habits.orientations_to_compare(doubtful, 0, True)) == 4
    assert len(habits.orientations_to_compare(fits_in_part, 1, True)) == 7
    assert habits.orientations_to_compare(fits_in_part, 0, False) == [orientation.Orientation(0, mirrored=True)]

    def count_asked(ratio: float, images: int) -> int:
        asked = 0
        for _ in range(images):
            habits.mirroring.note(mirrored=False)
            asked += bool(habits.orientations_to_compare(ratio, 0, True))
        return asked

    assert count_asked(fits_in_part, orientation.SURE - 1 - orientation.PATIENCE) == 2
    assert count_asked(doubtful, 2 * orientation.HARDLY_EVER) == 2
    habits.mirroring.note(mirrored=True)
    assert len(habits.orientations_to_compare(fits_in_part, 0, True)) == 4


def test_an_image_that_fits_in_part_is_a_pose_if_it_fits_no_better_another_way_round(room_map, room, monkeypatch):
    monkeypatch.setattr(orientation, "CLEAR_RATIO", 1.1)
    for image, pose in zip(room.queries, room.query_poses, strict=True):
        result = Localizer(room_map).localize(image, room.camera)
        assert_near(result, pose, 0.03, 0.5)
        assert "mirror" in result.evidence.stages_ms


def test_an_image_that_contradicts_its_calibration_is_not_turned(room_map, room, monkeypatch):
    localizer, tried = Localizer(room_map), []
    monkeypatch.setattr(localizer, "localize_query", lambda *args: tried.append(args) or Lost(Status.MISCALIBRATED))
    assert localizer.localize(room.queries[0], room.camera).reason is Status.MISCALIBRATED
    assert len(tried) == 1


def test_an_image_that_fits_nowhere_is_not_turned_each_time(room_map, room):
    localizer, upright = Localizer(room_map), Localizer(room_map)
    noise = [RNG(seed).integers(0, 255, (240, 320), np.uint8) for seed in range(5)]
    tried = [localizer.localize(image, room.camera).evidence.stages_ms for image in noise]
    assert len(tried) == localizer.habits[""].turns.failures == 5 and localizer.habits[""].turns.to_try(True) == [0]
    upright.habits[""].turns.failures = 1
    assert upright.habits[""].turns.to_try(True) == [0, 1, 2, 3] and upright.habits[""].turns.to_try(False) == [0]


def test_a_camera_that_is_followed_is_turned_only_now_and_then():
    turns = orientation.TurnHabit()
    assert len(turns.to_try(True, is_followed=True)) == 4  # nobody knows yet how it is mounted
    turns.note_success(3)
    assert turns.to_try(True, is_followed=True) == [3] and turns.to_try(True) == [3, 0, 1, 2]
    tried = []
    for _ in range(4 * orientation.RARELY):
        tried.append(len(turns.to_try(True, is_followed=True)))
        turns.note_failure()
    assert tried.count(4) == 4 and tried[: orientation.RARELY - 1] == [1] * (orientation.RARELY - 1)


def test_a_result_says_what_it_rests_on(localizer, room):
    result = localizer.localize(room.queries[0], room.camera)
    evidence = result.evidence
    assert evidence.inliers >= 30 and 0.1 < evidence.inlier_ratio <= 1 and 0.1 < evidence.coverage <= 1
    assert len(evidence.references) in (2, 5) and set(evidence.references) <= {image.name for image in room.images}
    stages = list(evidence.stages_ms)
    assert (stages[0], stages[-1]) == ("extract", "pose")
    assert np.linalg.eigvalsh(result.covariance).min() > 0


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_wrong_focal_length_is_noticed(localizer, room, factor):
    right = [localizer.localize(image, room.camera) for image in room.queries]
    wrong = [localizer.localize(image, room.camera.scale_focal(factor)) for image in room.queries]
    assert all(isinstance(result, Localized) for result in right)
    assert [result.reason for result in wrong] == [Status.MISCALIBRATED] * len(wrong)
    for result in wrong:
        assert result.evidence.intrinsics.focal_scale == pytest.approx(1 / factor, abs=0.02)


def test_the_same_image_gives_the_same_pose(localizer, room):
    first, second = (localizer.localize(room.queries[1], room.camera) for _ in range(2))
    np.testing.assert_array_equal(first.cam_from_world.matrix(), second.cam_from_world.matrix())


def test_gray_and_color_give_one_pose(localizer, room):
    color = room.queries[0]
    gray = localizer.localize(np.rint(color @ [0.114, 0.587, 0.299]).astype(np.uint8), room.camera)
    assert_near(gray, localizer.localize(color, room.camera).cam_from_world, 0.01, 0.2)


IMAGES_OF_NOTHING = {
    "black": np.zeros((240, 320), np.uint8),
    "white": np.full((240, 320, 3), 255, np.uint8),
    "noise": RNG(0).integers(0, 255, (240, 320), np.uint8),
    "coloured noise": RNG(1).integers(0, 255, (240, 320, 3), np.uint8),
    "gradient": np.tile(np.linspace(0, 255, 320).astype(np.uint8), (240, 1)),
}


def assert_lost_with_a_reason(localizer: Localizer, room: Room, name: str) -> None:
    for prior in (None, Prior(room.query_poses[0])):
        result = localizer.localize(IMAGES_OF_NOTHING[name], room.camera, prior)
        assert isinstance(result, Lost) and isinstance(result.reason, Status), result


@pytest.mark.parametrize("name", IMAGES_OF_NOTHING)
def test_images_of_nothing_are_lost_with_a_reason(localizer, room, name):
    assert_lost_with_a_reason(localizer, room, name)


def test_noise_is_lost_with_a_reason_by_each_matcher(localizer_of_each_matcher, room):
    assert_lost_with_a_reason(localizer_of_each_matcher, room, "noise")


def test_an_image_of_one_pixel_is_lost(localizer_of_each_matcher):
    camera = Camera("PINHOLE", 1, 1, (1.0, 1.0, 0.0, 0.0))
    result = localizer_of_each_matcher.localize(np.zeros((1, 1), np.uint8), camera)
    assert isinstance(result, Lost) and result.reason is Status.NO_FEATURES


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((480, 640), np.uint8),
        np.zeros((240, 320), np.float32),
        np.zeros((240, 320, 4), np.uint8),
        np.zeros((0, 0), np.uint8),
        np.zeros(76800, np.uint8),
    ],
    ids=["size", "dtype", "channels", "empty", "flat"],
)
def test_images_that_contradict_their_camera_are_lost_with_the_numbers(localizer, room, image):
    result = localizer.localize(image, room.camera)
    assert isinstance(result, Lost) and result.reason is Status.BAD_IMAGE and result.detail


def test_a_prior_far_from_the_map_finds_no_references(localizer, room):
    far = Prior(rigid_of([0, 0, 0], [900, 0, 0]), radius_m=5)
    result = localizer.localize(room.queries[0], room.camera, far)
    assert isinstance(result, Lost) and result.reason is Status.NO_REFERENCES


def test_a_prior_that_is_a_little_off_does_no_harm(localizer, room):
    off = rigid_of([0.05, -0.05, 0.02], [0.1, 0.1, -0.1]) * room.query_poses[2]
    assert_near(localizer.localize(room.queries[2], room.camera, Prior(off, 2.0, 60.0)), room.query_poses[2], 0.03, 0.5)


@pytest.mark.parametrize(
    ("refine", "rough", "used", "matched"),
    [
        (True, "", slice(2, 5), [3]),  # a rough pose is enough
        (True, "none", slice(2, 5), [3, 2]),
        (True, "elsewhere", slice(2, 5), [3, 2]),
        (False, "", slice(0, 3), [3]),
    ],
)
def test_what_was_found_without_a_prior_is_a_prior(room_map, room, monkeypatch, refine, rough, used, matched):
    """The views nearest to it are matched, those that were before not again."""
    views, calls = [room_map.view(number) for number in range(5)], []
    localizer = Localizer(room_map, from_dict(room_map.config, {"retrieval": {"refine": refine, "few": 5}}))
    match = localizer.matcher.match

    def noting(query, references, useful=None):
        calls.append(len(references))
        return match(query, references, useful)

    monkeypatch.setattr(room_map, "alike_views", lambda *_: views[:3])
    monkeypatch.setattr(room_map, "nearby_views", lambda *_: views[2:])
    monkeypatch.setattr(localizer.matcher, "match", noting)
    if rough:
        elsewhere = rigid_of([0, 0, 0], [2, 0, 0]) * room.query_poses[1], 30
        monkeypatch.setattr(places, "locate_roughly", lambda *_: elsewhere if rough == "elsewhere" else None)
    result = localizer.localize(room.queries[1], room.camera)
    assert_near(result, room.query_poses[1], 0.03, 0.5)
    assert result.evidence.references == tuple(view.name for view in views[used]) and calls == matched
    calls.clear()
    localizer.localize(room.queries[1], room.camera, Prior(room.query_poses[1]))
    localizer.localize(room.queries[1], room.camera, candidates=[views[0].name])
    assert calls == [3, 1]  # with a prior, or views that were named, once


@pytest.mark.parametrize(("sure_std", "matched"), [(1.0, [2]), (0.0, [2, 3])])
def test_more_views_are_matched_only_where_few_leave_doubt(room_map, room, monkeypatch, sure_std, matched):
    localizer, calls = Localizer(room_map, from_dict(room_map.config, {"retrieval": {"sure_std": sure_std}})), []
    match = localizer.matcher.match

    def noting(query, references, useful=None):
        calls.append(len(references))
        return match(query, references, useful)

    monkeypatch.setattr(localizer.matcher, "match", noting)
    result = localizer.localize(room.queries[1], room.camera, Prior(room.query_poses[1]))
    assert_near(result, room.query_poses[1], 0.03, 0.5)
    assert calls == matched and len(result.evidence.references) == sum(matched)


def test_what_the_views_near_it_say_counts_unless_it_is_nothing_or_rests_on_far_less():
    def pose_of(inliers: int) -> Localized:
        return Localized(rigid_of([0, 0, 0], [0, 0, 0]), np.eye(6), Evidence(inlier_mask=np.ones(inliers, bool)))

    found, fewer, far_fewer = pose_of(100), pose_of(50), pose_of(49)
    lost = Lost(Status.LOW_COVERAGE, evidence=pose_of(200).evidence)
    assert is_supported(fewer, found)
    assert not is_supported(far_fewer, found) and not is_supported(lost, found)


def test_another_matcher_than_the_maps_is_refused_at_once(room_map):
    with pytest.raises(MapError, match="built with matcher 'xfeat'"):
        Localizer(room_map, room_config("xfeat-lighterglue"))


def test_stricter_gates_are_obeyed(room_map, room):
    strict = from_dict(room_map.config, {"pose": {"min_inliers": 5000}})
    result = Localizer(room_map, strict).localize(room.queries[0], room.camera)
    assert isinstance(result, Lost) and result.reason in (Status.FEW_CORRESPONDENCES, Status.NO_FEATURES)


@pytest.fixture(scope="module")
def kitchen(data, tmp_path_factory):
    """A localizer in eight views of the real kitchen, and the posed images of its second sequence."""
    folder = data / "7scenes" / "redkitchen"
    images = read_model(folder / "sfm_gt", folder).images
    mapped = [image for image in images if image.name.startswith("seq-01")][:96:12]
    path = tmp_path_factory.mktemp("kitchen") / "kitchen.map"
    build_map(mapped, path, room_config(), quiet=True)
    return Localizer(Map.open(path)), images


@pytest.fixture(scope="module")
def kitchen_results(kitchen):
    """Results and true poses of sixteen queries near the map."""
    localizer, images = kitchen
    centres = np.array([record.cam_from_world.tgt_origin_in_src() for record in localizer.map.records])
    queries = [image for image in images if image.name.startswith("seq-02")]
    apart = [np.linalg.norm(centres - image.cam_from_world.tgt_origin_in_src(), axis=1).min() for image in queries]
    nearest = [queries[number] for number in np.argsort(apart)[:32:2]]
    return [
        (localizer.localize(read_gray(query.path), query.camera, Prior(query.cam_from_world)), query.cam_from_world)
        for query in nearest
    ]


@pytest.mark.data
def test_real_queries_are_localized(kitchen_results):
    for result, cam_from_world in kitchen_results:
        assert_near(result, cam_from_world, 0.05, 5.0)


@pytest.mark.data
def test_covariances_of_the_kitchen_are_consistent(kitchen_results):
    figures = measure_consistency([normalised_error_squared(result, truth) for result, truth in kitchen_results])
    assert 0.2 < figures["median_nees_ratio"] < 2.0 and figures["inside_99"] >= 0.75


@pytest.mark.data
def test_another_place_is_lost(kitchen, data):
    localizer, _ = kitchen
    fountain = data / "strecha" / "fountain-P11"
    for query in read_model(fountain / "sfm_gt", fountain / "images").images[::3]:
        result = localizer.localize(read_gray(query.path), query.camera)
        assert isinstance(result, Lost), (query.name, result)
