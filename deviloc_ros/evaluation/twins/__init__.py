"""Count how often a pose is published in a place that only looks like the robot's place."""
