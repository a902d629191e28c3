"""From merged correspondences to a pose with its covariance, or to the reason why there is none."""
