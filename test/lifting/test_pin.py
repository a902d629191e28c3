"""The Point Inference Network: its geometry is exact, its weights are found, it answers in any neighbourhood."""

import numpy as np
import pytest
import torch

from deviloc_ros.config import LiftConfig
from deviloc_ros.lifting.base import LiftInput, nearest_landmarks
from deviloc_ros.lifting.interpolation import Interpolation
from deviloc_ros.lifting.pin import (
    LearnedPointInference,
    PinShape,
    PointInferenceNetwork,
    load_pin,
    plane_at_origin,
    save_pin,
)
from deviloc_ros.training.pin import (
    FAR_OUTSIDE,
    VALIDATION_BATCHES,
    PinSample,
    PinTraining,
    compute_loss,
    draw_batch,
    fit_network,
)


def scene(rng, count, normal=(0.1, -0.2, 0.5)):
    """Landmarks of one plane n . X = 1: inverse depth is n . ray."""
    rays = np.concatenate([rng.uniform(-0.5, 0.5, (count, 2)), np.ones((count, 1))], 1)
    depths = 1 / (rays @ np.array(normal))
    return rays.astype(np.float32), depths.astype(np.float32)


def sample(rng, place="here"):
    rays, depths = scene(rng, 400)
    features = np.tile(np.eye(64, dtype=np.float32)[0], (400, 1))
    landmarks = slice(0, 200)
    return PinSample(
        place,
        rays[landmarks] * depths[landmarks, None],
        rays[landmarks],
        features[landmarks],
        np.full(200, 0.01, np.float32),
        depths[landmarks],
        rays[200:],
        features[200:],
        depths[200:],
    )


def test_a_plane_is_read_exactly_where_there_is_no_landmark():
    rng = np.random.default_rng(0)
    offsets = torch.tensor(rng.normal(2, 1, (5, 12, 2)))
    slope, value = torch.tensor([0.3, -0.7], dtype=offsets.dtype), 1.5
    values = value + (offsets * slope).sum(-1)
    weights = torch.softmax(torch.tensor(rng.normal(0, 1, (5, 12))), -1)
    read, residuals = plane_at_origin(offsets, values, weights, torch.zeros(5, dtype=offsets.dtype))
    assert torch.allclose(read, torch.full((5,), value, dtype=read.dtype), atol=1e-9)
    assert residuals.abs().max() < 1e-9


def test_infinite_damping_is_the_weighted_mean():
    offsets, values = torch.randn(3, 8, 2), torch.randn(3, 8)
    weights = torch.softmax(torch.randn(3, 8), -1)
    read, _ = plane_at_origin(offsets, values, weights, torch.full((3,), 1e9))
    assert torch.allclose(read, (weights * values).sum(-1), atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 16, 300])
def test_any_number_of_landmarks_gives_finite_positive_depths(count):
    rng = np.random.default_rng(1)
    rays, depths = scene(rng, count + 7)
    features = torch.nn.functional.normalize(torch.randn(1, count + 7, 64), dim=-1)
    rays, depths = torch.from_numpy(rays)[None], torch.from_numpy(depths)[None]
    known = slice(0, count)
    network = PointInferenceNetwork(PinShape()).eval()
    inferred, logits = network(
        rays[:, known] * depths[:, known, None],
        rays[:, known],
        features[:, known],
        torch.full((1, count), 0.01),
        rays[:, count:],
        features[:, count:],
    )
    assert inferred.shape == logits.shape == (1, 7)
    assert torch.isfinite(inferred).all() and (inferred > 0).all() and torch.isfinite(logits).all()


def test_scaling_the_world_scales_the_depths():
    rng = np.random.default_rng(2)
    batch = draw_batch([sample(rng)], PinTraining(views_per_step=1), rng)
    network = PointInferenceNetwork(PinShape()).eval()
    *inputs, _ = batch.values()
    depths, _ = network(*inputs)
    scaled, _ = network(inputs[0] * 7, *inputs[1:])
    assert torch.allclose(scaled, 7 * depths, rtol=1e-4)


def test_views_with_fewer_landmarks_see_only_their_own():
    rng = np.random.default_rng(7)
    batch = draw_batch([sample(rng) for _ in range(3)], PinTraining(views_per_step=6), rng)
    *landmarks, rays, ray_features, _ = batch.values()
    counts = (landmarks[1][..., 0] < FAR_OUTSIDE).sum(1)
    assert counts.min() < counts.max() == landmarks[1].shape[1]
    network = PointInferenceNetwork(PinShape()).eval()
    together, _ = network(*landmarks, rays, ray_features)
    for view, count in enumerate(counts.tolist()):
        own = [part[view : view + 1, :count] for part in landmarks]
        alone, _ = network(*own, rays[view : view + 1], ray_features[view : view + 1])
        assert torch.allclose(alone[0], together[view], rtol=1e-4)


def test_weights_come_back_and_strangers_are_refused(tmp_path):
    network = PointInferenceNetwork(PinShape(width=32, layers=1))
    save_pin(network, tmp_path / "pin.safetensors", {})
    again = load_pin(tmp_path / "pin.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    with pytest.raises(FileNotFoundError, match="missing"):
        load_pin(tmp_path / "missing.safetensors")


def test_training_lowers_the_loss():
    rng = np.random.default_rng(3)
    samples, settings = [sample(rng) for _ in range(4)], PinTraining(views_per_step=2, keypoints_per_view=64)
    torch.manual_seed(0)
    network = PointInferenceNetwork(PinShape(width=32, layers=1))
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    fixed = [draw_batch(samples, settings, np.random.default_rng(100 + n)) for n in range(4)]
    before = np.mean([float(compute_loss(network, batch)[0].detach()) for batch in fixed])
    for step in range(40):
        loss, _ = compute_loss(network, draw_batch(samples, settings, np.random.default_rng(step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = np.mean([float(compute_loss(network, batch)[0].detach()) for batch in fixed])
    assert after < 0.8 * before


def test_a_run_that_was_cut_goes_on_with_the_same_numbers(tmp_path):
    rng = np.random.default_rng(2)
    training, validation = [sample(rng, "a"), sample(rng, "b")], [sample(rng, "c")]
    settings = PinTraining(steps=6, log_every=3, keypoints_per_view=16, views_per_step=2)

    def run(output, stop_after=None):
        torch.manual_seed(0)
        network = PointInferenceNetwork(PinShape())
        if stop_after is None:
            return fit_network(network, training, validation, output, settings)

        def draw(*arguments):
            draws.append(1)
            if len(draws) > stop_after:
                raise KeyboardInterrupt
            return draw_batch(*arguments)

        draws = []
        with pytest.raises(KeyboardInterrupt):
            fit_network(network, training, validation, output, settings, draw)
        return None

    whole = run(tmp_path / "whole.safetensors")
    run(tmp_path / "cut.safetensors", stop_after=3 + VALIDATION_BATCHES + 1)
    resumed = run(tmp_path / "cut.safetensors")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.parametrize("size", [0, 1, 128, 256])
def test_features_of_another_matcher_are_not_read(size):
    """The answer is that of geometry alone: on a plane, its depths."""
    rng = np.random.default_rng(size)
    rays, depths = scene(rng, 300)
    known, asked = slice(0, 200), slice(200, 300)

    def infer(features):
        landmarks = rays[known] * depths[known, None], rays[known], features[known], np.full(200, 0.001)
        return LearnedPointInference(load_pin(), LiftConfig()).infer(
            LiftInput(*landmarks, rays[asked], features[asked], 500.0)
        )

    inferred, confidence = infer(rng.normal(size=(300, size)))
    without, confidence_without = infer(np.zeros((300, 64)))
    np.testing.assert_array_equal(inferred, without)
    np.testing.assert_array_equal(confidence, confidence_without)
    assert np.median(np.abs(inferred / depths[asked] - 1)) < 0.005


def test_close_to_a_landmark_the_interpolated_depth_stands():
    rng = np.random.default_rng(0)
    rays = np.column_stack([rng.uniform(-0.5, 0.5, (40, 2)), np.ones(40)])
    landmarks = rays[:20] * rng.uniform(1.0, 4.0, (20, 1))
    rays[20:, :2] = rays[:20, :2] + [[0.004, 0.0]]  # 2 px from a landmark each
    rays[30:, :2] += [[0.02, 0.0]]  # 12 px
    features = np.eye(64)[rng.integers(0, 64, 40)]
    view = LiftInput(landmarks, rays[:20], features[:20], np.ones(20), rays[20:], features[20:], 500.0)
    interpolated = Interpolation(LiftConfig()).infer(view)[0]
    network = load_pin()
    near, alone = (
        LearnedPointInference(network, LiftConfig(interpolate_within_px=px)).infer(view) for px in (6.0, 0.0)
    )
    distances = nearest_landmarks(view, 1)[0][:, 0]
    close = distances < 6.0
    assert close.any() and not close.all()
    np.testing.assert_array_equal(near[0], np.where(close, interpolated, alone[0]))
    assert not np.isclose(alone[0][close], interpolated[close]).all()
    np.testing.assert_array_equal(near[1], alone[1])
