"""Count how often the robot is told that it is in a place that only looks like the one it is in."""
