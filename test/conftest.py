"""Fixtures that every test may use."""

from hypothesis import settings
from ros_helpers import ros, ros_domain, ros_node

# The same examples in each run, and none fails for being slow on a busy machine.
settings.register_profile("deviloc_ros", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("deviloc_ros")

__all__ = ["ros", "ros_domain", "ros_node"]
