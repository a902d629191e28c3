"""Is the robot ever told that it is in a place that only looks like the one it is in? Scenes, drives and the counts."""
