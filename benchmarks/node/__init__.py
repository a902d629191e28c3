"""Measure the node over DDS."""
