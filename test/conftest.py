"""Fixtures that every test may use."""

from ros_helpers import ros, ros_domain, ros_node

__all__ = ["ros", "ros_domain", "ros_node"]
