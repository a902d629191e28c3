"""Images of several cameras are grouped by their stamps: what belongs together, what is not waited for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deviloc_ros.tracking.grouping import ImageGrouper

MS = 1_000_000
START_MS = 1_000_000


def sent(offsets_ms, periods_ms=100, until_ms=1500, missing=(), delay_ms=5):
    """(received, camera, stamp) [ms] of cameras that begin at these times, in order of receipt."""
    events = []
    for camera, offset in offsets_ms.items():
        period = periods_ms[camera] if isinstance(periods_ms, dict) else periods_ms
        for number, stamp in enumerate(range(START_MS + offset, START_MS + until_ms, period)):
            if (camera, number) not in missing:
                events.append((stamp + delay_ms, camera, stamp))
    return sorted(events)


def grouped(events, window_ms=100, span_ms=None):
    """The groups as lists of (camera, stamp since the start [ms]), and when each ended."""
    cameras = sorted({camera for _, camera, _ in events})
    grouper = ImageGrouper(cameras, window_ms * MS, None if span_ms is None else span_ms * MS)
    groups, ends_ms = [], []
    for received_ms, camera, stamp_ms in events:
        for group in grouper.add(camera, stamp_ms * MS, received_ms * MS, None):
            groups.append([(image.camera, image.stamp_ns // MS - START_MS) for image in group])
            ends_ms.append(received_ms - START_MS)
    return groups, ends_ms


def whole(groups, cameras):
    return [group for group in groups if len(group) == cameras]


def test_the_images_of_a_single_camera_wait_for_nothing():
    groups, ends_ms = grouped(sent({"": 0}))
    assert [len(group) for group in groups] == [1] * 15 and ends_ms[3] == 305


@pytest.mark.parametrize("offsets_ms", [{"a": 0, "b": 0}, {"a": 0, "b": 20, "c": 40, "d": 60}, {"a": 7, "b": 30}])
def test_cameras_of_one_rate_are_together_from_the_second_images_on(offsets_ms):
    groups, ends_ms = grouped(sent(offsets_ms))
    longest = max(offsets_ms.values()) - min(offsets_ms.values())
    for group, end_ms in list(zip(groups, ends_ms, strict=True))[2:]:
        assert len(group) == len(offsets_ms) and group[-1][1] - group[0][1] <= longest
        assert end_ms == group[-1][1] + 5  # with its last image


def test_a_group_begins_after_the_longest_pause():
    """It began at another camera, whose images are then nearly a period apart from the others'."""
    groups, _ = grouped(sent({"a": 60, "b": 0, "c": 20, "d": 40}, missing={("b", 0), ("c", 0)}))
    assert all(group[-1][1] - group[0][1] == 60 for group in groups[3:])


def test_a_lost_image_does_not_shift_the_others():
    groups, _ = grouped(sent({"a": 0, "b": 0}, missing={("a", 3), ("b", 7)}))
    assert all(len({stamp for _, stamp in group}) == 1 for group in groups)
    assert len(whole(groups, 2)) >= 10


def test_a_camera_that_dies_delays_no_more_than_two_images():
    died = {("b", number) for number in range(5, 15)}
    groups, ends_ms = grouped(sent({"a": 0, "b": 30}, missing=died))
    late = [end - group[-1][1] for group, end in zip(groups, ends_ms, strict=True) if group[0][1] >= 500]
    assert sorted(late)[:-2] == [5] * (len(late) - 2) and max(late) <= 105
    assert [group for group in groups if group[0][1] >= 500] == [[("a", stamp)] for stamp in range(500, 1500, 100)]


def test_a_slow_camera_does_not_hold_up_a_fast_one():
    groups, ends_ms = grouped(sent({"fast": 0, "slow": 0}, {"fast": 33, "slow": 100}))
    assert max(end - group[-1][1] for group, end in zip(groups[4:], ends_ms[4:], strict=True)) <= 6
    assert len(whole(groups, 2)) >= 12


def test_without_a_span_only_images_of_one_time_are_together():
    groups, _ = grouped(sent({"a": 0, "b": 3, "c": 40}), span_ms=5)
    assert all(group[-1][1] - group[0][1] <= 5 for group in groups)
    assert [("a", 500), ("b", 503)] in groups and [("c", 540)] in groups


def test_time_that_goes_back_ends_a_group():
    grouper = ImageGrouper(["a", "b"], 100 * MS)
    grouper.add("b", 5000 * MS, 5000 * MS, None)
    grouper.add("a", 5000 * MS, 5000 * MS, None)
    assert [len(group) for group in grouper.add("a", 10 * MS, 10 * MS, None)] == [1]
    assert grouper.close_overdue(20 * MS) == [] and len(grouper.close_overdue(110 * MS)[0]) == 1


def test_an_image_without_a_stamp_is_a_group_of_its_own():
    grouper = ImageGrouper(["a", "b"], 100 * MS)
    grouper.add("a", 5 * MS, 5 * MS, "a")
    assert grouper.add("b", 5 * MS, 5 * MS, "b") == []  # it waits for the other camera
    ((alone,),) = grouper.add("a", 0, 6 * MS, "without")
    assert alone.image == "without" and grouper.close()[0][0].image == "b"


images = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 400), st.integers(0, 150)), max_size=60)


@given(images, st.integers(0, 200), st.integers(0, 200))
def test_each_image_is_in_one_group_with_none_of_its_camera_and_none_of_another_time(arrivals, window_ms, span_ms):
    """Whatever the cameras do: each step is a camera, the time since the image before, and how late it comes."""
    grouper, groups, now_ms = ImageGrouper("abc", window_ms * MS, span_ms * MS), [], 1
    for number, (camera, gap_ms, late_ms) in enumerate(arrivals):
        now_ms += gap_ms
        groups += grouper.add(camera, max(now_ms - late_ms, 1) * MS, now_ms * MS, number)
        waiting = grouper._waiting
        assert not waiting or now_ms * MS - waiting[0].received_ns < max(window_ms * MS, 1)
    groups += grouper.close()
    assert sorted(image.image for group in groups for image in group) == list(range(len(arrivals)))
    for group in groups:
        stamps = [image.stamp_ns for image in group]
        assert stamps == sorted(stamps) and stamps[-1] - stamps[0] <= span_ms * MS
        assert len({image.camera for image in group}) == len(group)
