"""Decode image messages: with cv_bridge if that works, else with the code that reads recordings."""

from __future__ import annotations

import importlib
from typing import Any

from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from deviloc_ros.messages.cv_bridge_probe import BridgeProbe
from deviloc_ros.ros.conversions import pixels_from_msg


class ImageDecoder:
    """Decode images, with cv_bridge once a trial in another process has shown that it works."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._probe: BridgeProbe | None = BridgeProbe()
        self._bridge: Any = None

    def pixels(self, msg: Image | CompressedImage) -> NDArray:
        """Return (H, W) gray or (H, W, 3) BGR, uint8.

        Raises:
            ValueError: the bytes do not match the encoding, or the encoding is not that of a camera image.
        """
        if self._probe is not None and self._probe.has_ended:
            self._bridge = self._open_bridge(self._probe.wait_for_verdict())
            self._probe = None
        return pixels_from_msg(msg, self._bridge)

    def close(self) -> None:
        """End the trial of cv_bridge if it is still running."""
        if self._probe is not None:
            self._probe.end_trial()

    def _open_bridge(self, fault: str) -> Any:
        if not fault:
            return importlib.import_module("cv_bridge").CvBridge()
        self._log.warning(f"cv_bridge does not work ({fault}); images are decoded without it")
        return None
