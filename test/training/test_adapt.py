"""Adaptation to a map learns from the map's own landmarks, and refuses what it cannot learn from."""

import numpy as np
import pytest
import torch

from deviloc_ros.lifting.pin import PinShape, PointInferenceNetwork, load_pin
from deviloc_ros.training import adapt
from deviloc_ros.training.pin import PinSample, PinTraining

SETTINGS = PinTraining(steps=30, learning_rate=2e-3, validation_share=0.3, log_every=30, keypoints_per_view=32)


@pytest.fixture
def fewer_needed(monkeypatch):
    monkeypatch.setattr(adapt, "MIN_KEYPOINTS", 20)


def test_an_untrained_network_gets_better_on_views_kept_out(room_map, tmp_path, fewer_needed):
    torch.manual_seed(0)
    output = tmp_path / "pin.safetensors"
    result = adapt.adapt_network(room_map, PointInferenceNetwork(PinShape()), output, SETTINGS, say=lambda text: None)
    assert np.isfinite([*result.before, *result.after]).all()
    assert result.after[0] < result.before[0]
    assert load_pin(output).shape == PinShape()
    assert output.with_suffix(".svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("name", ["pin.safetensors", "pin.checkpoint"])
def test_what_is_there_stays(room_map, tmp_path, fewer_needed, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=f"{name} exists"):
        adapt.adapt_network(room_map, PointInferenceNetwork(PinShape()), tmp_path / "pin.safetensors", SETTINGS)
    assert (tmp_path / name).read_text() == "mine"


def test_hidden_landmarks_are_not_given(room_map, fewer_needed):
    sample = adapt.make_samples(room_map, 64)[0]
    hidden = adapt.hide_landmarks(sample, np.random.default_rng(0))
    assert isinstance(hidden, PinSample) and len(hidden.rays) + len(hidden.landmark_rays) == len(sample.rays)
    given = {tuple(ray) for ray in hidden.landmark_rays}
    assert not given & {tuple(ray) for ray in hidden.rays}


def test_descriptors_of_another_size_are_refused(room_map):
    with pytest.raises(ValueError, match=r"descriptors of size 64, the network reads 256"):
        adapt.make_samples(room_map, 256)


def test_too_few_views_are_refused(room_map, tmp_path, monkeypatch):
    monkeypatch.setattr(adapt, "MIN_KEYPOINTS", 10**6)
    with pytest.raises(ValueError, match="0 views with enough landmarks, 5 are needed"):
        adapt.adapt_network(room_map, PointInferenceNetwork(PinShape()), tmp_path / "pin.safetensors", SETTINGS)
