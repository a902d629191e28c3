"""Half precision beside float32, with stated bounds. The weights are not trained, which makes matches less stable."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from reference import case

from deviloc_ros.config import LiftConfig, MatcherConfig
from deviloc_ros.lifting import create_point_inference
from deviloc_ros.matching import create_matcher
from deviloc_ros.upstream.checkpoints import load_network
from deviloc_ros.upstream.pin import UpstreamPin
from deviloc_ros.upstream.precision import compute_in
from deviloc_ros.upstream.releases import MATCHER, PIN
from deviloc_ros.upstream.topicfm.network import TopicFM

CPU = torch.device("cpu")
MATCHES_WITHIN = {  # the bounds of assert_close
    "bfloat16": {"features": 0.08, "common": 0.8, "median_px": 0.15},
    "float16": {"features": 0.02, "common": 0.9, "median_px": 0.05},
}
DEPTHS_WITHIN = [("bfloat16", 0.008, 0.03), ("float16", 0.001, 0.005)]  # relative error, difference of confidences
GPU_SLACK = 2  # other kernels, other order of summation


@pytest.fixture(scope="module")
def topicfm(released_checkpoint):
    return load_network(TopicFM, str(released_checkpoint), MATCHER)[0].prepare_for_inference(CPU)


@pytest.fixture(scope="module")
def pin(released_checkpoint):
    return load_network(UpstreamPin, str(released_checkpoint), PIN)[0].eval()


@torch.inference_mode()
def matched(topicfm, precision, device=CPU, rows=240, columns=320):
    """Features of the reference, and the keypoints of both images by the pair of cells they were moved from."""
    pair = case("a_topicfm_same_size")
    images = [torch.from_numpy(pair[f"in/image{n}"][..., :rows, :columns].copy()).to(device) for n in (0, 1)]
    with compute_in(device, precision):
        query, reference = (topicfm.extract(image) for image in images)
        (found,) = topicfm.match(query, [reference], threshold=0.3)
    assert all(column.dtype == torch.float32 for column in (reference.fine, found.query, found.confidence))
    cells = zip(found.query_cells.tolist(), found.reference_cells.tolist(), strict=True)
    keypoints = torch.cat([found.query, found.reference], 1).cpu().numpy()
    return reference.cells.cpu().numpy(), dict(zip(cells, keypoints, strict=True))


def assert_close(exact, halved, features, common, median_px):
    """Relative error of each cell's features, share of matches that both have, displacement [px] in either image."""
    difference = np.linalg.norm(halved[0] - exact[0], axis=1) / np.linalg.norm(exact[0], axis=1)
    assert difference.max() < features
    both = exact[1].keys() & halved[1].keys()
    assert len(both) > common * max(len(exact[1]), len(halved[1]))
    moved = np.array([halved[1][pair] - exact[1][pair] for pair in both]).reshape(-1, 2, 2)
    assert np.median(np.linalg.norm(moved, axis=2)) < median_px


# A CPU has no float16 of its own and takes a hundred times longer: a corner of the images must do.
@pytest.mark.parametrize(
    ("precision", "corner"),
    [("bfloat16", {}), pytest.param("float16", {"rows": 128, "columns": 160}, marks=pytest.mark.slow)],
)
def test_half_precision_finds_the_same_matches(topicfm, precision, corner):
    exact = matched(topicfm, "float32", **corner)
    assert_close(exact, matched(topicfm, precision, **corner), **MATCHES_WITHIN[precision])


@pytest.mark.gpu
@pytest.mark.parametrize("precision", MATCHES_WITHIN)
def test_half_precision_on_a_gpu_finds_the_same_matches(topicfm, precision, cuda, released_checkpoint):
    exact = matched(topicfm, "float32")
    there = load_network(TopicFM, str(released_checkpoint), MATCHER)[0].prepare_for_inference(cuda)
    assert_close(exact, matched(there, precision, cuda), **MATCHES_WITHIN[precision])


@torch.inference_mode()
def lifted(pin, precision, device=CPU):
    """Depths and confidence of keypoints of one view."""
    numbers = {key: value[0] for key, value in case("b_pin_no_dist").items()}
    pixels = np.column_stack([numbers["in/kpts2d"], np.ones(len(numbers["in/kpts2d"]))])
    rays = pixels @ np.linalg.inv(numbers["in/K"].astype(float)).T
    in_cam = numbers["in/obs_pts3d"] @ numbers["in/T"][:3, :3].T + numbers["in/T"][:3, 3]
    view = (in_cam, numbers["in/obs_feats"], rays, numbers["in/kpts2d_feat"])
    landmarks, features, rays, at_rays = (torch.from_numpy(a).float()[None].to(device) for a in view)
    with compute_in(device, precision):
        found = pin.lift_keypoints(pin.describe_landmarks(landmarks, features), rays, at_rays)
    return [column[0].cpu().numpy() for column in found]


@pytest.mark.parametrize(("precision", "depth", "confidence"), DEPTHS_WITHIN)
def test_half_precision_lifts_to_the_same_depths(pin, precision, depth, confidence):
    (exact, sure), (halved, about_as_sure) = lifted(pin, "float32"), lifted(pin, precision)
    assert 0 < np.abs(halved / exact - 1).max() < depth
    assert np.abs(about_as_sure - sure).max() < confidence


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "depth", "confidence"), DEPTHS_WITHIN)
def test_half_precision_on_a_gpu_lifts_to_the_same_depths(pin, precision, depth, confidence, cuda, released_checkpoint):
    exact, sure = lifted(pin, "float32")
    there = load_network(UpstreamPin, str(released_checkpoint), PIN)[0].eval().to(cuda)
    halved, about_as_sure = lifted(there, precision, cuda)
    assert np.abs(halved / exact - 1).max() < GPU_SLACK * depth
    assert np.abs(about_as_sure - sure).max() < GPU_SLACK * confidence


def test_the_parameters_reach_the_networks(released_checkpoint):
    config = MatcherConfig(name="topicfm", weights=str(released_checkpoint), max_image_side_px=160)
    image = np.random.default_rng(0).integers(0, 255, (120, 160), np.uint8)
    exact, halved = (
        create_matcher(replace(config, precision=precision)).extract(image) for precision in ("float32", "bfloat16")
    )
    assert halved.descriptors.dtype == torch.float32 and not torch.equal(exact.descriptors, halved.descriptors)
    lift = LiftConfig(method="upstream", weights=str(released_checkpoint), precision="bfloat16")
    assert create_point_inference(lift).precision == "bfloat16"


@pytest.mark.parametrize("name", ["xfeat", "xfeat-lighterglue"])
def test_other_matchers_say_that_they_have_no_half_precision(name):
    with pytest.raises(ValueError, match=rf"matcher\.precision bfloat16: {name} computes in float32 only"):
        create_matcher(MatcherConfig(name=name, precision="bfloat16"))
    with pytest.raises(ValueError, match=r"lift\.precision float16: pin computes in float32 only"):
        create_point_inference(LiftConfig(precision="float16"))
