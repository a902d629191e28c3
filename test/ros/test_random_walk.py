"""Whatever is sent to a node and asked of it, in whatever order: it lives, answers, is right, and comes back.

FUZZ_FACTOR times as many steps are taken if that is set; RANDOM_WALK_SEED takes another way, and RANDOM_WALK_LOG=FILE
writes resident memory, threads and open files as they go, and what was done how often.
"""

import os
from pathlib import Path

import pytest
from fuzzing import FUZZ_FACTOR
from ros_helpers import ROOT, python_process

pytest.importorskip("rclpy")

from ros.walk import Walk

pytestmark = pytest.mark.ros

STAND_IN = str(ROOT / "test" / "ros" / "stand_in.py")
STEPS = 40
STEPS_A_CHECK = 20
STARTUP_LIMIT_S = 90.0  # imports, on a machine that runs other tests as well
RARE = pytest.mark.long


@pytest.mark.parametrize("kind", ["wall", pytest.param("simulated", marks=RARE), pytest.param("rig", marks=RARE)])
def test_any_walk_leads_back(robot, tmp_path, kind):
    (tmp_path / "disk").mkdir()
    walk = Walk(robot, kind, int(os.environ.get("RANDOM_WALK_SEED", "0")), tmp_path / "disk")
    with python_process(STAND_IN, *walk.arguments) as walk.process:
        robot.until(lambda: robot.status, STARTUP_LIMIT_S)
        for number in range(1, STEPS * FUZZ_FACTOR + 1):
            walk.step()
            if number % STEPS_A_CHECK == 0:
                walk.settle()
                walk.check()
                note(f"{kind} {number} {walk.measure()}")
        walk.come_home()
        note(f"{kind} {dict(walk.done)}")


def note(row: str) -> None:
    """Add a row to what is told of the walk, where that is wanted."""
    if file := os.environ.get("RANDOM_WALK_LOG"):
        with Path(file).open("a") as log:
            log.write(row + "\n")
