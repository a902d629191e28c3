"""Read and write recordings of ROS 1 and 2 without ROS."""
