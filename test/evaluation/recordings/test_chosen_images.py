"""Which images are tried: a machine that is too slow drops what the node's mailbox drops."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deviloc_ros.bags.bag_plan import Part
from deviloc_ros.evaluation.recordings.bag_run import format_ordinal
from deviloc_ros.evaluation.recordings.chosen_images import take_every_kth, take_part, try_all, try_within_budget
from deviloc_ros.tracking.grouping import GroupedImage


def images(*times):
    return [[GroupedImage("", t, t, None)] for t in times]


def tried(times, budget):
    return [group[0].received_ns for group, done in try_within_budget(images(*times), budget) if done]


def test_a_fast_machine_tries_all_and_every_kth_keeps_the_first():
    assert tried([0, 10, 20], 5) == [0, 10, 20]
    assert [group[0].received_ns for group in take_every_kth(images(*range(7)), 3)] == [0, 3, 6]
    assert all(done for _, done in try_all(images(1, 2)))


def test_while_it_is_busy_the_newest_waits():
    # 0 is done at 25; of 10 and 20 the newer waits, starts at 25 and is done at 50; 30 and 40 likewise.
    assert tried([0, 10, 20, 30, 40], 25) == [0, 20, 40]
    assert tried([0, 1, 2, 100], 50) == [0, 2, 100]


@given(st.lists(st.integers(1, 100), min_size=1, max_size=30), st.integers(1, 200))
def test_every_image_comes_back_once_and_no_two_are_done_at_once(gaps, budget):
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    result = list(try_within_budget(images(*times), budget))
    assert [group[0].received_ns for group, _ in result] == times and result[0][1] and result[-1][1]
    free = 0
    for group, done in result:
        if done:
            free = max(free, group[0].received_ns) + budget
            assert free <= group[0].received_ns + 2 * budget  # none waits longer than one image takes


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=30, unique=True), st.floats(0.01, 11))
def test_two_parts_of_a_recording_are_all_of_it_and_share_no_image(times, at_s):
    times.sort()
    before, after = ([group[0].stamp_ns for group in take_part(images(*times), part)] for part in halves(at_s))
    assert before + after == times
    assert all((time - times[0]) * 1e-9 < at_s for time in before)


def halves(at_s):
    return Part(end_s=at_s), Part(start_s=at_s)


@pytest.mark.parametrize(("start_s", "end_s"), [(2.0, 2.0), (3.0, 2.0), (math.inf, math.inf)])
def test_a_part_without_time_is_refused(start_s, end_s):
    with pytest.raises(ValueError, match=r"a part's start, .* s, is not before its end, .* s"):
        Part(start_s, end_s)


@pytest.mark.parametrize(
    ("number", "word"), [(2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (21, "21st"), (112, "112th"), (122, "122nd")]
)
def test_ordinals_are_english(number, word):
    assert format_ordinal(number) == word
