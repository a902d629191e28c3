"""A query in a condition has the camera and pose that go with its pixels, and each condition its summary."""

import cv2
import numpy as np
import pytest
from rooms import room_config
from worlds import rigid_of

from deviloc_ros.camera import Camera
from deviloc_ros.evaluation.metrics import compare_to_nothing
from deviloc_ros.evaluation.protocols import hard
from deviloc_ros.evaluation.protocols.hard import (
    CONDITIONS,
    Condition,
    degrade_query,
    run_conditions,
    scale_camera,
    turn_camera,
    turned_from_upright,
)
from deviloc_ros.evaluation.protocols.run import Evaluation
from deviloc_ros.evaluation.protocols.scenes import EvaluationProtocol, Fold
from deviloc_ros.geometry import transform_points
from deviloc_ros.imaging import turn_pixels_back
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.status import Status
from deviloc_ros.types import Evidence, Localized, Lost

CAMERA = Camera("PINHOLE", 64, 48, (50.0, 55.0, 30.0, 25.0))
LENSES = [
    CAMERA,
    Camera("SIMPLE_RADIAL", 64, 48, (50.0, 30.0, 25.0, -0.1)),
    Camera("OPENCV_FISHEYE", 64, 48, (50.0, 55.0, 30.0, 25.0, 0.01, 0.02, 0.0, 0.0)),
]
POINTS = np.random.default_rng(0).uniform([-1, -1, 3], [1, 1, 5], (20, 3))


@pytest.mark.parametrize("camera", LENSES, ids=lambda camera: camera.model)
@pytest.mark.parametrize("quarter_turns", range(4))
def test_a_turned_camera_sees_each_point_where_the_turned_image_shows_it(camera, quarter_turns):
    turned = turn_camera(camera, quarter_turns)
    seen = turned.project(transform_points(turned_from_upright(quarter_turns), POINTS))
    back = turn_pixels_back(seen, quarter_turns, (camera.width, camera.height))
    np.testing.assert_allclose(back, camera.project(POINTS), atol=1e-6)


def test_a_lens_that_is_not_alike_in_all_directions_is_not_turned():
    with pytest.raises(ValueError, match="OPENCV is not turned"):
        turn_camera(Camera("OPENCV", 64, 48, (50.0, 55.0, 30.0, 25.0, 0.0, 0.0, 0.1, 0.0)), 1)


def test_a_scaled_camera_sees_each_point_in_the_pixel_that_holds_it():
    small = scale_camera(CAMERA, (32, 24))
    np.testing.assert_allclose(small.project(POINTS), (CAMERA.project(POINTS) + 0.5) / 2 - 0.5, atol=1e-9)


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_each_condition_writes_an_image_of_its_camera(tmp_path, condition):
    camera = Camera("SIMPLE_RADIAL", 64, 48, (50.0, 31.5, 23.5, -0.02))
    cv2.imwrite(str(tmp_path / "query.png"), np.random.default_rng(0).integers(0, 255, (48, 64), np.uint8))
    query = PosedImage("query.png", tmp_path / "query.png", camera, rigid_of((0, 0.1, 0), (1, 2, 3)))
    (tmp_path / "out").mkdir()
    degraded = degrade_query(query, condition, tmp_path / "out")
    pixels = cv2.imread(str(degraded.path), cv2.IMREAD_UNCHANGED)
    assert pixels.shape == (degraded.camera.height, degraded.camera.width)
    centre = degraded.cam_from_world.tgt_origin_in_src()
    np.testing.assert_allclose(centre, query.cam_from_world.tgt_origin_in_src(), atol=1e-9)


def test_dirt_is_where_it_was_and_other_things_are_not(tmp_path):
    flat = np.full((48, 64), 200, np.uint8)
    cv2.imwrite(str(tmp_path / "flat.png"), flat)
    pictures = {}
    for condition in CONDITIONS:
        if condition.name in ("dirt", "covered"):
            for name in ("one", "other"):
                query = PosedImage(name, tmp_path / "flat.png", CAMERA, rigid_of((0, 0, 0), (0, 0, 0)))
                pictures[condition.name, name] = cv2.imread(str(degrade_query(query, condition, tmp_path).path), 0)
    np.testing.assert_array_equal(pictures["dirt", "one"], pictures["dirt", "other"])
    assert (pictures["covered", "one"] != pictures["covered", "other"]).any()


def test_a_pose_of_what_no_map_shows_is_wrong_and_none_is_not():
    given = Localized(rigid_of((0, 0, 0), (0, 0, 0)), np.eye(6), Evidence())
    assert compare_to_nothing("mirrored", given).is_wrong_fix
    assert not compare_to_nothing("mirrored", Lost(Status.NO_CONSENSUS)).is_wrong_fix


def test_every_condition_has_a_summary_of_the_kind_that_protocols_have(room, tmp_path, monkeypatch):
    queries = []
    for number, (pixels, pose) in enumerate(zip(room.queries, room.query_poses, strict=True)):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), pixels)
        queries.append(PosedImage(path.name, path, room.camera, pose))
    evaluation = Evaluation(EvaluationProtocol("hard", [Fold(room.images, queries[:1])]), room_config())
    of_these = [c for c in CONDITIONS if c.name in ("upright", "turned-180", "mirrored")]
    monkeypatch.setattr(hard, "CONDITIONS", of_these)
    upright, turned, mirrored = run_conditions(evaluation, room_config(), "true-pose")
    assert [s["protocol"] for s in (upright, turned, mirrored)] == ["hard-upright", "hard-turned-180", "hard-mirrored"]
    assert upright.keys() == turned.keys() == mirrored.keys() == evaluation.run(room_config(), "true-pose").keys()
    assert upright["localized"] == turned["localized"] == 1 and mirrored["localized"] == 0
    assert all(s["wrong_fixes"] == 0 for s in (upright, turned, mirrored))


def test_names_of_conditions_are_each_there_once():
    assert len({condition.name for condition in CONDITIONS}) == len(CONDITIONS)
    assert CONDITIONS[0] == Condition("upright")
