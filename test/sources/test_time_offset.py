"""Images that are late and a camera that is mounted otherwise are noticed; where nothing shows it, that is said."""

import cv2
import numpy as np
import pycolmap
import pytest
from worlds import PINHOLE, random_rigid, textured_image

from deviloc_ros.bags.truth import Truth
from deviloc_ros.geometry import rotation_vector
from deviloc_ros.sources.time_offset import Turn, TurnCollector, measure_agreement, measure_turn

STEP_NS, IMAGE_NS = 20_000_000, 100_000_000
BASE_FROM_CAM = random_rigid(np.random.default_rng(5)).rotation
TILT = pycolmap.Rotation3d(np.deg2rad([8.0, 0, 0]))


def drive(axes=(0.3, 0.5, 1.0), seconds: float = 20.0) -> Truth:
    """A robot that turns now faster, now slower, about changing axes."""
    rng, rotation, poses = np.random.default_rng(0), pycolmap.Rotation3d(), []
    phases = rng.uniform(0, 6, (3, 4))
    for number in range(int(seconds * 1e9) // STEP_NS):
        poses.append((number * STEP_NS, pycolmap.Rigid3d(rotation, np.zeros(3))))
        waves = np.sin(number * 0.02 * np.array([0.7, 1.3, 2.1, 3.4]) + phases).sum(1)
        rotation = rotation * pycolmap.Rotation3d(0.006 * np.array(axes) * waves)
    return Truth(poses)


def turns_of_camera(truth: Truth, offset_ns: int = 0, mounting=BASE_FROM_CAM, noise_deg: float = 0.1) -> list[Turn]:
    """As seen in images that carry stamps `offset_ns` earlier than the poses they were taken at."""
    rng, turns = np.random.default_rng(1), []
    for start in range(10 * IMAGE_NS, 190 * IMAGE_NS, IMAGE_NS):
        before, after = (truth.at(time_ns + offset_ns).rotation for time_ns in (start, start + IMAGE_NS))
        in_base = rotation_vector(before.inverse() * after)
        in_cam = mounting.matrix().T @ in_base + np.deg2rad(rng.normal(0, noise_deg, 3))
        turns.append(Turn(start, start + IMAGE_NS, in_cam, BASE_FROM_CAM))
    return turns


@pytest.mark.parametrize("offset_ms", [0, 15, 80, -130])
def test_the_time_offset_is_found(offset_ms):
    found = measure_agreement(turns_of_camera(drive(), offset_ms * 1_000_000), drive())
    assert found.offset_s == pytest.approx(offset_ms * 1e-3, abs=0.006) and found.correlation > 0.95
    assert found.extrinsic_deg < 1
    assert found.is_good == (abs(offset_ms) < 30) and ("give --time-offset" in str(found)) != found.is_good


def test_an_offset_that_was_given_is_counted_in():
    late = drive().shift_earlier(50_000_000)
    found = measure_agreement(turns_of_camera(drive(), 80_000_000), late, 0.05)
    assert found.offset_s == pytest.approx(0.03, abs=0.006)
    assert f"at a time offset of +{0.05 + found.offset_s:.3f} s" in str(found)


def test_a_camera_mounted_otherwise_is_noticed():
    found = measure_agreement(turns_of_camera(drive(), mounting=BASE_FROM_CAM * TILT), drive())
    assert found.extrinsic_deg == pytest.approx(8, abs=1) and abs(found.offset_s) < 0.006
    assert not found.is_good and "are --extrinsic" in str(found)


def test_a_robot_on_a_plane_shows_the_tilt_of_its_axis_and_nothing_wrong_where_nothing_is():
    flat = drive(axes=(0, 0, 1))
    assert measure_agreement(turns_of_camera(flat), flat).extrinsic_deg < 1
    tilted = BASE_FROM_CAM * pycolmap.Rotation3d(BASE_FROM_CAM.matrix().T @ np.deg2rad([8.0, 0, 0]))
    assert measure_agreement(turns_of_camera(flat, mounting=tilted), flat).extrinsic_deg == pytest.approx(8, abs=1)


def test_even_turning_and_few_images_tell_nothing():
    still = Truth((number * STEP_NS, pycolmap.Rigid3d()) for number in range(1000))
    for turns, truth in ((turns_of_camera(still), still), (turns_of_camera(drive())[:10], drive()), ([], drive())):
        found = measure_agreement(turns, truth)
        assert found.offset_s is None and found.is_good and "cannot tell" in str(found)


def test_a_turn_is_seen_in_two_images():
    image = textured_image(np.random.default_rng(0), 640, 480)
    matrix = PINHOLE.colmap.calibration_matrix()
    for vector in ([0, 0, 0], [0.01, -0.02, 0.005]):
        before_from_after = pycolmap.Rotation3d(np.array(vector, float))
        warp = matrix @ before_from_after.matrix().T @ np.linalg.inv(matrix)
        turned = cv2.warpPerspective(image, warp, (640, 480))
        np.testing.assert_allclose(measure_turn(image, turned, PINHOLE), vector, atol=1e-3)
    assert measure_turn(np.zeros_like(image), image, PINHOLE) is None


def test_gaps_and_images_of_nothing_are_passed_over():
    seen, image = TurnCollector(), textured_image(np.random.default_rng(0), 640, 480)
    for time_ns, pixels in ((0, image), (IMAGE_NS, image), (20 * IMAGE_NS, image), (21 * IMAGE_NS, 0 * image)):
        seen.add_image(time_ns, pixels, PINHOLE, pycolmap.Rigid3d())
    assert [(turn.start_ns, turn.stop_ns) for turn in seen.turns] == [(0, IMAGE_NS)]
