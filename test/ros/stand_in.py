"""The node with a localizer that reads the pose off the image's brightness. Run it as `python test/ros/stand_in.py`."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pycolmap
import torch

from deviloc_ros.camera import Camera
from deviloc_ros.config import Config
from deviloc_ros.maps.manifest import StoredFile, ViewRecord
from deviloc_ros.maps.provenance import Provenance
from deviloc_ros.maps.retrieval.by_pose import centres_and_axes
from deviloc_ros.pose.rig_consensus import are_compatible, move_prior_to_camera, move_to_rig
from deviloc_ros.status import Status
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.types import (
    CameraReport,
    Evidence,
    Features,
    IntrinsicsFit,
    Lifted,
    Localized,
    Lost,
    Prior,
    ReferenceView,
    Result,
    RigImage,
)

BLACK, WHITE = 0, 255  # an image without features, and one that breaks the localizer
CAMERA_SIZE = (64, 48)
FLOORS = {"dim": (0, 100), "bright": (100, WHITE)}  # names of maps that show only what is of such brightness


class StandInLocalizer:
    """Brightness v puts the camera at x = v / 10 m in the map, looking along its z axis."""

    def __init__(self, config: Config | None = None, map_path: str = "") -> None:
        self.config = config or Config()
        self.mask = None
        self.map = StandInMap(map_path)
        self.matcher = SimpleNamespace(device=torch.device("cpu"))
        self.shows = FLOORS.get(self.map.folder.name, (0, WHITE))
        self.priors: list = []
        self.masks: list = []
        self.ahead: list = []
        self.true_camera: Camera | None = None  # that images are taken with; None: they do not tell
        self.slowness_s = 0.15 if map_path == "slow" else 0.0  # per image, on a machine that cannot keep up

    def look_ahead(self, image: np.ndarray, camera: Camera, mask, name: str, extracted: dict, watch: Stopwatch) -> None:
        """Note which image was looked at before it was localized."""
        self.ahead.append(round(float(image.mean())))

    def localize_rig(self, images: Sequence[RigImage], prior: Prior | None = None) -> Result:
        """As the localizer does, without correspondences: those that agree with the first that has a pose are used."""
        results = [self.localize(i.pixels, i.camera, move_prior_to_camera(i, prior), i.mask, i.name) for i in images]
        opinions = [move_to_rig(image, result) for image, result in zip(images, results, strict=True)]
        best = next(filter(None, opinions), None)
        reports = []
        for image, result, own in zip(images, results, opinions, strict=True):
            used = own is not None and are_compatible(own, best)
            detail = "" if used else "it says something else" if own else str(result)
            status = Status.ACCEPTED if own else result.reason
            pose = own.cam_from_world if own else None
            reports.append(CameraReport(image.name, status, used, int(used), detail, pose, result.evidence))
        evidence = replace(Evidence(), coverage=0.5, references=("stand-in",), cameras=tuple(reports))
        return replace(best or results[0], evidence=evidence)

    def localize(self, image: np.ndarray, camera: Camera, prior=None, mask=None, name="", extracted=None) -> Result:
        self.priors.append(prior)
        self.masks.append(mask)
        time.sleep(self.slowness_s)
        brightness = round(float(image.mean()))
        if (image.shape[1], image.shape[0]) != (camera.width, camera.height):
            return Lost(Status.BAD_IMAGE, f"image of {image.shape}, camera of {camera.width} x {camera.height}")
        if brightness == BLACK:
            return Lost(Status.NO_FEATURES, "black")
        if brightness == WHITE:
            raise RuntimeError("white")
        if not self.shows[0] <= brightness < self.shows[1]:
            return Lost(Status.NO_CONSENSUS, "of another floor")
        evidence = replace(Evidence(), coverage=0.5, references=("stand-in",), stages_ms={"match": 1.0})
        if self.true_camera:
            change = np.log(self.true_camera.focal_px / camera.focal_px)
            change = np.array([change, *(self.true_camera.principal_point - camera.principal_point), 0.0])
            information = np.diag(np.array([0.005, 1.0, 1.0, 0.02]) ** -2.0)
            fit = IntrinsicsFit(information, information @ change, cam_from_map(brightness), 1.0)
            evidence = replace(evidence, intrinsics=fit)
        return Localized(cam_from_map(brightness), np.diag([1e-4] * 3 + [1e-5] * 3), evidence)


class StandInMap:
    """What diagnostics ask of a map."""

    identity = "0123456789abcdef"  # of each but the floors
    camera = Camera("PINHOLE", 64, 48, (60.0, 60.0, 31.5, 23.5))
    records = (ViewRecord("stand-in", StoredFile("", ""), camera, pycolmap.Rigid3d()),)
    centres, axes = centres_and_axes([record.cam_from_world for record in records])

    def __init__(self, path: str) -> None:
        self.georeference = None
        self.manifest = SimpleNamespace(provenance=Provenance())
        self.unit = self.manifest.provenance.unit
        self.folder = Path(path or "stand-in")
        self.name = self.folder.name
        if self.folder.name in FLOORS:
            self.identity = self.folder.name

    def __len__(self) -> int:
        return 1

    def landmarks(self) -> np.ndarray:
        return np.arange(12, dtype=np.float32).reshape(4, 3)

    def view_named(self, name: str) -> ReferenceView:
        return self.view([record.name for record in self.records].index(name))

    def view(self, number: int) -> ReferenceView:
        record = self.records[number]
        features = Features(torch.tensor([[5.0, 5.0]]), torch.zeros(1, 4), torch.ones(1), torch.ones(1, 2), CAMERA_SIZE)
        lifted = Lifted(np.zeros((1, 3)), np.ones(1), np.ones(1))
        return ReferenceView(record.name, record.camera, record.cam_from_world, features, lifted)


def cam_from_map(brightness: int) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([-brightness / 10, 0, 0]))


def open_stand_in(parameters) -> list[StandInLocalizer]:
    """Several where map_path has a comma: "a,b"."""
    if parameters.node.map_path == "broken":
        raise ValueError("broken: not a map")
    return [StandInLocalizer(parameters.localizer, path) for path in parameters.node.map_path.split(",")]


if __name__ == "__main__":
    from deviloc_ros.ros.node import main
    from deviloc_ros.ros.signals import take_signals

    take_signals()

    sys.exit(main(open_maps=open_stand_in))
