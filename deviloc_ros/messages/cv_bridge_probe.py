"""Test in a separate process whether this machine's `cv_bridge` works.

One that was built for numpy 1 can be imported with numpy 2, but crashes with the first image.
"""

from __future__ import annotations

import subprocess
import sys

PATIENCE_S = 60.0  # of a busy machine that starts Python and imports OpenCV
TRIAL = """
import numpy as np
from cv_bridge import CvBridge
from sensor_msgs.msg import Image
gray = CvBridge().imgmsg_to_cv2(Image(height=2, width=2, encoding="mono16", step=4, data=[255] * 8), "mono8")
colours = CvBridge().imgmsg_to_cv2(Image(height=1, width=1, encoding="rgb8", step=3, data=[1, 2, 3]), "bgr8")
assert gray.tolist() == [[255, 255]] * 2 and colours.tolist() == [[[3, 2, 1]]], "it converts wrongly"
"""


class BridgeProbe:
    """Start the test on construction; once it has ended, tell its result."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", TRIAL],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait_for_verdict(self) -> str:
        """Return what is wrong with cv_bridge; empty if it works."""
        try:
            _, said = self._process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.end_trial()
            return f"no answer within {PATIENCE_S:.0f} s"
        if self._process.returncode == 0:
            return ""
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        if self._process.returncode < 0:
            return f"it crashes the process (signal {-self._process.returncode})"
        return lines[-1] if lines else f"exit status {self._process.returncode}"

    def end_trial(self) -> None:
        """Stop the test."""
        self._process.kill()
        self._process.communicate()
