"""A recording over DDS gives the poses that it gives offline; what it holds of the node's own is not replayed."""

import argparse
from collections import Counter

import numpy as np
import pycolmap
import pytest

pytest.importorskip("rclpy")

from bags_of_others import BRIGHTNESSES, IMAGE, INFO, START_NS, TRUTH, drive, of_ros1
from bags_of_rigs import TOPICS, drive_two
from ros.stand_in import StandInLocalizer
from ros_helpers import python_process

from deviloc_ros.bags.bag_plan import TruthSource, index_bag
from deviloc_ros.bags.reader import Recording
from deviloc_ros.bags.topics import CameraTopics
from deviloc_ros.bags.writer import BagWriter
from deviloc_ros.config import TrackingConfig
from deviloc_ros.evaluation.recordings.bag_run import EvaluationPlan, read_truth, run_offline, summarize_run
from deviloc_ros.ros.tools.realtime import (
    NodeReplies,
    ReceivedPose,
    collect_estimates,
    measure_freshness,
    run_real_time,
)
from deviloc_ros.ros.tools.realtime_node import node_arguments
from deviloc_ros.ros.tools.replay import Replay, SentImage

pytestmark = pytest.mark.ros


def test_the_same_images_give_the_same_poses_as_offline(ros_domain, tmp_path):
    bag = drive(tmp_path / "bag", lost=(6,))
    plan = EvaluationPlan(truth=TruthSource(topic=TRUTH))
    parameters = {"use_sim_time": "true", "map_path": "stand-in", "image_topic": IMAGE, "camera_info_topic": INFO}
    arguments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    with Recording(bag) as recording:
        indexed = index_bag(recording, plan)
        offline = run_offline(indexed, plan, StandInLocalizer(), TrackingConfig())[0]
        with python_process("test/ros/stand_in.py", "--ros-args", *arguments):
            live, transport = run_real_time(indexed, rate=0)
        run = summarize_run(indexed, plan, read_truth(indexed, plan), live, transport)
    assert [e.stamp_ns for e in live] == [e.stamp_ns for e in offline]
    assert [e.localized for e in live] == [e.localized for e in offline]
    for one, other in zip(live, offline, strict=True):
        if one.localized:
            np.testing.assert_allclose(one.map_from_base.matrix(), other.map_from_base.matrix(), atol=1e-12)
            np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-9, atol=0)
    assert transport["node"]["images_processed"] == len(BRIGHTNESSES)
    assert transport["map_to_odom"] is None and run.summary["wrong_fixes"] == 0
    assert run.latency["p50"] > 0
    assert [(e.status, e.references) for e in live] == [(e.status, e.references) for e in offline]
    assert run.summary["outcomes"] == {"accepted": 9, "no_features": 1, "unconfirmed": 2}


def test_two_cameras_are_one_rig_over_dds_as_they_are_offline(ros_domain, tmp_path):
    first, second = TOPICS
    plan = EvaluationPlan(image_topic=first, beside=(second,), truth=TruthSource(topic=TRUTH))
    options = argparse.Namespace(map=tmp_path, extrinsic=[], rectified=False, two_d=False, camera_frame="")
    options.map_frame, options.base_frame, options.odom_frame = "map", "base_link", "odom"
    with Recording(drive_two(tmp_path / "bag")) as recording:
        indexed = index_bag(recording, plan)
        offline = run_offline(indexed, plan, StandInLocalizer(), TrackingConfig())[0]
        with python_process("test/ros/stand_in.py", *node_arguments(options, indexed.topics, ["map_path=stand-in"])):
            live, transport = run_real_time(indexed, rate=0)
        run = summarize_run(indexed, plan, read_truth(indexed, plan), live, transport)
    assert [e.stamp_ns for e in live] == [e.stamp_ns for e in offline]
    assert [e.status for e in live] == [e.status for e in offline]
    for one, other in zip(live, offline, strict=True):
        assert [(c.name, c.used, c.stamp_ns) for c in one.cameras] == [
            (c.name, c.used, c.stamp_ns) for c in other.cameras
        ]
        if one.localized:
            np.testing.assert_allclose(one.map_from_base.matrix(), other.map_from_base.matrix(), atol=1e-12)
    assert transport["node"]["images_processed"] == 24 and run.summary["wrong_fixes"] == 0
    assert run.summary["cameras"]["left"]["used"] >= 10


def test_every_image_without_a_pose_has_a_reason():
    word = {"detail": "", "inliers": "0", "inlier_ratio": "0.000", "coverage": "0.000", "references": ""}
    lost = {**word, "detail": "too few inliers: 7", "inliers": "7", "inlier_ratio": "0.250", "references": "a, b"}
    said = {1: "accepted", 2: "replaced", 3: "few_inliers", 5: "accepted", 6: "unconfirmed"}
    heard = NodeReplies(
        poses={1: ReceivedPose(4_000_000, pycolmap.Rigid3d(), np.eye(6))},
        outcomes={stamp: (lost if stamp == 3 else word) | {"reason": reason} for stamp, reason in said.items()},
    )
    sent = {stamp: SentImage(10 * stamp, 1_000_000) for stamp in range(1, 9)}
    estimates = collect_estimates(sent, heard)
    assert [e.status.word for e in estimates] == [
        *("accepted", "replaced", "few_inliers", "not_received", "not_published", "unconfirmed"),
        *("unfinished", "unfinished"),
    ]
    assert [e.stamp_ns for e in estimates if not e.tried] == [2, 4, 7, 8]
    assert estimates[0].latency_ms == 3.0 and estimates[0].received_ns == 10
    few = estimates[2]
    assert (few.detail, few.inliers, few.inlier_ratio, few.references) == ("too few inliers: 7", 7, 0.25, ("a", "b"))
    assert {e.status.word for e in collect_estimates(sent, NodeReplies())} == {"unfinished"}


def test_a_busy_node_replaces_images_and_says_which(ros_domain, tmp_path):
    bag = drive(tmp_path / "bag", brightnesses=range(10, 40))
    parameters = {"use_sim_time": "true", "map_path": "slow", "image_topic": IMAGE, "camera_info_topic": INFO}
    arguments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    with Recording(bag) as recording:
        indexed = index_bag(recording, EvaluationPlan())
        with python_process("test/ros/stand_in.py", "--ros-args", *arguments):
            live, transport = run_real_time(indexed, rate=3)
    counts = Counter(e.status.word for e in live)
    assert counts["replaced"] == transport["node"]["dropped.replaced"] > 0
    assert counts["accepted"] == transport["node"]["images_published"] > 0
    assert not counts["not_published"] and sum(counts.values()) == 30


def test_a_recorded_map_to_odom_is_left_out_and_the_rest_stays(ros, tmp_path):
    pose = pycolmap.Rigid3d()
    with BagWriter(tmp_path / "bag") as writer:
        for parent, child in (("map", "odom"), ("odom", "base_link"), ("map", "shelf")):
            writer.write_transform(START_NS, parent, child, pose)
    node = Replay("/pose", [IMAGE], lambda *_: None)
    with Recording(tmp_path / "bag") as recording:
        kept = [bool(node._strip_own_transforms(recorded)) for recorded in recording.messages()]
    node.destroy_node()
    assert kept == [False, True, True]


def test_a_bag_of_ros1_is_refused_with_the_way_out(tmp_path):
    bag = of_ros1(drive(tmp_path / "plain"), tmp_path / "old.bag")
    with Recording(bag) as recording, pytest.raises(ValueError, match="rosbags-convert"):
        run_real_time(index_bag(recording, EvaluationPlan()), rate=1.0)


def test_freshness_tells_rate_and_gap():
    figures = measure_freshness([0, 50_000_000, 150_000_000], [0.2, 0.1, 0.15])
    assert figures["rate_hz"] == pytest.approx(2 / 0.15) and figures["largest_gap_s"] == pytest.approx(0.1)
    assert figures["stamp_ahead_min_s"] == pytest.approx(0.1) and measure_freshness([1], []) is None


def test_the_node_is_told_what_the_flags_say(tmp_path):
    flags = {"map": tmp_path, "map_frame": "map", "base_frame": "base", "odom_frame": "", "camera_frame": ""}
    options = argparse.Namespace(**flags, extrinsic=["0 0 0 0 0 0 1"], rectified=True, two_d=False)
    arguments = node_arguments(options, CameraTopics("/cam/image/compressed", "/cam/info"), ["pose.min_inliers=40"])
    expected = ["image_topic:=/cam/image", "image_transport:=compressed", "rectified:=true", "tf_mode:=map_to_base"]
    for argument in (*expected, "base_from_camera:=0 0 0 0 0 0 1", "pose.min_inliers:=40"):
        assert argument in arguments
