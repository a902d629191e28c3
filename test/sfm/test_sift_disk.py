"""Where there is no space left SIFT says so, before COLMAP ends the process."""

from collections import namedtuple

import cv2
import numpy as np
import pytest

from deviloc_ros.sfm import matches


def test_a_full_disk_is_an_error_that_names_the_folder(monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(matches.shutil, "disk_usage", lambda _: usage(1 << 30, 1 << 30, 600_000))
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), np.zeros((48, 64), np.uint8))
    with pytest.raises(OSError, match="no space left"):
        matches.extract_sift(image, (64, 48))
