"""Fixtures for tests that talk to a node."""

from collections.abc import Iterator

import pytest


@pytest.fixture
def robot(ros: None) -> Iterator:
    """What is around the node on a robot, alone in a domain of its own."""
    from ros.robot import Robot

    robot = Robot()
    yield robot
    robot.close()
