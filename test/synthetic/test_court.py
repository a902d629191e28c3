"""The court is closed all around, cameras stand free in it, and its photographs are rendered once."""

import numpy as np
import pytest

from deviloc_ros.camera import Camera
from deviloc_ros.evaluation.protocols import court as protocol
from deviloc_ros.evaluation.protocols import scenes
from deviloc_ros.sources.base import PosedImage
from deviloc_ros.synthetic.court import AIM_M, HEIGHT_M, SIDE_M, make_court, walk_around
from deviloc_ros.synthetic.render import find_surfaces
from deviloc_ros.synthetic.scene import Scene
from deviloc_ros.synthetic.trajectory import look_at

SMALL = Camera("PINHOLE", 64, 48, (56.0, 56.0, 31.5, 23.5))


@pytest.fixture(scope="module")
def court() -> Scene:
    return make_court(np.random.default_rng(protocol.SEED))


@pytest.mark.parametrize("angle", np.deg2rad([10, 100, 190, 280]))
def test_there_is_a_front_on_each_side(court, angle):
    centre = np.array([0, 0, HEIGHT_M[0] - 0.5])  # above all that stands in the court
    toward = np.array([np.cos(angle), np.sin(angle), 0])
    index, planes = find_surfaces(court, SMALL, look_at(centre, centre + toward))
    depth_m = 1 / planes[index[23, 31]][2]
    distance_m = SIDE_M / 2 / np.abs(toward).max()
    assert distance_m - 4 < depth_m < distance_m + 1  # columns stand out, windows are set back


def test_photographs_are_taken_from_free_places_and_across_the_court(court):
    poses = walk_around(np.random.default_rng(1), 20)
    for pose in poses:
        centre, axis = pose.tgt_origin_in_src(), pose.rotation.matrix()[2]
        assert np.abs(centre[:2]).max() < SIDE_M / 2 - 2 and court.clearance_m(centre) > 0.25
        assert axis[:2] @ centre[:2] < 0 and axis[2] * np.linalg.norm(centre[:2]) < AIM_M


def test_photographs_are_rendered_once_and_kept_apart_by_what_they_show(court, tmp_path, monkeypatch):
    monkeypatch.setenv("DEVILOC_CACHE", str(tmp_path))
    monkeypatch.setattr(protocol, "make_court", lambda rng: court)
    images = protocol.render_court(SMALL, count=2)
    written = [image.path.stat().st_mtime_ns for image in images]
    again = protocol.render_court(SMALL, count=2)
    assert [image.path for image in again] == [image.path for image in images]
    assert [image.path.stat().st_mtime_ns for image in again] == written
    other = Camera("PINHOLE", 32, 24, (28.0, 28.0, 15.5, 11.5))
    assert protocol.render_court(other, count=2)[0].path.parent != images[0].path.parent


def test_the_court_is_asked_one_by_one_or_between_every_third(tmp_path, monkeypatch):
    poses = walk_around(np.random.default_rng(1), 20)
    images = [PosedImage(f"{n}", tmp_path / f"{n}", SMALL, pose) for n, pose in enumerate(poses)]
    monkeypatch.setattr(scenes, "render_court", lambda: images)
    each = scenes.load_protocol("court", tmp_path)
    assert [len(fold.map_images) for fold in each.folds] == [19] * 20 and not each.relative_to_scene
    (fold,) = scenes.load_protocol("court-third", tmp_path).folds
    assert (len(fold.map_images), len(fold.queries)) == (7, 13)
