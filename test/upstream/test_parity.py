"""Our own TopicFM, PIN and CPA against numbers from the authors' code, with weights in the released layout."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import torch
from reference import REFERENCE, case

from deviloc_ros.camera import Camera
from deviloc_ros.config import AggregationConfig, LiftConfig, MatcherConfig
from deviloc_ros.imaging import read_gray
from deviloc_ros.lifting.base import lift_and_prepare
from deviloc_ros.localizer import lift_matches
from deviloc_ros.types import Correspondences, Landmarks, ReferenceView
from deviloc_ros.upstream.aggregation import aggregate_as_published, merge_cells
from deviloc_ros.upstream.checkpoints import load_network
from deviloc_ros.upstream.lifting import UpstreamPointInference
from deviloc_ros.upstream.pin import UpstreamPin
from deviloc_ros.upstream.releases import MATCHER, PIN
from deviloc_ros.upstream.topicfm import TopicFMMatcher
from deviloc_ros.upstream.topicfm.network import TopicFM

CPA_CASES = (
    *(f"c_cpa_qt{qt}_thr{threshold}" for qt in (2, 3, 4) for threshold in (0.1, 0.5)),
    "c_cpa_qt2_training_no_mask",
)
FULL = "d_full_7scenes"


@pytest.fixture(scope="module")
def topicfm(released_checkpoint):
    network, _ = load_network(TopicFM, str(released_checkpoint), MATCHER)
    return network.prepare_for_inference(torch.device("cpu"))


@pytest.fixture(scope="module")
def pin(released_checkpoint):
    return load_network(UpstreamPin, str(released_checkpoint), PIN)[0].eval()


def row_of_each(pairs, expected_pairs):
    """Rows of `pairs` in the order of `expected_pairs`; both must be the same set."""
    rows = {pair: row for row, pair in enumerate(pairs)}
    assert len(rows) == len(pairs) and rows.keys() == set(expected_pairs)
    return [rows[pair] for pair in expected_pairs]


@pytest.mark.parametrize("name", ["a_topicfm_same_size", "a_topicfm_diff_size_scaled"])
@torch.inference_mode()
def test_topicfm_matches_the_same_cells_at_the_same_keypoints(topicfm, name):
    numbers = case(name)
    query, reference = (topicfm.extract(torch.from_numpy(numbers[f"in/image{n}"])) for n in (0, 1))
    (found,) = topicfm.match(query, [reference], threshold=0.3)
    np.testing.assert_allclose(reference.coarse, numbers["mid/backbone.out.0"][-1], atol=1e-4)
    expected = zip(numbers["mid/coarse.i_ids"].tolist(), numbers["mid/coarse.j_ids"].tolist(), strict=True)
    pairs = list(zip(found.query_cells.tolist(), found.reference_cells.tolist(), strict=True))
    rows = row_of_each(pairs, list(expected))
    for number, keypoints in enumerate((found.query, found.reference)):
        scale, expected_keypoints = numbers[f"in/scale{number}"], numbers[f"out/mkpts{number}_f"]
        np.testing.assert_allclose(keypoints[rows].numpy() * scale, expected_keypoints, rtol=0, atol=2e-3)
    np.testing.assert_allclose(found.confidence[rows], numbers["out/mconf"], rtol=0, atol=5e-4)
    assert (found.confidence.diff() <= 0).all()


def opencv_camera(intrinsics, distortion, size) -> Camera:
    return Camera("OPENCV", *size, (*intrinsics[[0, 1], [0, 1]], *intrinsics[:2, 2], *distortion))


@pytest.mark.parametrize("name", ["no_dist", "dist", "zero_dist", "one_obs", "no_keypoints"])
@torch.inference_mode()
def test_pin_lifts_to_the_same_points(pin, name):
    numbers = {key: value[0] for key, value in case(f"b_pin_{name}").items()}
    cam_from_world = numbers["in/T"].astype(float)
    camera = opencv_camera(numbers["in/K"], numbers.get("in/dist", np.zeros(4)), (1280, 960))
    rays = camera.rays(numbers["in/kpts2d"])
    in_cam = numbers["in/obs_pts3d"] @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    batch = [
        torch.from_numpy(a).float()[None] for a in (in_cam, numbers["in/obs_feats"], rays, numbers["in/kpts2d_feat"])
    ]
    depths, confidence = pin.lift_keypoints(pin.describe_landmarks(*batch[:2]), *batch[2:])
    points = (rays * depths[0, :, None].numpy() - cam_from_world[:3, 3]) @ cam_from_world[:3, :3]
    np.testing.assert_allclose(points, numbers["out/pts3d"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(confidence[0], numbers["out/conf"][:, 0], rtol=1e-4)


@pytest.mark.parametrize("name", CPA_CASES)
def test_cpa_merges_the_same_cells(name):
    numbers = case(name)
    keypoints, points, confidence = (torch.from_numpy(numbers[f"in/{key}"][0]) for key in ("pts2d", "pts3d", "conf"))
    keep = confidence[:, 0] > (-1 if numbers["in/training"] else float(numbers["in/conf_thr"]))
    merged = merge_cells(keypoints[keep], points[keep], confidence[keep, 0], int(numbers["in/qt_size"]))
    for found, expected in zip(merged, ("pts2d", "pts3d", "conf"), strict=True):
        np.testing.assert_allclose(found, numbers[f"out/{expected}"].reshape(found.shape), rtol=1e-5, atol=1e-5)


class FullModel:
    """The `d_full_7scenes` case through the classes that localize, from the image files on.

    The authors' pixel x of an image scaled by s is ours minus (s - 1) / 2: they scale corners, we scale centres. So
    cameras and landmarks go in shifted by that much, and keypoints come out shifted back.
    """

    def __init__(self, weights: Path) -> None:
        self.numbers = case(FULL)
        weights_of = {"weights": str(weights)}
        self.matcher = TopicFMMatcher(
            MatcherConfig(name="topicfm", max_keypoints=5000, max_image_side_px=640, min_confidence=0.3, **weights_of)
        )
        self.inference = UpstreamPointInference(LiftConfig(method="upstream", landmark_radius_px=2.0, **weights_of))
        self.query = self.matcher.extract(read_gray(REFERENCE / "images/query.png"))
        self.views = [self.view(number) for number in range(3)]
        self.matches = self.matcher.match(self.query, [view.features for view in self.views])

    def shift(self, name: str) -> np.ndarray:
        return (self.numbers[f"in/{name}"][0].astype(float) - 1) / 2

    def view(self, number: int) -> ReferenceView:
        numbers = {
            key: self.numbers[f"in/ref{number}/{key}"][0] for key in ("Ks", "Ts", "dist_coeffs", "pts3d", "pts2d")
        }
        shift = self.shift(f"ref{number}/scale")
        features = self.matcher.extract(read_gray(REFERENCE / f"images/ref{number}.png"))
        intrinsics = numbers["Ks"].astype(float)
        intrinsics[:2, 2] += shift
        camera = opencv_camera(intrinsics, numbers["dist_coeffs"], features.size)
        pose = pycolmap.Rigid3d(
            pycolmap.Rotation3d(numbers["Ts"][:3, :3].astype(float)), numbers["Ts"][:3, 3].astype(float)
        )
        landmarks = Landmarks.without_stds(np.arange(len(numbers["pts3d"])), numbers["pts2d"] + shift, numbers["pts3d"])
        few = replace(features, keypoints=features.keypoints[:1])  # cells are not lifted in the authors' code
        lifted, tower = lift_and_prepare(self.inference, few, landmarks, camera, pose)
        return ReferenceView(f"ref{number}", camera, pose, features, lifted, landmarks, tower)

    def correspondences(self) -> Correspondences:
        both = Correspondences.concatenate(lift_matches(self.matches, self.views, self.inference))
        shifted = (both.keypoints - self.shift("query_img_scale")).astype(np.float32)
        return replace(both, keypoints=shifted)


@pytest.fixture(scope="module")
def full(released_checkpoint):
    return FullModel(released_checkpoint)


def test_parity_of_the_whole_model_matches_each_reference(full):
    for number, (match, view) in enumerate(zip(full.matches, full.views, strict=True)):
        expected = {key: full.numbers[f"mid/ref{number}/extract.{key}"][0] for key in ("qkpts", "rkpts")}
        found = {
            "qkpts": match.moved.query_keypoints - full.shift("query_img_scale"),
            "rkpts": match.moved.reference_keypoints - full.shift(f"ref{number}/scale"),
        }
        together, found_together = (np.hstack([both["qkpts"], both["rkpts"]]) for both in (expected, found))
        gaps = np.abs(found_together[:, None] - together[None]).max(2).min(1)
        assert abs(len(match) - len(together)) <= 2 and (gaps < 4e-3).mean() > 0.99
        assert len(view.tower["points"][0]) == len(view.landmarks)


def test_parity_of_the_whole_model_gives_the_same_merged_points(full):
    config = AggregationConfig(method="paper", cell_px=2.0, min_confidence=0.1)
    merged = aggregate_as_published(full.correspondences(), config)
    keypoints, points, confidence = (full.numbers[f"out/{key}"] for key in ("pts2d", "pts3d", "conf"))
    distances = np.linalg.norm(merged.keypoints[:, None] - keypoints[None], axis=2)
    nearest = distances.argmin(1)
    same = distances[np.arange(len(merged)), nearest] < 4e-3
    assert abs(len(merged) - len(keypoints)) <= 10 and same.mean() > 0.98
    apart = np.linalg.norm(merged.points_in_world - points[nearest], axis=1)[same]
    assert (apart < 1e-3).mean() > 0.99 and np.median(apart) < 1e-5
    assert (np.abs(merged.confidence - confidence[nearest, 0])[same] < 1e-3).mean() > 0.99


def test_parity_of_the_checkpoint_keys(released_checkpoint):
    from deviloc_ros.upstream.checkpoints import expected_shapes

    lines = (REFERENCE / "state_dict_keys.txt").read_text().splitlines()
    expected = {}
    for line in lines:
        name, rest = line.split(maxsplit=1)
        shape = rest[1 : rest.index(")")].split(",")
        expected[name.removeprefix("model.")] = tuple(int(side) for side in shape if side.strip())
    assert dict(expected_shapes()) == expected
