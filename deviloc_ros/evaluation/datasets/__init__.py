"""The paper's benchmarks: their layouts as hloc's scripts leave them, their protocols, their submission files."""

BENCHMARKS = ("7scenes", "cambridge", "aachen", "aachen-v1.1", "robotcar", "cmu")
GROUND_TRUTHS = ("dslam", "sfm")
