"""Something of the robot in view: found where it is, in the views where it is, and nowhere else."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from rooms import QUIET, room_config, room_matcher
from worlds import rigid_of

from deviloc_ros.evaluation.metrics import is_wrong_fix
from deviloc_ros.evaluation.protocols.body_in_view import paste_patch, patch_region, write_mask
from deviloc_ros.geometry import rotation_distance_deg, translation_distance_m
from deviloc_ros.imaging import read_gray, to_gray
from deviloc_ros.localizer import Localizer
from deviloc_ros.mapping.build import MapBuilder, find_body_in_sample, find_keypoints_and_body
from deviloc_ros.maps.store import Map
from deviloc_ros.sfm.body_in_view import BodyInView
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sources.base import PosedImage, Source
from deviloc_ros.synthetic.render import render_color
from deviloc_ros.types import Landmarks

SIZE = (320, 240)
TURNS_RAD = ((0, 0.2, 0), (0.1, 0, 0.15), (0, -0.25, 0), (-0.1, 0, 0), (0, 0.1, -0.2), (0.15, 0.1, 0), (0, 0, 0.1))


@pytest.fixture(scope="module")
def views(room, tmp_path_factory) -> list[PosedImage]:
    """Of the room, by a camera that turns this way and that: on a path about one thing, that thing stays, too."""
    folder = tmp_path_factory.mktemp("turned")
    turned = []
    for image, turn in zip(room.images, TURNS_RAD, strict=True):
        pose = rigid_of(turn, (0, 0, 0)) * image.cam_from_world
        path = folder / image.name
        cv2.imwrite(str(path), render_color(room.scene, room.camera, pose))
        turned.append(PosedImage(image.name, path, room.camera, pose))
    return turned


def with_patch(images, folder, shows=lambda number: True, *, textured=True):
    """Copies of images, some of which show the patch."""
    copies = []
    for number, image in enumerate(images):
        gray = read_gray(image.path)
        if shows(number):
            paste_patch(gray, textured=textured)
        cv2.imwrite(str(folder / image.name), gray)
        copies.append(replace(image, path=folder / image.name))
    return copies


def look(images) -> BodyInView | None:
    return find_keypoints_and_body(images, Networks(room_config()), QUIET)[1]


def share_in_patch(cells: np.ndarray) -> tuple[float, float]:
    """How much of the patch is hidden, and how much of the rest."""
    hidden = cv2.resize(cells.astype(np.uint8), SIZE, interpolation=cv2.INTER_NEAREST).astype(bool)
    patch = np.zeros_like(hidden)
    patch[patch_region(SIZE)] = True
    return hidden[patch].mean(), hidden[~patch].mean()


def test_nothing_is_found_where_nothing_is(room, views):
    assert look(room.images) is None and look(views) is None


@pytest.mark.parametrize("every", [1, 2])
def test_the_patch_is_found_in_the_views_that_show_it(views, tmp_path, every):
    body = look(with_patch(views, tmp_path, lambda number: number % every == 0))
    assert set(body.hidden) == {image.name for image in views[::every]}
    for cells in body.hidden.values():
        of_patch, of_rest = share_in_patch(cells)
        assert of_patch > 0.9 and of_rest < 0.2
    assert f"in {len(body.hidden)} of {len(views)} views" in str(body)


def test_images_that_all_stay_the_same_are_not_a_robot(views):
    """Where everything stays while the poses move, the poses are wrong."""
    assert look([replace(image, path=views[0].path) for image in views]) is None


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "noticed"])
def test_nothing_of_the_patch_gets_into_a_map_and_queries_that_show_it_are_localized(room, views, tmp_path, masked):
    images = with_patch(views, tmp_path)
    mask = write_mask(tmp_path / "mask.png", SIZE) if masked else None
    images = [replace(image, mask=mask) for image in images]
    networks = Networks(room_config(), room_matcher("xfeat"))
    report = MapBuilder(networks, QUIET).build(Source(images, []), tmp_path / "map")
    assert (report.body is None) == masked
    assert "refine-poses" not in report.notes["pose fit"]
    reference_map = Map.open(tmp_path / "map")
    rows, columns = patch_region(SIZE)
    for number in range(len(reference_map)):
        keypoints = reference_map.view(number).features.keypoints.numpy()
        for x, y in np.concatenate([keypoints, reference_map.landmarks_of(number).keypoints]):
            assert not (columns.start <= x < columns.stop and rows.start <= y < rows.stop)
    localizer = Localizer(reference_map, mask=mask)
    for image, pose in zip(room.queries, room.query_poses, strict=True):
        gray = to_gray(image, room.camera)
        paste_patch(gray, textured=True)
        found = localizer.localize(gray, room.camera)
        if hasattr(found, "cam_from_world"):
            errors = (
                translation_distance_m(found.cam_from_world, pose),
                rotation_distance_deg(found.cam_from_world, pose),
            )
            assert not is_wrong_fix(*errors) and errors[0] < 0.1


def test_a_patch_in_images_that_bring_landmarks_is_found(views, tmp_path):
    images = with_patch(views, tmp_path)
    body = find_body_in_sample([replace(image, landmarks=Landmarks.empty()) for image in images], QUIET)
    assert body is not None and set(body.hidden) == {image.name for image in images}
