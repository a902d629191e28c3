"""What every global descriptor promises, and what a map asks of the one it is described with."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from rooms import room_config, room_matcher
from worlds import textured_image

from deviloc_ros.cli import main
from deviloc_ros.config import RetrievalConfig
from deviloc_ros.config_fields import change_config
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.update import update_map
from deviloc_ros.maps.edit import merge_maps
from deviloc_ros.maps.retrieval.global_descriptors import (
    DescriptorError,
    LearnedDescriptor,
    Vlad,
    load_learned_descriptor,
)
from deviloc_ros.maps.store import Map, MapError
from deviloc_ros.sources.base import Source
from deviloc_ros.types import Localized

HUB = """
import torch

def get_trained_model(cells: int = 6):
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(cells), torch.nn.Flatten())

def not_a_network():
    return 3

def feature_map():
    return torch.nn.Conv2d(3, 4, 3)
"""
IMAGES = [textured_image(np.random.default_rng(seed)) for seed in range(3)]


def unit_vectors(count: int, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 64, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    (folder / "hubconf.py").write_text(HUB)
    return folder


@pytest.fixture(scope="module")
def file(hub, tmp_path_factory):
    """A network that averages over a grid of cells."""
    path = tmp_path_factory.mktemp("network") / "cells.pt"
    words = ("import-descriptor", hub, "--output", path, "--side-px", 64, "--trust-code")
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    assert exit.value.code == 0
    return path


@pytest.fixture(params=["vlad", "learned"])
def descriptor(request, file):
    if request.param == "learned":
        return LearnedDescriptor.load(file)
    return Vlad.learn(torch.cat([room_matcher("xfeat").extract(image).descriptors for image in IMAGES]), clusters=8)


def described(descriptor, image):
    return descriptor.describe(image, room_matcher("xfeat").extract(image))


def test_descriptors_have_unit_length_and_one_size(descriptor):
    sizes = {described(descriptor, image).shape for image in (IMAGES[0], IMAGES[1][:120, :200])}
    assert len(sizes) == 1 and len(sizes.pop()) == 1
    vector = described(descriptor, IMAGES[0])
    assert vector.dtype == torch.float32 and vector.norm() == pytest.approx(1)
    torch.testing.assert_close(vector, described(descriptor, IMAGES[0].copy()))


def test_an_image_is_most_like_itself_made_darker(descriptor):
    images = [described(descriptor, image) for image in IMAGES]
    query = described(descriptor, (IMAGES[1] * 0.8).astype(np.uint8))
    assert np.argmax([float(query @ vector) for vector in images]) == 1


def test_images_without_anything_give_a_vector_that_is_finite(descriptor):
    for image in (np.zeros((240, 320), np.uint8), np.full((30, 40), 255, np.uint8)):
        vector = described(descriptor, image)
        assert vector.isfinite().all() and vector.norm() < 1.001


def test_vlad_learns_the_same_from_the_same_and_anything_from_little():
    torch.testing.assert_close(Vlad.learn(unit_vectors(500)).centroids, Vlad.learn(unit_vectors(500)).centroids)
    assert Vlad.learn(unit_vectors(3)).centroids.shape == (1, 64)


def test_a_file_that_is_no_network_is_named(tmp_path):
    (tmp_path / "a.pt").write_text("no network")
    for name in ("a.pt", "b.pt"):
        with pytest.raises(DescriptorError, match=name):
            load_learned_descriptor(RetrievalConfig(descriptor_file=str(tmp_path / name)))
    assert load_learned_descriptor(RetrievalConfig()) is None


@pytest.mark.parametrize("entry", ["not_a_network", "feature_map", "nothing"])
def test_a_hub_entry_that_describes_nothing_is_named(hub, tmp_path, capsys, entry):
    words = ("import-descriptor", hub, "--entry", entry, "--output", tmp_path / "x.pt", "--trust-code")
    with pytest.raises(SystemExit):
        main([str(word) for word in words])
    assert entry in capsys.readouterr().err and not (tmp_path / "x.pt").exists()


def test_code_is_run_only_if_it_is_trusted(tmp_path, capsys):
    (tmp_path / "hubconf.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(SystemExit):
        main(["import-descriptor", str(tmp_path), "--output", str(tmp_path / "x.pt")])
    assert "--trust-code" in capsys.readouterr().err and not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def learned_config(file):
    config = room_config()
    return change_config(config, retrieval={"descriptor_file": str(file)})


@pytest.fixture(scope="module")
def learned_map(room, learned_config, tmp_path_factory):
    path = tmp_path_factory.mktemp("learned") / "room.map"
    room.build(path, learned_config, images=room.images[:5])
    return path


def test_a_map_described_by_a_network_is_used_with_the_same(room, learned_map, learned_config):
    localizer = Localizer(Map.open(learned_map), learned_config)
    assert isinstance(localizer.localize(room.queries[0], room.camera), Localized)
    retrieval = localizer.map.retrieval()
    assert retrieval.vlad is None and retrieval.descriptors.shape == (5, 108)


def test_a_map_names_no_program(learned_map):
    with pytest.raises(MapError, match="name its file"):
        Localizer(Map.open(learned_map))
    assert ".pt" not in (learned_map / "manifest.json").read_text()


def test_another_network_or_one_too_many_is_refused(room_map, learned_map, learned_config, hub, tmp_path):
    with pytest.raises(MapError, match="not described by"):
        Localizer(room_map, learned_config)
    words = ("import-descriptor", hub, "--output", tmp_path / "b.pt", "--argument", "cells=3", "--trust-code")
    with pytest.raises(SystemExit):
        main([str(word) for word in words])
    other = replace(learned_config.retrieval, descriptor_file=str(tmp_path / "b.pt"))
    with pytest.raises(MapError, match="not described by"):
        Localizer(Map.open(learned_map), replace(learned_config, retrieval=other))


def test_maps_described_by_a_network_grow_and_join(room, learned_map, room_folder, file, tmp_path):
    merge_maps([learned_map], tmp_path / "grown.map")
    with pytest.raises(MapError, match="name its file"):
        update_map(Source(room.images[5:], []), tmp_path / "grown.map", quiet=True, matcher=room_matcher("xfeat"))
    new = Source(room.images[5:], [])
    update_map(new, tmp_path / "grown.map", quiet=True, matcher=room_matcher("xfeat"), descriptor_file=str(file))
    grown = Map.open(tmp_path / "grown.map").retrieval().descriptors
    assert grown.shape == (7, 108) and torch.equal(grown[:5], Map.open(learned_map).retrieval().descriptors)
    with pytest.raises(MapError, match="another network"):
        merge_maps([learned_map, room_folder], tmp_path / "c.map", prefix=True)
