"""A recording of posed images: what it leaves out is said, and numbers that no robot has are refused."""

import cv2
import numpy as np
import pytest
from test_cli import status_of
from worlds import random_rigid

from deviloc_ros.io.named_poses import write_named_poses

CAMERA = "PINHOLE,64,48,60,60,31.5,23.5"


@pytest.fixture
def posed(tmp_path):
    """Three images with a pose, one without, and a file that is no image."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((48, 64), 50 * number, np.uint8))
    (folder / "damaged.png").write_bytes(b"no picture")
    poses = {f"{number}.png": random_rigid(np.random.default_rng(number)) for number in range(3)}
    write_named_poses(tmp_path / "poses.txt", poses)
    return ["--images", folder, "--poses", tmp_path / "poses.txt", "--camera", CAMERA, "--output", tmp_path / "bag"]


def test_what_is_left_out_is_said(posed, capsys):
    assert status_of("simulate-bag", *posed) == 0
    out = capsys.readouterr().out
    assert ": 3 images, " in out and "2 images left out: " in out and "3.png" in out


@pytest.mark.parametrize("flag", ["--rate-hz", "--drift"])
@pytest.mark.parametrize("value", ["1e-308", "1e-9", "1e4", "1e308", "inf", "nan", "-1", ""])
def test_numbers_that_no_robot_has_are_refused(posed, tmp_path, capsys, flag, value):
    if flag == "--drift" and value in ("1e-308", "1e-9"):
        assert status_of("simulate-bag", *posed, f"{flag}={value}") == 0
        return
    assert status_of("simulate-bag", *posed, f"{flag}={value}") == 2
    assert f"argument {flag}: " in capsys.readouterr().err and not (tmp_path / "bag").exists()


@pytest.mark.parametrize("rate", ["0.001", "1000"])
def test_the_slowest_and_the_fastest_robot_have_a_bag(posed, rate):
    assert status_of("simulate-bag", *posed, "--rate-hz", rate) == 0
