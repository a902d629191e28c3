"""Diagnose why a machine or a map does not localize."""
