"""Presets: the paper's settings per data set, and what may be changed on top of them."""

import argparse

import pytest

from deviloc_ros.commands.flags.common import add_config, add_preset, read_config
from deviloc_ros.config import Config
from deviloc_ros.upstream.presets import PRESETS, apply_preset


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_config(parser)
    add_preset(parser)
    return read_config(parser.parse_args(arguments))


def test_every_preset_is_within_the_bounds_of_the_parameters():
    for name in PRESETS:
        config = apply_preset(Config(), name)
        assert (config.matcher.name, config.lift.method, config.aggregation.method) == ("topicfm", "upstream", "paper")
        assert config.lift.landmark_radius_px == config.aggregation.cell_px
        assert not config.retrieval.refine  # nor does the published method
        assert config.pose.max_depth_discount == 1  # its confidence is of reprojection, not of depth


def test_the_default_is_7scenes_and_others_differ():
    paper, aachen = parsed("--preset", "deviloc-paper"), parsed("--preset", "deviloc-paper:aachen")
    assert paper == parsed("--preset", "deviloc-paper:7scenes")
    assert (paper.matcher.max_image_side_px, paper.matcher.min_confidence, paper.retrieval.references) == (640, 0.3, 10)
    assert (aachen.aggregation.cell_px, aachen.aggregation.min_confidence) == (3.0, 0.5)
    assert aachen.retrieval.covisibility_clusters and not paper.retrieval.covisibility_clusters


def test_other_flags_change_a_preset_and_weights_go_where_they_are_read():
    config = parsed("--preset", "deviloc-paper", "--set", "retrieval.references=3", "--weights", "a.ckpt")
    assert config.retrieval.references == 3 and config.matcher.weights == config.lift.weights == "a.ckpt"
    assert parsed("--matcher", "topicfm", "--weights", "a.ckpt").lift.weights == ""
    with pytest.raises(ValueError, match=r"--weights a.ckpt: matcher 'xfeat'"):
        parsed("--lift", "interpolate", "--weights", "a.ckpt")
    assert parsed("--lift", "pin", "--weights", "a.safetensors").lift.weights == "a.safetensors"


def test_an_unknown_preset_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"'deviloc'; known: deviloc-paper"):
        parsed("--preset", "deviloc")
