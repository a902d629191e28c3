"""The files of a run: the same in two runs, read back as they were written, and read by evo with the same errors."""

import filecmp
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from bags_of_others import TRUTH, drive, map_from_base
from ros.stand_in import StandInLocalizer
from worlds import random_rigid

from deviloc_ros.bags.bag_plan import TruthSource, index_bag
from deviloc_ros.bags.reader import Recording
from deviloc_ros.bags.truth import Truth
from deviloc_ros.camera import Camera
from deviloc_ros.config import TrackingConfig
from deviloc_ros.evaluation.recordings.bag_run import EvaluationPlan, read_truth, run_offline, summarize_run
from deviloc_ros.evaluation.recordings.frames import Estimate, judge_estimates
from deviloc_ros.evaluation.recordings.headline import describe_calibration, make_headline, make_remarks
from deviloc_ros.evaluation.recordings.run_folder import (
    ESTIMATED,
    ESTIMATES,
    FRAMES,
    SUMMARY,
    prepare_folder,
    read_run,
    write_run,
)
from deviloc_ros.evaluation.recordings.run_folder import TRUTH as TRUTH_FILE
from deviloc_ros.evaluation.recordings.summary import summarize_frames
from deviloc_ros.geometry import rigid_from_matrix
from deviloc_ros.io.tum_trajectory import write_tum
from deviloc_ros.messages.headers import rigid_from_pose
from deviloc_ros.status import Status

LOST = (5, 6, 7)


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    return drive(tmp_path_factory.mktemp("bag") / "bag", lost=LOST)


def run_to(folder: Path, bag: Path, localizer: StandInLocalizer | None = None, **plan):
    plan = EvaluationPlan(**{"truth": TruthSource(topic=TRUTH)} | plan)
    prepare_folder(folder)
    with Recording(bag) as recording:
        indexed = index_bag(recording, plan)
        estimates = run_offline(indexed, plan, localizer or StandInLocalizer(), TrackingConfig())[0]
        result = summarize_run(
            indexed,
            plan,
            read_truth(indexed, plan),
            estimates,
            {"mode": "offline"},
        )
    write_run(folder, result, "map", "base_link")
    return result


def test_two_runs_write_identical_files(bag, tmp_path):
    for name in "ab":
        run_to(tmp_path / name, bag)
    same = [SUMMARY, FRAMES, ESTIMATED, TRUTH_FILE, *(f"{ESTIMATES}/{n}" for n in ("estimates.mcap", "metadata.yaml"))]
    match, mismatch, errors = filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", same, shallow=False)
    assert (sorted(match), mismatch, errors) == (sorted(same), [], [])


def test_lost_images_are_counted_and_timed(bag, tmp_path):
    summary = run_to(tmp_path / "run", bag).summary
    assert summary["outcomes"] == {"accepted": 7, "no_features": 3, "unconfirmed": 2}
    assert (summary["tried"], summary["localized"], summary["wrong_fixes"]) == (12, 7, 0)
    assert summary["time_to_first_fix_s"] == pytest.approx(0.2) and summary["longest_gap_s"] == pytest.approx(0.4)
    assert summary["recall"]["1cm_1deg"] == pytest.approx(7 / 12)


def test_the_intrinsics_that_fit_all_images_are_in_the_summary(tmp_path):
    bag, localizer = drive(tmp_path / "bag"), StandInLocalizer()
    silent = run_to(tmp_path / "silent", bag)
    assert silent.summary["calibration"] is None and "calibration" not in dict(make_headline(silent))
    localizer.true_camera = Camera("PINHOLE", 64, 48, (63.0, 63.0, 36.5, 23.5))
    run = run_to(tmp_path / "run", bag, localizer)
    found = run.summary["calibration"]
    assert (found["focal_scale"], found["principal_point_x_px"]) == pytest.approx((1.05, -5.0), abs=0.01)
    assert found["images"] == 12 and "off by about -5.0" in found["complaint"]
    assert dict(make_headline(run))["calibration"].startswith("wrong (by 12 images the focal length is 1.050")
    assert describe_calibration(found | {"complaint": ""}).startswith("fine (by 12 images")
    assert dict(make_remarks(run))["calibration"] == found["complaint"]


def test_a_slow_machine_tries_fewer_images(bag, tmp_path):
    summary = run_to(tmp_path / "run", bag, budget_ms=250).summary
    assert summary["outcomes"]["replaced"] == 6 and (summary["images"], summary["tried"]) == (12, 6)


def test_a_run_is_read_back_as_it_was_written(bag, tmp_path):
    written, back = run_to(tmp_path / "run", bag), read_run(tmp_path / "run")
    assert back.summary == written.summary and back.name == "run"
    for one, other in zip(written.frames, back.frames, strict=True):
        assert (one.estimate.stamp_ns, one.estimate.status) == (other.estimate.stamp_ns, other.estimate.status)
        np.testing.assert_allclose([one.translation_m, one.nees], [other.translation_m, other.nees], rtol=1e-8)
    again = summarize_frames(back.frames)
    assert again["outcomes"] == written.summary["outcomes"] and again["recall"] == written.summary["recall"]


def test_a_run_that_was_broken_off_is_written_again(bag, tmp_path):
    result = run_to(tmp_path / "run", bag)
    (tmp_path / "run" / SUMMARY).unlink()  # it is written last
    write_run(tmp_path / "run", result, "map", "base_link")
    assert read_run(tmp_path / "run").summary == result.summary


def test_the_bag_of_estimates_holds_poses_with_covariance_and_truth(bag, tmp_path):
    result = run_to(tmp_path / "run", bag)
    with Recording(tmp_path / "run" / ESTIMATES) as recording:
        assert recording.count("/ground_truth") == 12 and recording.count("/estimate") == recording.count("/tf") == 7
        first = next(iter(recording.messages(("/estimate",)))).message()
    frame = next(f for f in result.frames if f.localized)
    np.testing.assert_allclose(rigid_from_pose(first.pose.pose).matrix(), frame.map_from_base.matrix(), atol=1e-12)
    np.testing.assert_allclose(first.pose.covariance.reshape(6, 6), frame.estimate.covariance, atol=1e-15)


def test_what_is_not_a_run_is_left_alone_and_named(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds no earlier run"):
        prepare_folder(tmp_path)
    with pytest.raises(ValueError, match=r"not the output of evaluate-bag: .*summary\.json is missing"):
        read_run(tmp_path)


def noisy_frames(rng, align: bool, true_from_map=None):
    """Fifty poses a few centimetres off, and a common offset."""
    true = [(10**9 * n, random_rigid(rng)) for n in range(50)]
    offset = true_from_map.inverse() if true_from_map else rigid_from_matrix(np.eye(4))
    estimates = []
    for time_ns, pose in true:
        noise = random_rigid(rng, angle=0.01, reach=0.02)
        estimates.append(Estimate(time_ns, time_ns, Status.ACCEPTED, "", offset * pose * noise, 1e-4 * np.eye(6)))
    return true, judge_estimates(estimates, Truth(true), align)


def test_alignment_takes_a_common_offset_away_and_nothing_else():
    rng = np.random.default_rng(0)
    _, frames = noisy_frames(rng, True, random_rigid(rng))
    plain = noisy_frames(np.random.default_rng(1), False)[1]
    assert np.mean([f.translation_m for f in frames]) == pytest.approx(
        np.mean([f.translation_m for f in plain]), rel=0.3
    )
    assert max(f.rotation_deg for f in frames) < 5


def test_poses_on_one_line_cannot_be_aligned():
    poses = [(n, map_from_base(10 + n)) for n in range(5)]
    noise = 1e-4 * np.random.default_rng(0).normal(size=(5, 3))
    for off in (np.zeros((5, 3)), noise):
        moved = [
            pycolmap.Rigid3d(pose.rotation, pose.translation + by) for (_, pose), by in zip(poses, off, strict=True)
        ]
        estimates = [Estimate(t, t, Status.ACCEPTED, "", pose) for (t, _), pose in zip(poses, moved, strict=True)]
        with pytest.raises(ValueError, match=r"--align: .* not on one line"):
            judge_estimates(estimates, Truth(poses), align=True)


@pytest.mark.parametrize("align", [False, True])
def test_evo_gives_the_same_absolute_trajectory_error(tmp_path, align):
    pytest.importorskip("evo", reason="evo is not installed: pip install evo")
    from evo.core import metrics, sync
    from evo.tools import file_interface

    rng = np.random.default_rng(2)
    true, frames = noisy_frames(rng, align, random_rigid(rng, 0.1, 0.1))
    write_tum(tmp_path / "true.tum", true)
    write_tum(tmp_path / "estimated.tum", [(f.estimate.stamp_ns, f.estimate.map_from_base) for f in frames])
    pair = [file_interface.read_tum_trajectory_file(str(tmp_path / f"{n}.tum")) for n in ("true", "estimated")]
    reference, estimated = sync.associate_trajectories(*pair)
    if align:
        estimated.align(reference)
    ape = metrics.APE(metrics.PoseRelation.translation_part)
    ape.process_data((reference, estimated))
    ours = summarize_frames(frames)["translation_m"]
    statistics = ape.get_all_statistics()
    for name, key in (("rmse", "rmse"), ("median", "median"), ("max", "max")):
        assert abs(ours[name] - statistics[key]) < 1e-9, f"{name}: {ours[name]} here, {statistics[key]} by evo"
