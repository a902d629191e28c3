"""Training views: true depth is true, landmarks have the errors that reconstruction makes, files come back."""

import numpy as np
import pytest

from deviloc_ros.synthetic.render import render_depth
from deviloc_ros.training import data
from deviloc_ros.training.views import TrainingView, read_shard, read_views, shard_paths, write_shard

SEED = (0, 0, 1)


@pytest.fixture(scope="module")
def place() -> list[TrainingView]:
    views = data.make_place(SEED)
    assert views
    return views


def test_depth_between_pixels_is_the_renderers(place, monkeypatch):
    scenes, surfaces = [], data.find_surfaces
    monkeypatch.setattr(data, "find_surfaces", lambda *where: scenes.append(where) or surfaces(*where))
    again = data.make_place(SEED)
    for view, where in zip(again, scenes, strict=False):
        depth = render_depth(*where)
        rows, columns = np.nonzero(depth)
        chosen = np.random.default_rng(0).permutation(len(rows))[:500]
        rows, columns = rows[chosen], columns[chosen]
        np.testing.assert_allclose(view.depths_at(np.stack([columns, rows], 1)), depth[rows, columns], rtol=1e-3)


def test_places_follow_their_seed(place):
    for view, again in zip(place, data.make_place(SEED), strict=True):
        assert view.name == again.name
        np.testing.assert_array_equal(view.jpeg, again.jpeg)
        np.testing.assert_array_equal(view.landmark_points_in_world, again.landmark_points_in_world)


def test_landmarks_are_mostly_right_but_not_exact(place):
    for view in place:
        true = view.depths_at(view.landmark_keypoints)
        error = np.abs(view.landmarks_in_cam()[:, 2] / np.maximum(true, 1e-6) - 1)
        assert 1e-4 < np.median(error) < 0.03
        assert data.MIN_LANDMARKS <= len(error) <= data.MAX_LANDMARKS


def test_landmarks_that_are_said_to_be_uncertain_are_farther_off(place):
    errors, stds = [], []
    for view in place:
        true = view.depths_at(view.landmark_keypoints)
        errors.append(np.abs(view.landmarks_in_cam()[:, 2] / np.maximum(true, 1e-6) - 1))
        stds.append(view.landmark_depth_stds)
    errors, stds = np.concatenate(errors), np.concatenate(stds)
    sure, unsure = stds < np.quantile(stds, 0.25), stds > np.quantile(stds, 0.75)
    assert np.median(errors[unsure]) > 1.5 * np.median(errors[sure])
    assert 0.1 < np.median(errors / stds) < 2  # keypoints are off by parts of a pixel


def test_views_have_an_image_of_their_cameras_size(place):
    for view in place:
        assert view.gray().shape == view.surfaces().shape == (view.camera.height, view.camera.width)
        assert view.gray().dtype == np.uint8 and view.gray().std() > 5


def test_a_shard_gives_back_what_was_written(place, tmp_path):
    write_shard(tmp_path / "views-0.safetensors", place)
    assert [path.name for path in shard_paths(tmp_path)] == ["views-0.safetensors"]  # nothing unfinished is left
    for view, again in zip(place, read_views(tmp_path), strict=True):
        assert (again.name, again.place, again.camera) == (view.name, view.place, view.camera)
        np.testing.assert_allclose(again.cam_from_world.matrix(), view.cam_from_world.matrix(), atol=1e-12)
        np.testing.assert_array_equal(again.surfaces(), view.surfaces())
        np.testing.assert_array_equal(again.landmark_keypoints, view.landmark_keypoints)


def test_finished_shards_are_not_made_again(place, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(data, "VIEWS_PER_SHARD", 2)
    monkeypatch.setattr(data, "make_place", lambda seed: made.append(seed) or place[:2])
    data.make_shards(tmp_path, views=3, seed=5)
    data.make_shards(tmp_path, views=3, seed=5)
    assert made == [(5, 0, 0), (5, 1, 0)] and len(list(read_views(tmp_path))) == 4


def test_other_files_are_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(1)}, tmp_path / "views-x.safetensors")
    with pytest.raises(ValueError, match="not deviloc_ros training views"):
        read_shard(tmp_path / "views-x.safetensors")
    with pytest.raises(ValueError, match="no training views"):
        next(read_views(tmp_path / "empty"))
