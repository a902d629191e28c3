"""The node with a localizer that reads the pose off the image's brightness. Run it as `python test/ros/stand_in.py`."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pycolmap
import torch

from deviloc_ros.config import Config
from deviloc_ros.types import Camera, Evidence, Localized, Lost, Reason, Result

BLACK, WHITE = 0, 255  # an image without features, and one that breaks the localizer
CAMERA_SIZE = (64, 48)


class StandInLocalizer:
    """Brightness v puts the camera at x = v / 10 m in the map, looking along its z axis."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self.map = StandInMap()
        self.matcher = SimpleNamespace(device=torch.device("cpu"))
        self.priors: list = []

    def localize(self, image: np.ndarray, camera: Camera, prior=None) -> Result:
        self.priors.append(prior)
        brightness = round(float(image.mean()))
        if (image.shape[1], image.shape[0]) != (camera.width, camera.height):
            return Lost(Reason.BAD_IMAGE, f"image of {image.shape}, camera of {camera.width} x {camera.height}")
        if brightness == BLACK:
            return Lost(Reason.NO_FEATURES, "black")
        if brightness == WHITE:
            raise RuntimeError("white")
        evidence = replace(Evidence(), coverage=0.5, references=("stand-in",), stages_ms={"match": 1.0})
        return Localized(cam_from_map(brightness), np.diag([1e-4] * 3 + [1e-5] * 3), evidence)


class StandInMap:
    """What diagnostics ask of a map."""

    folder, identity = Path("stand-in"), "0123456789abcdef"

    def __len__(self) -> int:
        return 1


def cam_from_map(brightness: int) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([-brightness / 10, 0, 0]))


def open_stand_in(parameters) -> StandInLocalizer:
    if parameters.node.map_path == "broken":
        raise ValueError("broken: not a map")
    return StandInLocalizer(parameters.localizer)


if __name__ == "__main__":
    from deviloc_ros.ros.node import main

    sys.exit(main(open_localizer=open_stand_in))
