"""Read values of ROS messages. No ROS is imported: rclpy and rosbags give their fields the same names."""
