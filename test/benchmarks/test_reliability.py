"""The calibration error is nought for an honest confidence, and the gap for one that is not."""

import numpy as np
import pytest

from benchmarks.holdout import Answers, score_answers, select_well_observed
from deviloc_ros.evaluation.reliability import bin_by_confidence, draw_reliability
from deviloc_ros.types import Landmarks


def test_an_honest_confidence_has_no_calibration_error():
    rng = np.random.default_rng(0)
    confidence = rng.random(100_000)
    diagram = bin_by_confidence(confidence, rng.random(100_000) < confidence)
    assert diagram.calibration_error < 0.01
    np.testing.assert_allclose(diagram.confidence, diagram.right, atol=0.02)
    assert diagram.count.sum() == 100_000


def test_boasting_shows():
    rng = np.random.default_rng(0)
    diagram = bin_by_confidence(np.full(10_000, 0.9), rng.random(10_000) < 0.6)
    assert diagram.calibration_error == pytest.approx(0.3, abs=0.02)
    assert len(diagram.count) == 1


def test_certainty_belongs_to_the_last_bin_and_nothing_is_refused(tmp_path):
    diagram = bin_by_confidence(np.array([0.0, 1.0]), np.array([False, True]))
    assert diagram.calibration_error == 0 and diagram.count.tolist() == [1, 1]
    draw_reliability(tmp_path / "diagram.svg", {"here": diagram})
    assert "<svg" in (tmp_path / "diagram.svg").read_text()
    with pytest.raises(ValueError, match="no answers"):
        bin_by_confidence(np.zeros(0), np.zeros(0, bool))


def test_landmarks_of_two_views_are_not_the_truth():
    def seen(*ids):
        return Landmarks.without_stds(np.array(ids), np.zeros((len(ids), 2)), np.zeros((len(ids), 3)))

    kept, observations = select_well_observed({"a": seen(1, 2, 3), "b": seen(1, 2), "c": seen(1, 3)})
    assert {name: landmarks.ids.tolist() for name, landmarks in kept.items()} == {"a": [1], "b": [1], "c": [1]}
    assert observations == {1: 3}


def test_a_score_is_of_all_answers_of_the_surer_half_and_of_those_whose_truth_is_sure():
    answers = Answers(np.array([0.01, 0.03, 0.01, 0.05]), np.array([0.9, 0.8, 0.3, 0.1]), np.array([3, 8, 12, 3]))
    assert score_answers(answers) == {
        "median": pytest.approx(0.02),
        "within_2pct": 0.5,
        "within_2pct_confident_half": 0.5,
        "within_2pct_sure_truth": 0.5,
    }
