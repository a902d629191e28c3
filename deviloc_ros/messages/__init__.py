"""Read values of ROS messages. No ROS is imported: rclpy and rosbags give their fields the same names."""

COMPRESSED_SUFFIX = "/compressed"  # that image_transport appends to the topic of images
