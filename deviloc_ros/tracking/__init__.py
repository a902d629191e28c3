"""Track a robot: turn poses of single images into fixes that are believed. No ROS and no clock of its own."""
