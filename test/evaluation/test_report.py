"""The report: everything in one file, drawn and legible on a phone and on a desk, and nothing from the network."""

import json
import re

import numpy as np
import pytest
from bags_of_others import TRUTH, drive
from pages import assert_a_browser_draws_it, assert_needs_nothing_but_itself
from ros.stand_in import StandInLocalizer

from deviloc_ros.bags.bag_plan import TruthSource, index_bag
from deviloc_ros.bags.reader import Recording
from deviloc_ros.config import TrackingConfig
from deviloc_ros.evaluation.recordings.bag_run import (
    EvaluationPlan,
    describe_localizers,
    read_truth,
    run_offline,
    summarize_run,
)
from deviloc_ros.evaluation.recordings.headline import make_headline
from deviloc_ros.evaluation.recordings.run_folder import Run, read_run, write_run
from deviloc_ros.evaluation.report.gallery import make_gallery
from deviloc_ros.evaluation.report.page import make_comparison, make_report
from deviloc_ros.evaluation.report.space import make_scene
from deviloc_ros.evaluation.report.trajectories import MapOutline, outline_map


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Run, str]:
    """A run with a stretch of lost images and a jump, and its page."""
    bag = drive(tmp_path_factory.mktemp("bag") / "bag", (*range(10, 20), 40, 41, 42, 43), lost=(5, 6))
    plan = EvaluationPlan(truth=TruthSource(topic=TRUTH))
    localizer = StandInLocalizer()
    with Recording(bag) as recording:
        indexed = index_bag(recording, plan)
        estimates = run_offline(indexed, plan, localizer, TrackingConfig())[0]
        about = {
            "mode": "offline",
            "sampling": plan.sampling,
            **describe_localizers([localizer], TrackingConfig(), ""),
        }
        run = summarize_run(indexed, plan, read_truth(indexed, plan), estimates, about)
        pictures = list(make_gallery(indexed, run.frames, [localizer]))
    return run, make_report(run, outline_map(localizer.map), pictures)


def test_each_of_several_maps_has_a_drawing_of_its_own_and_the_images_that_it_shows(tmp_path):
    """A robot that goes up a floor."""
    bag = drive(tmp_path / "bag", (*range(90, 100), *range(120, 128)), lost=(5,))
    plan, tracking = EvaluationPlan(), TrackingConfig()
    localizers = [StandInLocalizer(map_path=name) for name in ("dim", "bright")]
    with Recording(bag) as recording:
        indexed = index_bag(recording, plan)
        estimates, about = run_offline(indexed, plan, localizers, tracking)
        about |= describe_localizers(localizers, tracking, "house")
        run = summarize_run(indexed, plan, None, estimates, about)
        pictures = list(make_gallery(indexed, run.frames, localizers))
    shown = [frame.estimate.map_name for frame in run.frames if frame.localized]
    assert shown == ["dim"] * shown.count("dim") + ["bright"] * shown.count("bright")
    assert run.summary["localized_in"] == {"bright": shown.count("bright"), "dim": shown.count("dim")}
    assert min(run.summary["localized_in"].values()) >= 4 and dict(make_headline(run))["in map dim"].endswith(" images")
    assert [one["name"] for one in run.summary["map"]["maps"]] == ["dim", "bright"]
    page = make_report(run, {one.map.name: outline_map(one.map) for one in localizers}, pictures)
    assert "Where it was in map dim" in page and "Where it was in map bright" in page and "in house" in page
    write_run(tmp_path, run, "map", "base_link")
    assert [frame.estimate.map_name for frame in read_run(tmp_path).frames] == [
        frame.estimate.map_name for frame in run.frames
    ]


def test_the_page_needs_nothing_but_itself(made):
    assert_needs_nothing_but_itself(made[1], pictures=10)


def test_the_page_says_first_what_matters_most(made):
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", made[1], flags=re.S)
    for word in ("wrong fixes", "median error", "95th percentile", "time to first fix", "longest gap", "latency"):
        assert word in text
    assert "None of these poses was wrong" in text and "Alignment: none" in text
    assert "too few keypoints in the image" in text and "The worst images" in text
    assert text.index("wrong fixes") < text.index("How far off")


def test_names_from_a_recording_cannot_become_markup(made):
    run = Run("<b>x</b>", made[0].summary | {"bag": "<script>alert(1)</script>"}, made[0].latency, made[0].frames)
    assert "<script>" not in make_report(
        run, outline_map(StandInLocalizer().map), []
    ) and "<b>x" not in make_comparison([run, run])


def test_a_run_without_truth_or_poses_still_has_a_page(made):
    frames = [f for f in made[0].frames if not f.localized]
    bare = made[0].summary | {"with_ground_truth": 0, "wrong_fixes": None, "recall": None, "localized": 0}
    run = Run("bare", bare | {"translation_m": None, "time_to_first_fix_s": None}, None, frames)
    page = make_report(run, MapOutline(np.zeros((0, 3)), []), [])
    assert "median error" not in page and "no ground truth" in page and "never" in page and "How far off" not in page


def test_two_runs_stand_side_by_side(made, tmp_path):
    page = make_comparison(
        [Run(name, made[0].summary, made[0].latency, made[0].frames) for name in ("before", "after")]
    )
    assert page.count("before") > 1 and page.index("before") < page.index("after")


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_all_of_it_without_an_error(made, tmp_path, width):
    turned = assert_a_browser_draws_it(made[1], tmp_path, width, pictures=10)
    # Turned by a key, enlarged by another, back again; turned by one finger, enlarged by two, untouched, back again.
    assert turned["views"] == [0, 1, 2, 0, 4, 5, 5, 0]
    assert turned["colours"] > 5 and turned["named"].startswith("In space.")
    assert 200 < turned["width"] <= width and 200 < turned["height"] < 700


def test_the_scene_has_everything_in_millimetres_about_its_middle(made):
    around = MapOutline(np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [2.0, 2.0, 0.0]] * 50), [])
    found = json.loads(make_scene([made[0]], around))
    names = [part["name"] for part in found["parts"]]
    assert names == ["map", "true path", "localized"]
    everything = np.concatenate([np.reshape(part["xyz"], (-1, 3)) for part in found["parts"]])
    np.testing.assert_allclose(everything.min(0) + everything.max(0), 0, atol=1)
    assert np.linalg.norm(everything, axis=1).max() <= found["radius"] * 1.001 and found["axis"] <= found["radius"]
    nothing = Run("bare", {}, None, [])
    assert json.loads(make_scene([nothing], MapOutline(np.zeros((0, 3)), [])))["parts"] == []
