"""Run the paper's benchmarks, in the folder layouts of hloc's scripts, with submission files."""

BENCHMARKS = ("7scenes", "cambridge", "aachen", "aachen-v1.1", "robotcar", "cmu")
GROUND_TRUTHS = ("dslam", "sfm")
