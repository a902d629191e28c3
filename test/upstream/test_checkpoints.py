"""Weights files: only the released keys and shapes, nothing executed, errors that name file, keys and what to do."""

import pickle

import pytest
import torch

from deviloc_ros.upstream.checkpoints import (
    CheckpointError,
    convert_checkpoint,
    expected_shapes,
    git_blob_id,
    load_network,
    read_weights,
    save_weights,
)
from deviloc_ros.upstream.pin import UpstreamPin
from deviloc_ros.upstream.releases import MATCHER, PIN
from deviloc_ros.upstream.topicfm.network import TopicFM


@pytest.fixture(scope="module")
def tensors():
    """Of the released layout, all zero."""
    return {f"model.{key}": torch.zeros(shape) for key, shape in expected_shapes().items()}


def written(path, tensors):
    torch.save({"state_dict": tensors, "epoch": 3}, path)
    return path


def test_the_released_layout_is_read_and_converted_without_a_change(tensors, tmp_path):
    path = written(tmp_path / "a.ckpt", tensors)
    convert_checkpoint(path, tmp_path / "new" / "a.safetensors", {"origin": "a test"})
    for file in (path, tmp_path / "new" / "a.safetensors"):
        found = read_weights(file)
        assert {key: tuple(t.shape) for key, t in found.items()} == dict(expected_shapes())
        assert all(not t.any() for t in found.values())
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.safetensors"]


def test_networks_load_their_own_part(tensors, tmp_path):
    path = written(tmp_path / "a.ckpt", tensors)
    pin, pin_id = load_network(UpstreamPin, str(path), PIN)
    assert not pin.pts3d_emb.weight.any()
    assert load_network(UpstreamPin, str(path), PIN)[1] == pin_id != load_network(UpstreamPin, "random", PIN)[1]


def test_topicfm_alone_serves_the_matcher_and_not_the_pin(tensors, tmp_path):
    own = {key.removeprefix("model."): t for key, t in tensors.items() if key.startswith("model.matcher.")}
    path = written(tmp_path / "topicfm_fast.ckpt", own)
    load_network(TopicFM, str(path), MATCHER)
    with pytest.raises(CheckpointError, match=r"topicfm_fast.ckpt: holds TopicFM only.*fetch-weights deviloc"):
        load_network(UpstreamPin, str(path), PIN)


KEY = "model.matcher.backbone.layer0.conv.weight"
FAULTS = {
    "missing": (lambda t: t.pop(KEY), r"1 key missing: matcher.backbone.layer0.conv.weight"),
    "extra": (lambda t: t.update({"model.more": torch.zeros(1)}), r"1 key not known: more"),
    "other branch": (
        lambda t: t.update({KEY: torch.zeros(96, 1, 7, 7)}),
        r"of another shape: matcher.backbone.layer0.conv.weight \(96, 1, 7, 7\) instead of \(128, 1, 7, 7\)",
    ),
    "not finite": (lambda t: t.update({KEY: torch.full((128, 1, 7, 7), torch.nan)}), "1 key not finite"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_other_keys_and_shapes_are_named(tensors, tmp_path, fault):
    change, message = FAULTS[fault]
    changed = dict(tensors)
    change(changed)
    with pytest.raises(CheckpointError, match=message) as error:
        read_weights(written(tmp_path / "a.ckpt", changed))
    assert "a.ckpt" in str(error.value) and "fetch" in str(error.value)


class Mischief:
    """Executes something when unpickled."""

    def __reduce__(self):
        return print, ("executed",)


def test_a_file_that_is_no_checkpoint_is_named_and_not_executed(tensors, tmp_path, capsys):
    whole = written(tmp_path / "whole.ckpt", tensors).read_bytes()
    contents = {
        "truncated.ckpt": whole[: len(whole) // 2],
        "empty.ckpt": b"",
        "text.ckpt": b"<html>not found</html>",
        "code.ckpt": pickle.dumps({"state_dict": Mischief()}),
        "truncated.safetensors": b"\x10\0\0\0\0\0\0\0{}",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=name):
            read_weights(tmp_path / name)
    torch.save({"state_dict": {"a": Mischief()}}, tmp_path / "object.ckpt")
    torch.save({"other": 1}, tmp_path / "other.ckpt")
    for name in ("object.ckpt", "other.ckpt", "absent.ckpt"):
        with pytest.raises(CheckpointError, match=name):
            read_weights(tmp_path / name)
    assert "executed" not in capsys.readouterr().out


def test_the_default_file_is_the_fetched_one(tensors, tmp_path, monkeypatch):
    monkeypatch.setenv("DEVILOC_WEIGHTS", str(tmp_path))
    with pytest.raises(CheckpointError, match="fetch-weights deviloc"):
        load_network(UpstreamPin, "", PIN)
    save_weights({key.removeprefix("model."): t for key, t in tensors.items()}, tmp_path / "deviloc.safetensors", {})
    load_network(UpstreamPin, "", PIN)


def test_a_blob_id_is_what_git_says(tmp_path):
    (tmp_path / "a").write_bytes(b"what is up, doc?")
    assert git_blob_id(tmp_path / "a") == "bd9dbf5aae1a3862dd1526723246b20206e5fc37"
