"""Recordings of ROS 1 and 2, read and written without ROS."""
