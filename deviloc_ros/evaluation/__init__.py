"""Fixed protocols on real data, metrics, trajectories and bags. Imports no ROS."""

PROTOCOLS = ("kitchen-12", "kitchen-36", "kitchen-72", "fountain-loo", "entry-loo", "drive-even", "drive-sparse")
# Nothing is reported on these: covariances are calibrated on them.
CALIBRATION_PROTOCOLS = ("kitchen-back-8", "kitchen-back-24", "kitchen-back-72")
