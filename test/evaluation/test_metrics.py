"""Lost queries are misses, never forgotten; wrong fixes are counted."""

import numpy as np
import pytest
from worlds import rigid_of

from deviloc_ros.evaluation.metrics import (
    compare_to_truth,
    median_errors,
    median_interval,
    recall_by_threshold,
    share_not_worse,
    summarize,
)
from deviloc_ros.evaluation.summary_table import COLUMNS, format_stages, format_summaries
from deviloc_ros.status import Status
from deviloc_ros.types import Evidence, Localized, Lost

TRUTH = rigid_of([0, 0, 0], [0, 0, 0])


def found(translation_m: float, rotation_deg: float = 0.0, inliers: int = 40):
    """The outcome of a query localized that far from the truth."""
    evidence = Evidence(inlier_mask=np.ones(inliers, bool), stages_ms={"extract": 10.0, "pose": translation_m})
    estimate = rigid_of([0, 0, np.deg2rad(rotation_deg)], [translation_m, 0, 0])
    return compare_to_truth("query", Localized(estimate, np.eye(6), evidence), TRUTH)


def missed():
    return compare_to_truth("query", Lost(Status.FEW_INLIERS, evidence=Evidence(stages_ms={"extract": 10.0})), TRUTH)


def test_errors_are_distance_and_angle():
    result = found(0.3, 12.0)
    assert result.translation_m == pytest.approx(0.3) and result.rotation_deg == pytest.approx(12.0)
    assert result.localized and not missed().localized and np.isnan(missed().translation_m)


def test_both_errors_must_be_within_a_threshold_and_lost_ones_count():
    outcomes = [found(0.005), found(0.015, 1.5), found(0.015, 4.0), found(0.08), missed()]
    assert recall_by_threshold(outcomes) == {"1cm_1deg": 0.2, "2cm_2deg": 0.4, "5cm_5deg": 0.6, "10cm_5deg": 0.8}


def test_a_wrong_fix_is_a_pose_given_and_far_off():
    wrong = [found(0.6), found(0.0, 11.0)]
    fine = [found(0.4, 9.0), missed()]
    assert all(o.is_wrong_fix for o in wrong) and not any(o.is_wrong_fix for o in fine)
    assert summarize(wrong + fine)["wrong_fixes"] == 2


def test_the_median_is_over_all_queries():
    assert median_errors([found(0.01), found(0.02), missed()])[0] == pytest.approx(0.02)
    assert median_errors([found(0.01), missed(), missed()]) == (np.inf, np.inf)


def test_the_interval_of_a_median_holds_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for count in (10, 50):
        intervals = np.array([median_interval(rng.exponential(size=count)) for _ in range(2000)])
        held = ((intervals[:, 0] <= np.log(2)) & (np.log(2) <= intervals[:, 1])).mean()
        assert 0.95 <= held <= 0.99


def test_the_interval_of_a_median_counts_lost_queries_and_needs_some():
    assert median_interval([0.1, 0.2, np.inf]) == (0.1, np.inf)
    assert median_interval([0.1]) == (0.1, 0.1)


def test_scene_units_divide_translations():
    result = compare_to_truth(
        "query", Localized(rigid_of([0, 0, 0], [0.45, 0, 0]), np.eye(6), Evidence()), TRUTH, scene_m=15.0
    )
    assert median_errors([result])[0] == pytest.approx(0.03) and recall_by_threshold([result])["2cm_2deg"] == 0.0
    assert recall_by_threshold([result])["5cm_5deg"] == 1.0


def test_a_summary_of_only_lost_queries_has_its_numbers():
    summary = summarize([missed(), missed()])
    assert (summary["queries"], summary["localized"], summary["wrong_fixes"], summary["median_inliers"]) == (
        2,
        0,
        0,
        0.0,
    )
    assert summary["recall"]["10cm_5deg"] == 0.0 and summary["latency_ms"]["p50"] == 10.0


def test_a_summary_counts_and_times():
    summary = summarize([found(0.01, inliers=50), found(0.03, inliers=70), missed()])
    assert (summary["queries"], summary["localized"], summary["median_inliers"]) == (3, 2, 60.0)
    assert set(summary["latency_ms"]["stages"]) == {"extract", "pose"}


def test_the_table_has_a_row_per_summary_in_line():
    run = {
        "protocol": "kitchen-12",
        "matcher": "xfeat",
        "lift": "interpolate",
        "references": 5,
        "retrieval": "true-pose",
    }
    summary = run | summarize([found(0.0123), found(0.0123)])
    lines = format_summaries([summary, summary | {"protocol": "fountain-loo"}]).splitlines()
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1
    assert lines[0].count("|") == len(COLUMNS) + 1 and "1.23 cm" in lines[2] and "2 / 2" in lines[2]
    assert format_stages(summary).startswith("extract 10.0")


def test_the_same_errors_are_never_worse_and_larger_ones_always():
    errors = np.random.default_rng(0).uniform(0.01, 0.1, 40)
    assert share_not_worse(errors, errors) == 1.0
    assert share_not_worse(errors * 1.01, errors) == 0.0 and share_not_worse(errors * 0.99, errors) == 1.0
    with pytest.raises(ValueError, match="39 and 40"):
        share_not_worse(errors[1:], errors)


def test_differences_that_only_some_queries_make_are_uncertain():
    rng = np.random.default_rng(1)
    baseline = rng.uniform(0.01, 0.1, 40)
    other = rng.permutation(baseline)
    assert 0.1 < share_not_worse(other, baseline) < 1.0


def test_a_lost_query_is_worse_than_any_error():
    assert share_not_worse([np.inf] * 3, [1.0] * 3) == 0.0 and share_not_worse([1.0] * 3, [np.inf] * 3) == 1.0
