"""Parts are really left out, landmarks really disturbed, and a query is matched once for all lines of a table."""

import numpy as np
import pytest
from rooms import room_config

from deviloc_ros.config_fields import change_config
from deviloc_ros.evaluation.protocols.ablation import (
    make_disturbance,
    make_pose_noise,
    make_variants,
    run_ablation,
    run_robustness,
)
from deviloc_ros.evaluation.protocols.run import Evaluation
from deviloc_ros.evaluation.protocols.scenes import EvaluationProtocol, Fold
from deviloc_ros.geometry import transform_points


@pytest.fixture(scope="module")
def evaluation(room) -> Evaluation:
    protocol = EvaluationProtocol("room", [Fold(room.images[:-1], room.images[-1:])])
    return Evaluation(protocol, room_config(), remember_matches=True)


def test_every_variant_is_measured_and_matches_only_once(evaluation):
    asked = []
    match = evaluation.matcher.matcher.match
    evaluation.matcher.matcher.match = lambda query, references: (
        asked.append(len(references)) or match(query, references)
    )
    upright = change_config(room_config(), retrieval={"try_turned": False})  # a turned image is another image
    summaries = list(run_ablation(evaluation, upright, "true-pose"))
    assert [s["lift"] for s in summaries] == [v.name for v in make_variants(room_config())]
    views = len(evaluation.protocol.folds[0].map_images)  # each is matched with the others, too, for its own pose
    assert sum(asked) <= room_config().retrieval.references + views * (views - 1)
    assert all(s["queries"] == 1 and s["wrong_fixes"] == 0 for s in summaries)
    inliers = {s["lift"]: s["median_inliers"] for s in summaries}
    assert inliers["pin"] > inliers["landmarks-only"]
    assert len({inliers[name] for name in inliers if name.startswith("pin")}) > 3


def test_each_lift_is_compared_with_landmarks_alone_where_landmarks_are_bad(evaluation):
    alone, interpolated, pin = run_robustness(evaluation, room_config(), "true-pose", [(0.5, 0.05)])
    assert [s["lift"].split(",")[0] for s in (alone, interpolated, pin)] == ["landmarks-only", "interpolate", "pin"]
    assert alone["lift"].endswith("50% of landmarks, 5% noise") and alone["not_worse"] == 1.0
    for summary in (interpolated, pin):
        assert summary["not_worse"] == (summary["translations_m"] <= alone["translations_m"])  # there is one query


def test_landmarks_are_thinned_alike_in_all_views_and_moved_along_their_rays(evaluation, room):
    images = evaluation.add_landmarks(room.images[:-1], room_config())
    thin = make_disturbance(0.5, 0.0, seed=0)(images)
    ids = [set(np.concatenate([image.landmarks.ids for image in some]).tolist()) for some in (images, thin)]
    assert ids[1] < ids[0] and abs(len(ids[1]) - len(ids[0]) / 2) <= 1
    for before, after in zip(images, thin, strict=True):
        assert set(after.landmarks.ids) == set(before.landmarks.ids) & ids[1]
    ratios = []
    for before, after in zip(images, make_disturbance(1.0, 0.05, seed=0)(images), strict=True):
        old, new = (transform_points(i.cam_from_world, i.landmarks.points_in_world) for i in (before, after))
        np.testing.assert_allclose(new / new[:, 2:], old / old[:, 2:], atol=1e-9)
        ratios.append(new[:, 2] / old[:, 2] - 1)
    assert np.std(np.concatenate(ratios)) == pytest.approx(0.05, rel=0.2)


def test_images_without_landmarks_are_named(room):
    with pytest.raises(ValueError, match=r"view-0\.png: has no landmarks"):
        make_disturbance(0.5, 0.0, seed=0)(room.images[:1])


def test_poses_are_moved_by_the_noise_that_was_asked_for_and_landmarks_come_of_them_anew(evaluation, room):
    images = evaluation.add_landmarks(room.images[:-1], room_config()) * 40
    moved = make_pose_noise(0.02, 0.5, seed=0)(images)
    assert all(image.landmarks is None for image in moved)
    offs = [a.cam_from_world * b.cam_from_world.inverse() for a, b in zip(moved, images, strict=True)]
    assert np.std([off.translation for off in offs]) == pytest.approx(0.02, rel=0.1)
    turns = np.array([off.rotation.quat[:3] for off in offs])  # half angles
    assert np.degrees(np.std(2 * turns)) == pytest.approx(0.5, rel=0.1)
