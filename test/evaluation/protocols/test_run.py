"""A protocol's queries in a map that is there."""

from dataclasses import replace

import cv2
import pytest
from rooms import room_config

from deviloc_ros.config import Config
from deviloc_ros.evaluation.protocols.run import Evaluation, config_for_retrieval
from deviloc_ros.evaluation.protocols.scenes import EvaluationProtocol, Fold
from deviloc_ros.sources.base import PosedImage


def test_queries_are_localized_in_a_given_map(room, room_map, tmp_path):
    queries = []
    for number, (pixels, pose) in enumerate(zip(room.queries, room.query_poses, strict=True)):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), pixels)
        queries.append(PosedImage(path.name, path, room.camera, pose))
    protocol = EvaluationProtocol("room", [Fold([], queries)])
    summary = Evaluation(protocol, room_config()).run_in_map(room_map, room_config(), "true-pose")
    assert summary["queries"] == summary["localized"] == len(queries)
    assert summary["recall"]["10cm_5deg"] == 1 and summary["map"]["views"] == 7
    twice = replace(protocol, folds=protocol.folds * 2)
    with pytest.raises(ValueError, match="room needs a map for each of its 2"):
        Evaluation(twice, room_config()).run_in_map(room_map, room_config(), "true-pose")


def test_once_is_without_searching_again_near_what_was_found():
    config = Config()
    assert (
        config_for_retrieval(config, "global") == config_for_retrieval(config, "prior") == config
        and config.retrieval.refine
    )
    assert not config_for_retrieval(config, "global-once").retrieval.refine


def test_the_protocols_references_are_the_nearest_alone():
    retrieval = config_for_retrieval(Config(), "true-pose").retrieval
    assert retrieval.nearest == retrieval.references > Config().retrieval.nearest
