"""Maps of a rendered room, made with the depth of a sensor beside the camera."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from rooms import room_config
from worlds import rigid_of

from deviloc_ros.camera import Camera
from deviloc_ros.lifting.sensor_depth import NOISE_PER_M
from deviloc_ros.maps.store import Map
from deviloc_ros.sources.depth_images import DepthError, DepthImage, read_depth
from deviloc_ros.synthetic.render import render_depth

SENSOR = Camera("PINHOLE", 320, 240, (280.0, 280.0, 159.5, 119.5))
BESIDE = rigid_of([0.0, 0.02, 0.0], [-0.05, 0.0, 0.0])  # color_from_depth


@pytest.fixture(scope="module")
def seen(room, tmp_path_factory):
    """The room's images with noisy depth that says 3 % too much."""
    folder, rng, images = tmp_path_factory.mktemp("depth"), np.random.default_rng(0), []
    for image in room.images:
        depth = render_depth(room.scene, SENSOR, BESIDE.inverse() * image.cam_from_world)
        depth = 1.03 * depth + NOISE_PER_M * depth**2 * rng.standard_normal(depth.shape)
        path = folder / image.name
        cv2.imwrite(str(path), np.round(depth * 1000).astype(np.uint16))
        images.append(replace(image, depth=DepthImage(path, SENSOR, BESIDE)))
    return images


def errors_and_shares(room, folder) -> tuple[np.ndarray, float]:
    """Relative depth errors of sure keypoints of all views, and the mean confidence."""
    errors, confidences = [], []
    for record, view in ((record, Map.open(folder).view(n)) for n, record in enumerate(Map.open(folder).records)):
        sure = view.lifted.confidence > 0.5
        at = view.features.keypoints.numpy()[sure].round().astype(int)
        errors.append(view.lifted.depths[sure] / room.depth(record.cam_from_world)[at[:, 1], at[:, 0]] - 1)
        confidences.append(view.lifted.confidence)
    return np.concatenate(errors), float(np.mean(np.concatenate(confidences)))


def test_depth_makes_a_map_of_more_and_better_points(room, room_folder, seen, tmp_path):
    report = room.build(tmp_path / "a.map", images=seen)
    assert report.depth.used == 7 and not report.depth.skipped
    assert report.depth.correction.scale == pytest.approx(1.03, abs=0.015)
    (errors, confidence), (errors_without, without) = (
        errors_and_shares(room, folder) for folder in (tmp_path / "a.map", room_folder)
    )
    assert confidence > without and len(errors) > len(errors_without)
    assert np.median(np.abs(errors)) < np.median(np.abs(errors_without))


def test_one_view_with_depth_is_a_map(room, seen, tmp_path):
    report = room.build(tmp_path / "a.map", images=seen[:1], graph=None)
    assert (report.views, report.landmarks) == (1, 0) and report.lifted_share > 0.5
    errors, _ = errors_and_shares(room, tmp_path / "a.map")
    assert np.median(np.abs(errors - 0.03)) < 0.01  # there are no landmarks to correct it by


def test_depth_that_cannot_be_used_is_named_and_its_view_falls_back(room, room_map, seen, tmp_path):
    (tmp_path / "cut.png").write_bytes(seen[0].depth.path.read_bytes()[:500])
    cv2.imwrite(str(tmp_path / "eight.png"), np.zeros((240, 320), np.uint8))
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((24, 32), np.uint16))
    names = ["missing.png", "cut.png", "eight.png", "small.png"]
    bad = [replace(i, depth=replace(i.depth, path=tmp_path / name)) for i, name in zip(seen, names, strict=False)]
    report = room.build(tmp_path / "a.map", room_config(), images=[*bad, replace(seen[4], depth=None), *seen[5:]])
    why = [skipped.why for skipped in report.depth.skipped]
    assert report.views == 7 and report.depth.used == 2 and len(why) == 4
    for part, said in zip(("no such depth", "truncated", "uint8", "32 x 24 px"), why, strict=True):
        assert part in said
    as_without = Map.open(tmp_path / "a.map").view(4).lifted.depths
    np.testing.assert_allclose(as_without, room_map.view(4).lifted.depths)


def test_a_wrong_unit_is_an_error_that_names_the_flag(room, seen, tmp_path):
    images = [replace(image, depth=replace(image.depth, units_per_m=5000.0)) for image in seen]
    with pytest.raises(DepthError, match=r"landmarks are 4\.\d+ times as far .*--depth-scale"):
        room.build(tmp_path / "a.map", images=images)
    assert not (tmp_path / "a.map").exists()


def test_files_without_depth_hold_zero_or_the_largest_value(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.array([[0, 65535, 1500]], np.uint16))
    depth = read_depth(DepthImage(tmp_path / "a.png", Camera("PINHOLE", 3, 1, (1, 1, 1, 0))))
    np.testing.assert_array_equal(depth, np.array([[0, 0, 1.5]], np.float32))
