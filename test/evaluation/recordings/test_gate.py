"""Requirements for a CI: what holds passes, what does not is named with its number."""

import pytest

from deviloc_ros.evaluation.recordings.requirements import failures, parse_requirement

SUMMARY = {"wrong_fixes": 1, "recall": {"5cm_5deg": 0.94}, "translation_m": None, "bag": "drive"}


@pytest.mark.parametrize("text", ["wrong_fixes<=1", "recall.5cm_5deg >= 0.9", "wrong_fixes==1", "recall.5cm_5deg<1"])
def test_what_holds_passes(text):
    assert failures([parse_requirement(text)], SUMMARY) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("wrong_fixes<=0", "wrong_fixes <= 0 was required, it is 1"),
        ("recall.5cm_5deg>=0.95", "recall.5cm_5deg >= 0.95 was required, it is 0.94"),
        ("translation_m.p95<=0.1", "translation_m.p95 <= 0.1 was required, there is none"),
    ],
)
def test_what_does_not_hold_is_named(text, says):
    assert failures([parse_requirement(text)], SUMMARY) == [says]


@pytest.mark.parametrize("text", ["wrong_fixes", "wrong_fixes=<0", "<=0", "a<=b", "a<=nan"])
def test_what_is_no_requirement_is_refused(text):
    with pytest.raises(ValueError, match="expected NAME<=NUMBER"):
        parse_requirement(text)


@pytest.mark.parametrize("text", ["wrong_fixs<=0", "recall.3cm<=0", "recall<=1", "bag==1"])
def test_a_figure_that_there_is_not_lists_those_that_there_are(text):
    with pytest.raises(ValueError, match=r"wrong_fixes, recall\.5cm_5deg"):
        failures([parse_requirement(text)], SUMMARY)
