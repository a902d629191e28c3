"""Measure how good a map is, and write its page."""
