"""Poses by image: what is written is read back, whatever the name, and what is none is named by its line."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from worlds import random_rigid, rigids

from deviloc_ros.io.named_poses import has_named_poses, read_named_poses, write_named_poses
from deviloc_ros.io.tum_trajectory import write_tum

NAMES = (
    st.text("abcXYZ019_-./ ", min_size=1, max_size=20).map(str.strip).filter(lambda name: name and name[0] in "abcXYZ")
)


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True), st.integers(0, 1000))
def test_what_is_written_is_read_back(tmp_path_factory, names, seed):
    names = [" ".join(name.split()) for name in names]
    path = tmp_path_factory.mktemp("poses") / "poses.txt"
    poses = {name: random_rigid(np.random.default_rng(seed + number)) for number, name in enumerate(names)}
    write_named_poses(path, poses)
    back = read_named_poses(path)
    assert list(back) == list(poses) and has_named_poses(path)
    for name, pose in poses.items():
        np.testing.assert_allclose(back[name].matrix(), pose.matrix(), atol=1e-12)


@pytest.mark.parametrize(
    ("text", "by_name"),
    [
        ("a.jpg 1 0 0 0 1 2 3\n", True),
        ("# a comment\n\nquery/night/b.png 1 0 0 0 1 2 3\n", True),
        ("1305031102.17 1 2 3 0 0 0 1\n", False),
        ("# time tx ty tz qx qy qz qw\n1403636579763555584 1 2 3 0 0 0 1\n", False),
        ("timestamp tx ty tz qx qy qz qw\n1 1 2 3 0 0 0 1\n", False),
        ("1 0 0 0 0 1 0 0 0 0 1 0\n", False),
        ("", False),
        ("1 1 0 0 0 0 0 0\n", True),
        ("1 1 0 0 0 0 0 0 1\n", False),
        ("1 1 0 0 0 0 0 1\n", False),
    ],
)
def test_poses_by_name_are_told_from_poses_by_time(tmp_path, text, by_name):
    (tmp_path / "poses.txt").write_text(text)
    assert has_named_poses(tmp_path / "poses.txt") == by_name


@given(
    st.lists(st.tuples(st.integers(0, 10**19), rigids), min_size=1, max_size=5, unique_by=lambda one: one[0]),
    st.booleans(),
)
def test_images_whose_names_are_numbers_are_told_from_times_by_their_quaternions(tmp_path_factory, numbered, by_name):
    path = tmp_path_factory.mktemp("poses") / "poses.txt"
    if by_name:
        write_named_poses(path, {str(number): pose for number, pose in numbered})
    else:
        write_tum(path, numbered)
    lengths = [math.hypot(*pose.translation) for _, pose in numbered]
    assume(not all(abs(length - 1) < 0.2 for length in lengths))  # a quaternion and a position that looks like one
    assert has_named_poses(path) == by_name
    if by_name:
        assert list(read_named_poses(path)) == [str(number) for number, _ in numbered]


@pytest.mark.parametrize("damage", [",", " 7 x", "\u2212", "nan", "\0"])
@pytest.mark.parametrize("name", ["a.jpg", "a b.jpg", "12 b.jpg", "d/1400000000.5.png"])
def test_a_fault_in_the_first_line_makes_no_times_of_names(tmp_path, name, damage):
    path = tmp_path / "poses.txt"
    path.write_text(f"{name} 1 0 0 0 1 2 {damage if damage == 'nan' else f'3{damage}'}\n")
    assert has_named_poses(path) or name == "12 b.jpg"
    with pytest.raises(ValueError, match=r"poses\.txt:1: (expected NAME|pose with position)"):
        read_named_poses(path)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("b.jpg 1 0 0 0 1 2", "expected NAME QW QX QY QZ TX TY TZ"),
        ("b.jpg 1 0 0 0 1 2 x", "expected NAME QW QX QY QZ TX TY TZ"),
        ("b.jpg 0 0 0 0 1 2 3", "is not valid"),
        ("b.jpg 1 0 0 0 1 2 nan", "is not valid"),
        ("a.jpg 1 0 0 0 1 2 3", "the second pose of 'a.jpg'"),
    ],
)
def test_a_faulty_line_is_named(tmp_path, line, says):
    (tmp_path / "poses.txt").write_text(f"a.jpg 1 0 0 0 1 2 3\n{line}\n")
    with pytest.raises(ValueError, match=f"poses.txt:2: .*{says}"):
        read_named_poses(tmp_path / "poses.txt")
