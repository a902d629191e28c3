"""Run the paper's benchmarks: layouts as hloc's scripts leave them, protocols, submission files."""

BENCHMARKS = ("7scenes", "cambridge", "aachen", "aachen-v1.1", "robotcar", "cmu")
GROUND_TRUTHS = ("dslam", "sfm")
