"""Image messages to and from OpenCV arrays, with the interface of vision_opencv's `cv_bridge`."""

from cv_bridge.core import CvBridge, CvBridgeError

__all__ = ["CvBridge", "CvBridgeError"]
