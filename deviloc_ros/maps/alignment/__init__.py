"""Bring a map into another frame: by known positions or poses, surveyed markers, a floor plan or odometry."""
