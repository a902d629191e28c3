"""What /diagnostics says."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from deviloc_ros.ros.diagnostics import (
    Health,
    Rates,
    Tally,
    diagnostics_msg,
    format_stamp,
    image_status_msg,
    judge_health,
    parse_stamp,
    tally_values,
)
from deviloc_ros.ros.worker import ThreadState
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.step import Step
from deviloc_ros.tracking.tracker import TrackingState
from deviloc_ros.types import Evidence, IntrinsicsFit

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
ACCEPTED = Step(5, Status.ACCEPTED, fix=Fix(5, pycolmap.Rigid3d(), np.eye(6)))
ENDED, STUCK = ThreadState("transforms", False), ThreadState("localizer", True, busy_s=99.0)
FAILED = Step(5, Status.FEW_INLIERS, "too few inliers: 7 of at least 30")


@pytest.mark.parametrize(
    ("health", "level", "says"),
    [
        (Health("inactive"), WARN, "inactive"),
        (Health("active", enabled=False), WARN, "disabled"),
        (Health("active", silent_s=9, image_topic="/image"), ERROR, "no image on /image for 9 s"),
        (Health("active", silent_s=9, incompatible_qos=("QoS (RELIABILITY)",)), ERROR, "QoS (RELIABILITY)"),
        (Health("active"), ERROR, "unlocalized: no image localized yet"),
        (Health("active", state=TrackingState.LOCALIZED, threads=(ENDED,)), ERROR, "thread 'transforms' has ended"),
        (Health("inactive", threads=(ThreadState("main", True), ENDED)), ERROR, "thread 'transforms' has ended"),
        (
            Health("active", state=TrackingState.LOCALIZED, threads=(STUCK,)),
            ERROR,
            "thread 'localizer' is stuck for 99 s",
        ),
        (Health("active", continuous=False), OK, "waiting for ~/trigger_localization"),
        (Health("active", continuous=False, state=TrackingState.LOST, step=ACCEPTED), OK, "waiting for ~/trigger"),
        (Health("active", continuous=False, state=TrackingState.LOST, step=FAILED), ERROR, "lost: too few inliers"),
        (Health("active", continuous=False, state=TrackingState.LOCALIZED, step=ACCEPTED), OK, "localized"),
        (Health("active", rests=True, state=TrackingState.COASTING, step=ACCEPTED), OK, "localized"),
        (Health("active", rests=True, state=TrackingState.COASTING, step=FAILED), WARN, "coasting: too few inliers"),
        (
            Health("active", rests=True, state=TrackingState.LOST, step=ACCEPTED),
            ERROR,
            "lost: no newer image was localized",
        ),
        (Health("active", state=TrackingState.COASTING, step=ACCEPTED), WARN, "coasting: no newer image was localized"),
        (Health("active", step=FAILED), ERROR, "unlocalized: too few inliers: 7 of at least 30"),
        (Health("active", state=TrackingState.COASTING, step=FAILED), WARN, "coasting: too few inliers"),
        (Health("active", state=TrackingState.LOST, step=FAILED), ERROR, "lost: too few inliers"),
        (Health("active", state=TrackingState.LOCALIZED, step=FAILED), OK, "localized"),
        (Health("active", state=TrackingState.LOCALIZED, missing_odometry=True), WARN, "map->odom is not updated"),
        (
            Health("active", state=TrackingState.LOCALIZED, calibration_complaint="1.050 fits"),
            WARN,
            "localized, but 1.050 fits",
        ),
    ],
)
def test_level_and_message_name_the_first_thing_wrong(health, level, says):
    assert judge_health(health)[0] == level and says in judge_health(health)[1]


def test_the_message_holds_the_last_image_and_the_hardware():
    health = Health("active", step=FAILED, last_fix_age_s=1.5, values={"map_id": "abc"})
    msg = diagnostics_msg("deviloc: localization", health, "abc", Time(sec=3))
    values = {value.key: value.value for value in msg.status[0].values}
    assert msg.header.stamp.sec == 3 and msg.status[0].hardware_id == "abc"
    assert values["reason"] == "few_inliers" and values["inliers"] == "0" and values["last_fix_age_s"] == "1.500"


def test_what_the_last_image_says_of_the_focal_length_is_told():
    information = np.diag(np.array([0.002, 1.0, 1.0, 0.01]) ** -2.0)
    fit = IntrinsicsFit(information, information @ [np.log(1.05), 0, 0, 0], pycolmap.Rigid3d(), 4.0)
    evidence = Evidence(intrinsics=fit)
    msg = image_status_msg("deviloc", replace(FAILED, evidence=evidence))
    values = {value.key: value.value for value in msg.values}
    assert (values["focal_scale"], values["focal_scale_std"]) == ("1.0500", "0.0021")


def test_every_image_has_a_reason_on_its_own_topic():
    msg = image_status_msg("deviloc", FAILED)
    values = {value.key: value.value for value in msg.values}
    assert (msg.level, msg.name, msg.message) == (WARN, "deviloc: image", "too few inliers: 7 of at least 30")
    assert values["reason"] == "few_inliers" and values["image_stamp"] == "0.000000005"


def test_rates_are_over_whole_windows():
    rates = Rates(window_s=2.0, now_s=10.0)
    assert rates.update({"images": 7}, 10.1) == {"images": 0.0}
    assert rates.update({"images": 30}, 12.0) == {"images": 15.0}
    assert rates.update({"images": 31}, 12.01) == {"images": 15.0}  # a moment later it is not 100 Hz
    assert rates.update({"images": 36}, 15.0) == {"images": 2.0}


def test_totals_and_drops_are_listed():
    tally = Tally(received=40, processed=10)
    tally.dropped[Status.REPLACED] = 3
    values = tally_values(tally, Rates(1.0, 0.0), 2.0)
    assert (values["images_received"], values["images_received_hz"], values["dropped.replaced"]) == ("40", "20.00", "3")


def test_what_is_known_of_missing_images_is_said_before_qos():
    health = Health(
        "active", silent_s=9, image_topic="/image", missing_images="nobody", incompatible_qos=("x offers y",)
    )
    assert judge_health(health) == (ERROR, "no image on /image for 9 s: nobody; x offers y")


def test_nodes_of_the_same_name_are_a_warning_beside_whatever_is_said():
    for health, level in ((Health("active", state=TrackingState.LOCALIZED), WARN), (Health("active"), ERROR)):
        status = diagnostics_msg("deviloc: localization", replace(health, namesakes=2), "abc", Time()).status[0]
        assert status.level == level and status.message.endswith("; 2 other nodes have this node's name")


def test_whatever_strangers_put_into_a_diagnostic_it_stays_small():
    long = "x" * 1_000_000
    thread = ThreadState("localizer", True, failures=3, last_failure=f"ValueError: {long}")
    health = Health("active", threads=(thread,), values={f"tf_failures.{long}": long})
    (status,) = diagnostics_msg("deviloc: localization", health, "abc", Time()).status
    assert all(len(value.key) + len(value.value) <= 800 for value in status.values) and len(status.message) <= 400
    assert "running; 3 failures" in next(value.value for value in status.values if value.key == "thread.localizer")


@pytest.mark.parametrize("stamp_ns", [0, 1, 999_999_999, 1_000_000_000, 1_700_000_000_123_456_789])
def test_stamps_survive_as_text(stamp_ns):
    assert parse_stamp(format_stamp(stamp_ns)) == stamp_ns
