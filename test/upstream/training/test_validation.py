"""The area under the curve of pose errors: of errors whose area is known, and of points that are in their places."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest
import torch
from upstream.training.test_loop import SAMPLES, SETTINGS, write_scene
from worlds import rigid_of

from deviloc_ros.upstream.training.loop import train_deviloc
from deviloc_ros.upstream.training.losses import QueryTruth, find_true_points
from deviloc_ros.upstream.training.megadepth import MegaDepth
from deviloc_ros.upstream.training.validation import Validation, describe_areas, pose_auc, pose_error_deg


@pytest.mark.parametrize(
    ("errors_deg", "areas"),
    [
        ([0.0, 0.0], [1, 1, 1]),
        ([np.inf, np.inf], [0, 0, 0]),
        ([], [0, 0, 0]),
        ([2.0], [1 - 1 / 5, 1 - 1 / 10, 1 - 1 / 20]),  # a triangle is missing
        ([2.0, np.inf], [0.5 * (1 - 1 / 5), 0.5 * (1 - 1 / 10), 0.5 * (1 - 1 / 20)]),
        (np.arange(1.0, 21.0), [(4**2 / 2 + 4 * 1) / 20 / 5, (9**2 / 2 + 9) / 20 / 10, (19**2 / 2 + 19) / 20 / 20]),
        ([7.0], [0, (7 / 2 + 3) / 10, (7 / 2 + 13) / 20]),
    ],
)
def test_areas_that_are_known(errors_deg, areas):
    assert pose_auc(errors_deg) == pytest.approx(areas)
    assert pose_auc(list(errors_deg)[::-1]) == pytest.approx(areas)


def test_the_error_is_the_larger_angle_and_knows_no_length_and_no_sign():
    true = rigid_of([0.0, 0.0, 0.0], [0.0, 0.0, 2.0])
    turned = pycolmap.Rigid3d(pycolmap.Rotation3d(np.deg2rad([0.0, 0.0, 3.0])), np.array([0.0, 0.0, 5.0]))
    assert pose_error_deg(turned, true) == pytest.approx(3.0)
    aside = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0.0, -np.sin(0.2), -np.cos(0.2)]))
    assert pose_error_deg(aside, true) == pytest.approx(np.rad2deg(0.2))
    assert pose_error_deg(true, true) == pytest.approx(0.0, abs=1e-5)


class Knowing:
    """Puts the points of a grid of pixels where the depth map has them."""

    def __init__(self, confidence: float) -> None:
        self.confidence = confidence
        self.references: list[int] = []

    def correspondences(self, query, references):
        self.references.append(len(references))
        y, x = torch.meshgrid(torch.arange(4.0, 124, 8), torch.arange(4.0, 156, 8), indexing="ij")
        keypoints = torch.stack([x.flatten(), y.flatten()], 1)
        tensors = [torch.from_numpy(a).float() for a in (query.intrinsics, query.cam_from_world, query.depth)]
        in_cam, known = find_true_points(keypoints, QueryTruth(*tensors))
        rotation, translation = tensors[1][:3, :3], tensors[1][:3, 3]
        confidence = torch.full((len(keypoints),), self.confidence) * known
        return keypoints, (in_cam - translation) @ rotation, confidence


@pytest.fixture(scope="module")
def two_scenes(room, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    write_scene(folder, room.scene, [image.cam_from_world for image in room.images])
    return folder


def test_points_in_their_places_give_the_whole_area_and_no_points_none(two_scenes):
    validation = Validation(MegaDepth(two_scenes), SAMPLES)
    knowing = Knowing(confidence=0.9)
    assert len(validation) > 2 and min(validation.pose_auc(knowing)) > 0.99
    assert set(knowing.references) == {3}
    assert validation.pose_auc(Knowing(confidence=0.05)) == [0, 0, 0]  # below the threshold of the published method


def test_each_epoch_is_validated_on_scenes_that_are_not_trained_on(two_scenes, tmp_path, monkeypatch, capsys):
    metadata = MegaDepth(two_scenes).metadata
    both = {"0001": metadata["0001"], "0002": metadata["0001"]}
    monkeypatch.setattr("deviloc_ros.upstream.training.megadepth.read_published", lambda path: both)
    monkeypatch.setattr("deviloc_ros.upstream.training.loop.Trainer.take_step", lambda self, batch: 1.0)
    monkeypatch.setattr("deviloc_ros.upstream.training.loop.MegaDepth.draw_sample", lambda *_: None)
    monkeypatch.setattr(Validation, "pose_auc", lambda self, lifting: [0.1, 0.2, len(self)])
    settings, output = replace(SETTINGS, epochs=2), tmp_path / "deviloc.safetensors"
    progress = train_deviloc(two_scenes, output, settings, "random", ("0001",), 0, ("0002",))
    count = len(Validation(MegaDepth(two_scenes, ("0002",)), SAMPLES))
    assert progress.validation == [[0.1, 0.2, count]] * 2
    resumed = train_deviloc(two_scenes, output, settings, "random", ("0001",), 0, ("0002",))
    assert resumed.validation == progress.validation
    with pytest.raises(ValueError, match="trained on and validated with: 0002"):
        train_deviloc(two_scenes, output, settings, "random", (), 0, ("0002",))
    assert describe_areas([0.1, 0.25, 1]) == "AUC of pose errors at 5 / 10 / 20 deg: 0.100 / 0.250 / 1.000"
