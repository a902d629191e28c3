"""A recording of several cameras is localized as the node would: grouped by the same code, as one rig."""

import pytest
from bags_of_others import IMAGE, TRUTH
from bags_of_rigs import MOUNTS, TOPICS, drive_two
from ros.stand_in import StandInLocalizer

from deviloc_ros.bags.bag_plan import TruthSource, index_bag
from deviloc_ros.bags.reader import Recording
from deviloc_ros.bags.topics import name_cameras
from deviloc_ros.cli import parse
from deviloc_ros.commands.flags.recordings import read_plan
from deviloc_ros.config import TrackingConfig
from deviloc_ros.evaluation.recordings.bag_run import EvaluationPlan, read_truth, run_offline, summarize_run
from deviloc_ros.evaluation.report.gallery import make_gallery


def evaluate(bag, topics=TOPICS, **plan):
    plan = EvaluationPlan(**{"image_topic": topics[0], "beside": topics[1:], "truth": TruthSource(topic=TRUTH)} | plan)
    localizer = StandInLocalizer()
    with Recording(bag) as recording:
        indexed = index_bag(recording, plan)
        truth = read_truth(indexed, plan)
        estimates, about = run_offline(indexed, plan, localizer, TrackingConfig())
        run = summarize_run(indexed, plan, truth, estimates, about)
        list(make_gallery(indexed, run.frames, [localizer]))
    return run


def test_images_of_different_times_are_one_rig_where_there_is_odometry(tmp_path):
    run = evaluate(drive_two(tmp_path / "bag"))
    together = [f.estimate for f in run.frames if len(f.estimate.cameras) == 2]
    assert len(together) >= 11 and all(report.used for e in together for report in e.cameras)
    assert run.summary["translation_m"]["max"] < 1e-6 and run.summary["wrong_fixes"] == 0
    assert run.summary["cameras"]["left"]["used"] >= 11 and run.summary["camera_complaints"] == {}


def test_a_camera_that_dies_leaves_the_other(tmp_path):
    run = evaluate(drive_two(tmp_path / "bag", dead_from=6))
    assert run.summary["cameras"]["left"]["images"] == 6 and run.summary["cameras"]["front"]["images"] == 12
    assert run.frames[-1].localized and run.summary["translation_m"]["max"] < 1e-6


def test_without_odometry_each_camera_is_localized_by_itself(tmp_path):
    run = evaluate(drive_two(tmp_path / "bag", odometry=False))
    assert all(sum(report.used for report in f.estimate.cameras) <= 1 for f in run.frames)


def test_a_camera_that_is_off_is_named(tmp_path):
    run = evaluate(drive_two(tmp_path / "bag", count=30, wrong=3))
    assert "0.300 m" in run.summary["camera_complaints"]["left"]


def test_a_missing_extrinsic_is_said_and_one_that_is_given_counts(tmp_path):
    bag = drive_two(tmp_path / "bag", tf=False)
    with pytest.raises(ValueError, match="no frame 'front'"):
        evaluate(bag)
    texts = [" ".join(map(str, (*mount.translation, *mount.rotation.quat))) for mount in MOUNTS.values()]
    run = evaluate(bag, robot=plan_of("--extrinsic", texts[0], "--extrinsic", texts[1]).robot)
    assert run.summary["cameras"]["left"]["used"] >= 11


def plan_of(*flags: str) -> EvaluationPlan:
    topics = [word for topic in TOPICS for word in ("--image-topic", topic)]
    return read_plan(parse(["evaluate-bag", "bag", "--map", "map", *topics, *flags]))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--extrinsic", "0 0 0 0 0 0 1"), "--extrinsic is given 1 times"),
        (("--camera-info-topic", "/front/info"), "--camera-info-topic is given 1 times"),
        (("--camera", "PINHOLE,64,48,60,60,31.5,23.5"), "--camera is of a single camera"),
        (("--camera-frame", "front"), "--camera-frame is of a single camera"),
        (("--set", "rig.windw_s=1"), "unknown parameter rig.windw_s"),
    ],
)
def test_flags_that_do_not_fit_several_cameras_are_named(flags, says):
    with pytest.raises(ValueError, match=says):
        plan_of(*flags)


def test_topics_that_are_wrong_are_named(tmp_path):
    bag = drive_two(tmp_path / "bag")
    with pytest.raises(ValueError, match="one topic twice"):
        evaluate(bag, ("/front/image", "/front/image"))
    with pytest.raises(ValueError, match="/right/image is not in the recording"):
        evaluate(bag, ("/front/image", "/right/image"))


def test_flags_of_a_rig_reach_the_plan():
    assert plan_of("--set", "rig.window_s=0.5").grouping.window_s == 0.5
    assert plan_of().beside == ("/left/image",)


@pytest.mark.parametrize(
    ("topics", "names"),
    [
        (("/front/image_raw", "/left/image_raw"), ["front", "left"]),
        (("/cameras/front/rgb/image/compressed", "/cameras/back/rgb/image/compressed"), ["front", "back"]),
        (("/cam/0/image", "/cam/1/image"), ["camera_0", "camera_1"]),
        (("/image", "/left/image"), ["camera_0", "camera_1"]),
        ((IMAGE, "/camera/image_rect"), ["image", "image_rect"]),
    ],
)
def test_cameras_are_named_by_what_their_topics_differ_in(topics, names):
    assert name_cameras(topics) == names
