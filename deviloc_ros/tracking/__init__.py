"""Turn poses of single images into what the robot believes. Pure: no ROS, no threads, no clock of its own."""
