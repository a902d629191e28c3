"""From the poses of single images to what the robot believes. Pure: no ROS, no threads, no clock of its own."""
