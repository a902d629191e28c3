"""Requirements for a CI: what holds passes, what does not is named with its number."""

import pytest

from deviloc_ros.evaluation.recordings.figure_names import check_names
from deviloc_ros.evaluation.recordings.requirements import find_failures, parse_requirement

SUMMARY = {"wrong_fixes": 1, "recall": {"5cm_5deg": 0.94}, "translation_m": None, "bag": "drive"}


@pytest.mark.parametrize("text", ["wrong_fixes<=1", "recall.5cm_5deg >= 0.9", "wrong_fixes==1", "recall.5cm_5deg<1"])
def test_what_holds_passes(text):
    assert find_failures([parse_requirement(text)], SUMMARY) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("wrong_fixes<=0", "wrong_fixes <= 0 was required, it is 1"),
        ("recall.5cm_5deg>=0.95", "recall.5cm_5deg >= 0.95 was required, it is 0.94"),
        ("translation_m.p95<=0.1", "translation_m.p95 <= 0.1 was required, there is none"),
    ],
)
def test_what_does_not_hold_is_named(text, says):
    assert find_failures([parse_requirement(text)], SUMMARY) == [says]


@pytest.mark.parametrize("text", ["wrong_fixes", "wrong_fixes=<0", "<=0", "a<=b", "a<=nan"])
def test_what_is_no_requirement_is_refused(text):
    with pytest.raises(ValueError, match="expected NAME<=NUMBER"):
        parse_requirement(text)


def test_names_are_checked_before_a_run():
    good = ["wrong_fixes<=0", "recall.5cm_5deg>=0.9", "translation_m.p95<=0.1", "longest_gap_s<=2", "localized>=1"]
    good += [
        "latency_ms.p95<=100",
        "outcomes.few_inliers<=3",
        "odometry.images>=1",
        "calibration.focal_scale<=1.1",
        "motion.time_offset_s<=0.1",
    ]
    check_names([parse_requirement(text) for text in good])
    check_names([])


def test_an_outcome_that_no_image_had_was_had_by_none():
    assert find_failures([parse_requirement("outcomes.few_inliers<=0")], {"outcomes": {"accepted": 3}}) == []
    assert find_failures([parse_requirement("outcomes.accepted<=2")], {"outcomes": {"accepted": 3}})


@pytest.mark.parametrize(
    ("name", "meant"),
    [("wrong_fixs", "wrong_fixes"), ("recall.5cm_5degs", "recall.5cm_5deg"), ("rotation_deg.p_95", "rotation_deg.p95")],
)
def test_a_misspelt_name_is_refused_with_the_nearest(name, meant):
    with pytest.raises(ValueError, match=rf"no run has such a figure; did you mean '{meant}'\?"):
        check_names([parse_requirement(f"{name}<=0")])


@pytest.mark.parametrize("text", ["wrong_fixs<=0", "recall.3cm<=0", "recall<=1", "bag==1"])
def test_a_figure_that_there_is_not_lists_those_that_there_are(text):
    with pytest.raises(ValueError, match=r"wrong_fixes, recall\.5cm_5deg"):
        find_failures([parse_requirement(text)], SUMMARY)
