"""Solve a pose with its covariance from merged correspondences, or say why there is none."""
