"""Fixed protocols on real data, metrics, trajectories and bags. Imports no ROS."""
