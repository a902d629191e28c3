"""Posed images become a map: landmarks on the surfaces, keypoints lifted onto them, and no image lost in silence."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from rooms import QUIET, room_config

from deviloc_ros.camera import Camera
from deviloc_ros.commands.flags.sources import print_report
from deviloc_ros.config_fields import from_dict
from deviloc_ros.geometry import transform_points
from deviloc_ros.mapping.build import build_map
from deviloc_ros.mapping.sensor_correction import DepthOfViews
from deviloc_ros.mapping.views import BuildReport
from deviloc_ros.maps.store import Map
from deviloc_ros.sfm.landmarks import find_nearby_pairs, match_nearby, match_sift, triangulate_landmarks
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sfm.matches import extract_matcher_keypoints
from deviloc_ros.sources.base import Skipped, Source, SourceError
from deviloc_ros.types import Landmarks


def relative_depth_errors(room, cam_from_world, keypoints, points_in_world) -> np.ndarray:
    """|z - z_true| / z_true of points seen at (N, 2) px, against the rendered depth there."""
    columns, rows = np.rint(keypoints).astype(int).T
    true = room.depth(cam_from_world)[rows, columns]
    return np.abs(transform_points(cam_from_world, points_in_world)[:, 2] / true - 1)


def test_landmarks_lie_on_the_surfaces(room, room_map):
    errors = []
    for number, record in enumerate(room_map.records):
        observed = room_map.landmarks_of(number)
        assert len(observed) > 20
        errors.append(relative_depth_errors(room, record.cam_from_world, observed.keypoints, observed.points_in_world))
    errors = np.concatenate(errors)
    assert np.median(errors) < 0.01 and (errors < 0.05).mean() > 0.85


def test_landmarks_reproject_where_they_were_seen(room_map):
    for number, record in enumerate(room_map.records):
        observed = room_map.landmarks_of(number)
        projected = record.camera.project(transform_points(record.cam_from_world, observed.points_in_world))
        assert np.median(np.linalg.norm(projected - observed.keypoints, axis=1)) < 1.0


def test_keypoints_are_lifted_onto_the_surfaces(room, room_map):
    errors, lifted_shares = [], []
    for number, record in enumerate(room_map.records):
        view = room_map.view(number)
        sure = view.lifted.confidence > 0.5
        lifted_shares.append((view.lifted.confidence > 0).mean())
        keypoints = view.features.keypoints.numpy()[sure]
        errors.append(relative_depth_errors(room, record.cam_from_world, keypoints, view.lifted.points_in_world[sure]))
    errors = np.concatenate(errors)
    assert np.mean(lifted_shares) > 0.4
    assert np.median(errors) < 0.05 and (errors < 0.1).mean() > 0.75


def test_the_matchers_own_keypoints_make_landmarks_too(room):
    images = room.images[:4]
    keypoints = extract_matcher_keypoints(Networks(room_config("xfeat-lighterglue")), images, QUIET)
    landmarks = triangulate_landmarks(images, match_nearby(keypoints, images, QUIET))
    errors = np.concatenate(
        [
            relative_depth_errors(
                room, i.cam_from_world, landmarks[i.name].keypoints, landmarks[i.name].points_in_world
            )
            for i in images
        ]
    )
    assert len(errors) > 100 and np.median(errors) < 0.06  # whole pixels, short baselines


def test_two_kinds_of_keypoints_make_more_landmarks(room, tmp_path):
    found = {}
    for source in ("sift", "both"):
        config = from_dict(room_config("xfeat-lighterglue"), {"lift": {"landmark_source": source}})
        build_map(room.images[:4], tmp_path / source, config, quiet=True)
        found[source] = len(Map.open(tmp_path / source).landmarks())
    assert found["both"] > 1.2 * found["sift"]


def test_triangulation_is_deterministic(room):
    first, second = (triangulate_landmarks(room.images[:3], match_sift(room.images[:3], QUIET)) for _ in range(2))
    for name in first:
        np.testing.assert_array_equal(first[name].points_in_world, second[name].points_in_world)


def test_poses_and_cameras_stay_as_given(room, room_map):
    for image, record in zip(room.images, room_map.records, strict=True):
        assert (record.name, record.camera) == (image.name, image.camera)
        np.testing.assert_allclose(record.cam_from_world.matrix(), image.cam_from_world.matrix(), atol=1e-12)


def test_given_landmarks_are_used_as_they_are(room, tmp_path):
    keypoints = np.random.default_rng(0).uniform(10, [310, 230], (60, 2))
    images = []
    for image in room.images[:2]:
        depth = room.depth(image.cam_from_world)[
            keypoints[:, 1].round().astype(int), keypoints[:, 0].round().astype(int)
        ]
        points = transform_points(image.cam_from_world.inverse(), image.camera.rays(keypoints) * depth[:, None])
        images.append(
            replace(image, landmarks=Landmarks.without_stds(np.arange(60) + 60 * len(images), keypoints, points))
        )
    report = room.build(tmp_path / "a.map", images=images, graph=None)
    assert (report.views, report.landmarks) == (2, 120)
    np.testing.assert_allclose(Map.open(tmp_path / "a.map").landmarks_of(0).keypoints, keypoints, rtol=1e-6)


def test_unusable_images_are_listed_with_the_reason(room, tmp_path):
    (tmp_path / "cut.png").write_bytes(room.images[0].path.read_bytes()[:2000])
    wrong_size = replace(room.images[1].camera, width=640, height=480)
    images = [
        *room.images[:3],
        replace(room.images[3], name="missing.png", path=tmp_path / "missing.png"),
        replace(room.images[3], name="cut.png", path=tmp_path / "cut.png"),
        replace(room.images[3], name="wrong.png", camera=wrong_size),
    ]
    report = room.build(tmp_path / "a.map", images=Source(images, [Skipped("early.png", "not registered")]))
    why = {skipped.name: skipped.why for skipped in report.skipped}
    assert report.views == 3 and sorted(why) == ["cut.png", "early.png", "missing.png", "wrong.png"]
    assert "no such image" in why["missing.png"] and "truncated" in why["cut.png"]
    assert "320 x 240 px, its camera says 640 x 480" in why["wrong.png"]


def test_when_no_image_is_left_the_error_lists_them_all(room, tmp_path):
    images = [replace(image, path=tmp_path / image.name) for image in room.images[:2]]
    with pytest.raises(SourceError, match=r"(?s)no usable image is left of 2.*view-0\.png: .*view-1\.png: "):
        room.build(tmp_path / "a.map", images=images)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SourceError, match="there are no images in it"):
        room.build(tmp_path / "a.map", images=[])


def test_two_images_of_one_name_are_refused_before_any_work(room, tmp_path):
    images = [replace(image, path=tmp_path / "nowhere.png") for image in [*room.images, room.images[2]]]
    with pytest.raises(SourceError, match=r"image name 'view-2\.png' occurs more than once"):
        room.build(tmp_path / "a.map", images=images)


def test_images_of_nothing_make_no_map(room, tmp_path):
    black = tmp_path / "black.png"
    cv2.imwrite(str(black), np.zeros((240, 320), np.uint8))
    images = [replace(image, path=black) for image in room.images[:3]]
    with pytest.raises(SourceError, match="no landmark could be triangulated from 3 images"):
        room.build(tmp_path / "a.map", images=images, graph=None)
    assert [path.name for path in tmp_path.iterdir()] == ["black.png"]


def test_a_single_image_is_told_that_one_is_too_few(room, tmp_path):
    with pytest.raises(SourceError, match=r"two images or more, got 1; of a recording, --keyframe-m"):
        room.build(tmp_path / "a.map", images=room.images[:1], graph=None)


def test_lifting_on_landmarks_only_lifts_fewer(room, room_map, tmp_path):
    room.build(tmp_path / "a.map", from_dict(room_config(), {"lift": {"method": "landmarks-only"}}))
    few = Map.open(tmp_path / "a.map").view(2).lifted.confidence > 0
    assert 0 < few.sum() < (room_map.view(2).lifted.confidence > 0).sum()


def test_pairs_are_of_views_that_look_the_same_way(room):
    pairs = find_nearby_pairs(room.images)
    assert all(a < b for a, b in pairs) and len(set(pairs)) == len(pairs)
    assert len(find_nearby_pairs(room.images, pairs_per_view=1)) < len(pairs)
    assert find_nearby_pairs(room.images[:1]) == [] and find_nearby_pairs([]) == []


def test_views_of_two_cameras_make_one_map(room, tmp_path):
    other = Camera("SIMPLE_PINHOLE", 320, 240, (262.0, 159.5, 119.5))
    images = [*room.images[:2], *(replace(image, camera=other) for image in room.images[2:4])]
    room.build(tmp_path / "a.map", images=images)
    assert [record.camera.model for record in Map.open(tmp_path / "a.map").records] == ["PINHOLE"] * 2 + [
        "SIMPLE_PINHOLE"
    ] * 2


def test_what_was_warned_of_is_not_printed_again(capsys):
    notes = {"pose fit": "matches lie far off", "scale": "metres"}
    report = BuildReport(1, 1, 1.0, 1.0, [], DepthOfViews(), notes, warned=frozenset({"pose fit"}))
    print_report(report, "a.map", 1.0)
    said = capsys.readouterr().out
    assert "scale: metres" in said and "matches lie far off" not in said and "pose fit: as warned above" in said


def test_the_report_knows_what_the_source_warned_of(room, tmp_path):
    source = Source(room.images, [], {"timing": "0.2 s late", "scale": "metres"}, frozenset({"timing"}))
    report = build_map(source, tmp_path / "a.map", room_config(), quiet=True)
    assert "timing" in report.warned and "scale" not in report.warned
