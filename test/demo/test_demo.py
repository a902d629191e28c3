"""The demo's parts: a recording that tells the truth, children that end, a folder that is not anybody's."""

import os
import time
from itertools import pairwise

import numpy as np
import pycolmap
import pytest

from deviloc_ros.bags.reader import Recording
from deviloc_ros.camera import Camera
from deviloc_ros.demo import MARKER, find_shipped, node_arguments, prepare_folder, run_demo
from deviloc_ros.demo.processes import run_module, wait_for_exit
from deviloc_ros.demo.recording import IMAGE_TOPIC, TRUTH_TOPIC, interpolate_poses, simulate_odometry, write_bag
from deviloc_ros.demo.report import compare_poses
from deviloc_ros.demo.worlds import BASE_FROM_CAM, DriveFrame, World
from deviloc_ros.messages.headers import rigid_from_pose, stamp_ns

CAMERA = Camera("PINHOLE", 8, 6, (8.0, 8.0, 3.5, 2.5))


def pose(x: float, angle: float = 0.0) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0, 0, angle])), np.array([x, 0, 0]))


def messages(path, topics=None):
    with Recording(path) as recording:
        yield from recording.messages(topics)


def small_world(compressed: bool) -> World:
    image = b"jpeg" if compressed else np.zeros((6, 8, 3), np.uint8)
    frames = [DriveFrame(pose(0.1 * n, 0.02 * n), lambda: image) for n in range(5)]
    return World("small", CAMERA, 10.0, compressed, [], frames)


@pytest.mark.parametrize("compressed", [False, True])
def test_the_bag_holds_every_image_with_its_truth_and_odometry_before_it(tmp_path, compressed):
    world = small_world(compressed)
    truth = write_bag(world, tmp_path / "bag")
    image_topic = IMAGE_TOPIC + "/compressed" * compressed
    odometry_ns, images = 0, []
    for recorded in messages(tmp_path / "bag"):
        if recorded.topic == "/tf":
            odometry_ns = recorded.time_ns
        elif recorded.topic == image_topic:
            images.append(stamp_ns(recorded.message()))
            assert odometry_ns == images[-1]
    assert images == [time_ns for time_ns, _ in truth]
    for recorded, frame in zip(messages(tmp_path / "bag", (TRUTH_TOPIC,)), world.frames, strict=True):
        map_from_base = rigid_from_pose(recorded.message().pose)
        cam_from_world = (map_from_base * BASE_FROM_CAM).inverse()
        np.testing.assert_allclose(cam_from_world.matrix(), frame.cam_from_world.matrix(), atol=1e-9)


def test_odometry_drifts_by_about_a_percent():
    truth = interpolate_poses([(n * 1_000_000, pose(0.1 * n)) for n in range(200)])
    ends = [simulate_odometry(truth, np.random.default_rng(seed))[-1][1] for seed in range(20)]
    errors = [np.linalg.norm(end.translation - [19.9, 0, 0]) for end in ends]
    assert 0.05 < np.median(errors) < 4.0
    assert all(after > before for (before, _), (after, _) in pairwise(truth))


def test_the_robots_camera_looks_ahead():
    np.testing.assert_allclose(BASE_FROM_CAM.rotation.matrix() @ [0, 0, 1], [1, 0, 0])
    np.testing.assert_allclose(BASE_FROM_CAM.rotation.matrix() @ [0, 1, 0], [0, 0, -1])


def test_errors_are_counted_per_frame_and_lost_frames_are_not_forgotten():
    truth = [(n, pose(n)) for n in range(4)]
    result = compare_poses(truth, [(0, pose(0.01)), (1, pose(1.0)), (2, pose(2.6))])
    assert (result.sent, result.localized, result.wrong_fixes) == (4, 3, 1)
    np.testing.assert_allclose(result.translation_m, [0.01, 0, 0.6], atol=1e-9)
    assert "75%" in str(result) and "3 of 4" in result.headline()
    assert "without a pose    1\n" in str(result)
    late = compare_poses(truth, [(2, pose(2)), (3, pose(3))])
    assert "2, all at the beginning: a first pose is published when 3 agree" in str(late)
    assert compare_poses(truth, []).wrong_fixes == 0 and "none of 4" in compare_poses(truth, []).headline()
    with pytest.raises(ValueError, match="no image"):
        compare_poses(truth, [(9, pose(0))])


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        prepare_folder(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_an_earlier_demo_is_replaced(tmp_path):
    prepare_folder(tmp_path / "demo")
    (tmp_path / "demo" / "old").touch()
    prepare_folder(tmp_path / "demo")
    assert [path.name for path in (tmp_path / "demo").iterdir()] == [MARKER]


def test_missing_data_is_named(tmp_path):
    with pytest.raises(ValueError, match="redkitchen"):
        run_demo(tmp_path / "nothing", tmp_path / "demo")


def test_the_node_is_told_which_images_to_take(tmp_path):
    assert find_shipped("config/fastdds.xml").is_file()
    arguments = node_arguments(small_world(True), tmp_path)
    assert "image_transport:=compressed" in arguments and "use_sim_time:=true" in arguments


def test_children_end_when_something_fails():
    nap = ("timeit", "-n1", "-r1", "import time; time.sleep(60)")
    with pytest.raises(ZeroDivisionError), run_module(*nap, env=dict(os.environ)) as child:
        assert child.poll() is None
        raise ZeroDivisionError
    assert child.poll() is not None


def test_a_replay_does_not_wait_for_a_dead_node():
    nap = ("timeit", "-n1", "-r1", "import time; time.sleep(60)")
    env, started_s = dict(os.environ), time.monotonic()
    with (
        pytest.raises(RuntimeError, match="status 1"),
        run_module("nonexistent_module", env=env) as node,
        run_module(*nap, env=env) as replay,
    ):
        wait_for_exit(replay, needed=node)
    assert time.monotonic() - started_s < 30
