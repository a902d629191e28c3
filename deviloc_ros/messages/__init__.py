"""Read ROS messages without importing ROS: their fields have the same names in rclpy and rosbags."""

COMPRESSED_SUFFIX = "/compressed"  # that image_transport appends to the topic of images
