"""Whatever kind of bag people bring: the same poses come out of it, or a word that says what to do."""

import numpy as np
import pycolmap
import pytest
from bags_of_others import (
    BASE_FROM_CAM,
    BRIGHTNESSES,
    CAMERA,
    IMAGE,
    INFO,
    TRUTH,
    cut_off,
    damaged,
    drive,
    map_from_base,
    of_ros1,
    rewritten,
    split,
    stamp,
    without_metadata,
    zstd_files,
)
from ros.stand_in import StandInLocalizer
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from worlds import rigid_of

from deviloc_ros.bags.bag_index import RobotSetup, index_topics
from deviloc_ros.bags.bag_plan import TruthSource, index_bag
from deviloc_ros.bags.reader import Recording, zstd
from deviloc_ros.bags.topics import CameraTopics
from deviloc_ros.bags.truth import truth_from_messages
from deviloc_ros.bags.writer import BagWriter
from deviloc_ros.config import TrackingConfig
from deviloc_ros.evaluation.recordings.bag_run import EvaluationPlan, read_truth, run_offline, summarize_run

UNCONFIRMED = 2  # the first poses wait until three agree


def evaluate(path, **plan):
    """Frames of a run with the stand-in."""
    plan = EvaluationPlan(**{"truth": TruthSource(topic=TRUTH)} | plan)
    with Recording(path) as recording:
        indexed = index_bag(recording, plan)
        localizer = StandInLocalizer()
        estimates = run_offline(indexed, plan, localizer, TrackingConfig())[0]
        return summarize_run(indexed, plan, read_truth(indexed, plan), estimates, {})


def statuses(run):
    return [frame.estimate.status.word for frame in run.frames]


def check_all_localized(run):
    assert statuses(run) == ["unconfirmed"] * UNCONFIRMED + ["accepted"] * (len(BRIGHTNESSES) - UNCONFIRMED)
    assert run.summary["wrong_fixes"] == 0 and run.summary["translation_m"]["max"] < 1e-9
    for frame, brightness in zip(run.frames[UNCONFIRMED:], BRIGHTNESSES[UNCONFIRMED:], strict=True):
        np.testing.assert_allclose(frame.map_from_base.matrix(), map_from_base(brightness).matrix(), atol=1e-9)


def with_metadata(folder):
    (folder / "metadata.yaml").touch()
    return folder


def half_compressed(folder):
    """As a crash leaves it while the last part is compressed: that part is there as it was, and cut off."""
    first, last = sorted(folder.iterdir())
    first.with_name(first.name + ".zstd").write_bytes(zstd.compress(first.read_bytes()))
    last.with_name(last.name + ".zstd").write_bytes(zstd.compress(last.read_bytes())[:50])
    first.unlink()
    return folder


KINDS = {
    "mcap": lambda plain, tmp: plain,
    "one file": lambda plain, tmp: next(plain.glob("*.mcap")),
    "sqlite3": lambda plain, tmp: rewritten(plain, tmp / "other", StoragePlugin.SQLITE3),
    "sqlite3, whole file compressed": lambda plain, tmp: rewritten(
        plain, tmp / "other", StoragePlugin.SQLITE3, CompressionMode.FILE
    ),
    "sqlite3, messages compressed": lambda plain, tmp: rewritten(
        plain, tmp / "other", StoragePlugin.SQLITE3, CompressionMode.MESSAGE
    ),
    "mcap, chunks compressed": lambda plain, tmp: rewritten(
        plain, tmp / "other", StoragePlugin.MCAP, CompressionMode.STORAGE
    ),
    "ROS 1": lambda plain, tmp: of_ros1(plain, tmp / "other.bag"),
    "sqlite3, whole file compressed, no metadata": lambda plain, tmp: without_metadata(
        rewritten(plain, tmp / "other", StoragePlugin.SQLITE3, CompressionMode.FILE)
    ),
    "sqlite3, messages compressed, no metadata": lambda plain, tmp: without_metadata(
        rewritten(plain, tmp / "other", StoragePlugin.SQLITE3, CompressionMode.MESSAGE)
    ),
    "sqlite3, messages compressed, one file": lambda plain, tmp: next(
        rewritten(plain, tmp / "other", StoragePlugin.SQLITE3, CompressionMode.MESSAGE).glob("*.db3*")
    ),
    "mcap, whole file compressed, no metadata": lambda plain, tmp: zstd_files(plain),
    "mcap, one compressed file": lambda plain, tmp: next(zstd_files(plain, ".zst").glob("*.mcap.zst")),
    "split and compressed": lambda plain, tmp: zstd_files(with_metadata(split(plain, tmp / "other"))),
    "split, the last part not yet compressed": lambda plain, tmp: half_compressed(split(plain, tmp / "other")),
    "split": lambda plain, tmp: split(plain, tmp / "other"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_storage_gives_the_same_poses(tmp_path, kind):
    check_all_localized(evaluate(KINDS[kind](drive(tmp_path / "plain"), tmp_path)))


def test_compressed_images_give_the_same_poses(tmp_path):
    check_all_localized(evaluate(drive(tmp_path / "bag", compressed=True)))


def test_an_image_that_comes_late_is_not_taken_for_a_new_place(tmp_path):
    plain = drive(tmp_path / "plain")
    run = evaluate(rewritten(plain, tmp_path / "bag", late={(IMAGE, stamp(6)): stamp(8) + 1}))
    assert run.summary["outcomes"]["out_of_order"] == 1 and run.summary["frames_out_of_order"] == 1
    assert run.summary["wrong_fixes"] == 0


def test_no_camera_info_is_refused_and_the_camera_can_be_given(tmp_path):
    bag = drive(tmp_path / "bag", info=False)
    with pytest.raises(ValueError, match=r"no camera_info in the recording.*--camera MODEL"):
        evaluate(bag)
    check_all_localized(evaluate(bag, robot=RobotSetup(camera=CAMERA)))


def test_two_cameras_have_to_be_chosen_from(tmp_path):
    bag = drive(tmp_path / "bag", cameras=("/left", "/right"))
    with pytest.raises(ValueError, match="--image-topic: /left/image, /right/image"):
        evaluate(bag)
    check_all_localized(evaluate(bag, image_topic="/right/image"))


def test_a_calibration_that_belongs_to_none_has_to_be_chosen(tmp_path):
    bag = drive(tmp_path / "bag", cameras=("/left", "/right"))
    with pytest.raises(ValueError, match=r"no camera_info on /left/info; there is /left/camera_info, /right"):
        evaluate(bag, image_topic="/left/image", camera_info_topic="/left/info")


def test_no_extrinsic_is_refused_and_it_can_be_given(tmp_path):
    bag = drive(tmp_path / "bag", tf=False)
    with pytest.raises(ValueError, match=r"no image could be tried; 12 of 12: no frame.*--extrinsic"):
        evaluate(bag)
    run = evaluate(bag, robot=RobotSetup(base_from_cam=BASE_FROM_CAM))
    assert run.summary["wrong_fixes"] == 0 and run.summary["localized"] > 0


def test_a_recording_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no topic of images; it has /ground_truth \(geometry_msgs/msg/PoseStamped\)"):
        evaluate(drive(tmp_path / "bag", cameras=()))
    with pytest.raises(ValueError, match=r"/nothing is not in the recording; topics of images: /camera/image"):
        evaluate(drive(tmp_path / "other"), image_topic="/nothing")


def test_an_empty_recording_is_refused(tmp_path):
    empty = drive(tmp_path / "bag", brightnesses=(), tf=False)
    with pytest.raises(ValueError, match="no topic of images; it has nothing"):
        evaluate(empty)
    (tmp_path / "zero.mcap").touch()
    with pytest.raises(ValueError, match=r"zero\.mcap: not a readable bag.*empty"):
        evaluate(tmp_path / "zero.mcap")


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.999])
def test_a_recording_that_was_cut_off_is_refused_with_the_command_that_repairs_it(tmp_path, share):
    with pytest.raises(ValueError, match=r"cut\.mcap: not a readable bag: .*mcap recover FILE"):
        evaluate(cut_off(drive(tmp_path / "bag"), tmp_path / "cut.mcap", share))


@pytest.mark.parametrize("name", ["nowhere", "empty", "notes.txt"])
def test_what_is_no_bag_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("a bag?")
    with pytest.raises(ValueError, match=f"{name}: (no such|not a) bag"):
        evaluate(tmp_path / name)


def test_truth_of_another_time_is_refused(tmp_path):
    tum = tmp_path / "truth.tum"
    tum.write_text("5.0 0 0 0 0 0 0 1\n6.0 0 0 0 0 0 0 1\n")
    with pytest.raises(ValueError, match=r"no image has ground truth within 1700000000\.000.*5\.000 to 6\.000 s"):
        evaluate(drive(tmp_path / "bag"), truth=TruthSource(file=tum))


def test_messages_without_a_valid_pose_are_left_out_and_counted(tmp_path, caplog):
    good = rigid_of([0, 0, 1], [1, 2, 3])
    unset = pycolmap.Rigid3d(pycolmap.Rotation3d(np.zeros(4)), np.zeros(3))
    with BagWriter(tmp_path / "bag") as writer:
        for number, pose in enumerate([unset, good, good]):
            writer.write_odometry("/odom", number, "odom", "base_link", pose)
    robot = RobotSetup(odometry_topic="/odom")
    with Recording(tmp_path / "bag") as recording:
        indexed = index_topics(recording, CameraTopics("", ""), robot, "/odom")
    assert indexed.odom_from_base(1) is not None and len(indexed.truth) == 3
    assert "/odom: 1 messages without a valid pose, left out" in caplog.text
    truth = truth_from_messages(indexed.truth, "nav_msgs/msg/Odometry")
    assert truth.span_s == (1e-9, 2e-9) and "1 of 3 messages" in caplog.text


def test_no_truth_is_no_error_and_no_claim(tmp_path):
    run = evaluate(drive(tmp_path / "bag"), truth=TruthSource())
    assert run.summary["wrong_fixes"] is None and run.summary["recall"] is None and run.summary["localized"] == 10


def test_truth_from_transforms_and_of_another_frame(tmp_path):
    bag = drive(tmp_path / "bag")
    run = evaluate(bag, truth=TruthSource(transform=("odom", "base_link")))
    assert run.summary["translation_m"]["max"] == pytest.approx(1.0)  # odometry starts a metre off
    camera = evaluate(bag, truth=TruthSource(transform=("odom", "camera_optical")))
    assert camera.summary["translation_m"]["max"] == pytest.approx(1.0)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.999])
@pytest.mark.parametrize("numbers", [(0,), (4, 7), (11,)], ids=str)
def test_damaged_images_are_counted_and_the_others_localized(tmp_path, numbers, keep, packed):
    """They have no stamp that could be read, which moves no time."""
    run = evaluate(damaged(drive(tmp_path / "bag"), tmp_path / "damaged", IMAGE, numbers, keep, packed))
    whole = [number for number in range(len(BRIGHTNESSES)) if number not in numbers]
    expected = ["unconfirmed"] * UNCONFIRMED + ["accepted"] * (len(whole) - UNCONFIRMED)
    found = statuses(run)
    assert [found[number] for number in numbers] == ["undecodable"] * len(numbers)
    assert [found[number] for number in whole] == expected
    assert run.summary["outcomes"]["undecodable"] == len(numbers)
    assert run.summary["frames_out_of_order"] == 0 and run.summary["wrong_fixes"] == 0
    assert run.summary["time_to_first_fix_s"] == pytest.approx(1e-9 * (stamp(whole[UNCONFIRMED]) - stamp(whole[0])))
    assert all(
        f.estimate.detail.startswith(f"{IMAGE} at ") for f in run.frames if f.estimate.status.word == "undecodable"
    )


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
@pytest.mark.parametrize(("topic", "numbers"), [(INFO, (0,)), (INFO, (3, 5)), ("/tf", (2,)), (TRUTH, (0, 6))], ids=str)
def test_other_damaged_messages_are_left_out_and_named(tmp_path, caplog, topic, numbers, keep):
    run = evaluate(damaged(drive(tmp_path / "bag"), tmp_path / "damaged", topic, numbers, keep))
    assert f"{len(numbers)} damaged messages on {topic}, left out; the first: {topic} at " in caplog.text
    assert statuses(run).count("accepted") == len(BRIGHTNESSES) - UNCONFIRMED and run.summary["wrong_fixes"] == 0


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        (IMAGE, "no image could be tried; 12 of 12: "),
        (INFO, "camera_info of none"),
        ("/tf_static", "no image could be"),
    ],
)
def test_a_recording_of_which_all_is_damaged_says_so(tmp_path, topic, said):
    with pytest.raises(ValueError, match=said):
        evaluate(damaged(drive(tmp_path / "bag"), tmp_path / "damaged", topic, range(12), 0.5))


def test_images_without_a_stamp_move_no_time(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_transform(stamp(0), "base_link", "camera_optical", BASE_FROM_CAM, static=True)
        for number, brightness in enumerate(BRIGHTNESSES):
            bag.write_camera_info(INFO, stamp(number), "camera_optical", CAMERA)
            time_ns = 0 if number in (0, 5) else stamp(number)
            bag.late_ns = stamp(number) - time_ns
            bag.write_image(IMAGE, time_ns, "camera_optical", np.full((48, 64), brightness, np.uint8))
            bag.late_ns = 0
    run = evaluate(tmp_path / "bag", truth=TruthSource())
    assert run.summary["outcomes"]["no_stamp"] == 2 and run.summary["frames_out_of_order"] == 0
    assert run.summary["time_to_first_fix_s"] < 1


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3], ids=lambda plugin: plugin.name)
@pytest.mark.parametrize(
    ("empty", "renamed"),
    [
        ({f"{IMAGE}/compressed": "sensor_msgs/msg/CompressedImage", "/rear/image": "sensor_msgs/msg/Image"}, {}),
        ({"/rear/camera_info": "sensor_msgs/msg/CameraInfo"}, {INFO: "/elsewhere/camera_info"}),
        ({"/tf": "tf2_msgs/msg/TFMessage"}, {"/tf": "/robot1/tf"}),
    ],
    ids=["images", "calibrations", "transforms"],
)
def test_a_topic_that_was_merely_offered_is_no_choice(tmp_path, empty, renamed, storage):
    bag = rewritten(drive(tmp_path / "bag"), tmp_path / "offered", storage, renamed=renamed, empty=empty)
    run = evaluate(bag)
    check_all_localized(run)
    assert run.summary["odometry"]["images"] == len(BRIGHTNESSES)


def test_a_truth_without_messages_is_named(tmp_path):
    bag = rewritten(drive(tmp_path / "bag"), tmp_path / "offered", empty={"/poses": "geometry_msgs/msg/PoseStamped"})
    with pytest.raises(ValueError, match="there is no message on /poses"):
        evaluate(bag, truth=TruthSource(topic="/poses"))


@pytest.mark.parametrize("name", ["a.mcap", "drive_00.mcap", "drive_2.mcap"])
def test_a_part_that_had_just_begun_is_passed_over(tmp_path, caplog, name):
    bag = split(drive(tmp_path / "bag"), tmp_path / "split")
    (bag / name).touch()
    check_all_localized(evaluate(bag))
    assert f"{name} is empty, skipped" in caplog.text
    for part in bag.iterdir():
        part.write_bytes(b"")
    with pytest.raises(ValueError, match="not a readable bag"):
        evaluate(bag)
