"""Maps from images alone: the structure is right up to a similarity, and what is not known or not used is said."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
import torch
from PIL import Image as PillowImage
from rooms import QUIET
from worlds import PINHOLE, SMALL, rigid_of

from deviloc_ros.camera import Camera
from deviloc_ros.cli import main
from deviloc_ros.commands.flags.common import parse_camera
from deviloc_ros.commands.flags.images_alone import KnownDistance, describe_cameras, find_metric_scale, format_camera
from deviloc_ros.geometry import rotation_distance_deg, transform_points, translation_distance_m
from deviloc_ros.maps.alignment.similarity import align_poses
from deviloc_ros.maps.store import Map
from deviloc_ros.sfm import structure
from deviloc_ros.sfm.matches import Keypoints, extract_sift_keypoints
from deviloc_ros.sfm.structure import (
    UnposedImage,
    choose_pairs,
    find_images,
    keep_verified_moving,
    median_depth,
    move_images,
    structure_from_motion,
)
from deviloc_ros.sources.base import PosedImage, SourceError
from deviloc_ros.sources.colmap import build_reconstruction
from deviloc_ros.types import Features, Landmarks

CAMERA = "PINHOLE,320,240,262,262,159.5,119.5"


@pytest.fixture(scope="module")
def folder(room, tmp_path_factory):
    """The room's views, an image of nothing and a file that is no image."""
    folder = tmp_path_factory.mktemp("images")
    for image in room.images:
        (folder / image.name).write_bytes(image.path.read_bytes())
    cv2.imwrite(str(folder / "black.png"), np.zeros((240, 320), np.uint8))
    (folder / "text.jpg").write_text("not an image")
    return folder


def photograph(path, focal_mm=None, model="", lens="") -> None:
    """A picture as a phone writes it."""
    image, exif = PillowImage.new("L", (64, 48)), PillowImage.Exif()
    if model:
        exif[0x0110] = model
    directory = exif.get_ifd(0x8769)
    directory.update({tag: value for tag, value in ((0xA405, focal_mm), (0xA434, lens)) if value})
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=exif)


LENSES = {
    "two focal lengths": [{"focal_mm": 24}, {"focal_mm": 77}],
    "two phones": [{"focal_mm": 24, "model": "A"}, {"focal_mm": 24, "model": "B"}],
    "two lenses of one focal length": [{"lens": "front"}, {"lens": "back"}],
    "one that says nothing": [{"focal_mm": 24}, {}],
}


@pytest.mark.parametrize("name", LENSES)
@pytest.mark.parametrize(("per", "cameras"), [("lens", 2), ("folder", 3), ("image", 6)])
def test_each_lens_has_its_camera(tmp_path, name, per, cameras):
    for number in range(6):
        photograph(tmp_path / f"{number % 3}" / f"{number}.jpg", **LENSES[name][number % 2])
    images, skipped = find_images(tmp_path, None, camera_per=per)
    assert len(images) == 6 and not skipped
    model = build_reconstruction(images, [image.lens for image in images])
    assert len(model.cameras) == cameras
    by_number = sorted(images, key=lambda image: image.path.name)
    if per == "lens":
        assert len({image.lens for image in by_number[::2]}) == len({image.lens for image in by_number[1::2]}) == 1


@pytest.mark.parametrize("suffix", [".jxl", ".dng", ".NEF", ".gif", ".jp2"])
def test_photographs_of_kinds_that_are_not_read_are_listed(tmp_path, suffix):
    photograph(tmp_path / "a.jpg")
    (tmp_path / f"b{suffix}").write_bytes(b"something")
    (tmp_path / "notes.txt").write_text("not a photograph")
    images, skipped = find_images(tmp_path, None)
    assert [image.name for image in images] == ["a.jpg"]
    assert [image.name for image in skipped] == [f"b{suffix}"] and f"{suffix} is not read: " in skipped[0].why
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(SourceError, match=rf"1 photographs are of other kinds: b{suffix}"):
        find_images(tmp_path, None)


def seen_points(images: list[UnposedImage], poses: list[pycolmap.Rigid3d]) -> Keypoints:
    """A cloud of points as cameras see it, half a pixel off; what they see is matched without error."""
    rng = np.random.default_rng(0)
    points = rng.uniform([-2, -1.5, 2], [2, 1.5, 6], (400, 3))
    features = {}
    for image, pose in zip(images, poses, strict=True):
        pixels = PINHOLE.project(transform_points(pose, points)) + rng.normal(0, 0.5, (len(points), 2))
        seen = np.flatnonzero(((pixels > 0) & (pixels < [640, 480])).all(1))
        number, ones = torch.from_numpy(seen)[:, None].float(), torch.ones(len(seen))
        features[image.name] = Features(torch.from_numpy(pixels[seen]), number, ones, ones, (640, 480))
    return Keypoints(features, match_numbers)


def match_numbers(a: Features, b: Features) -> np.ndarray:
    numbers = [features.descriptors[:, 0].numpy() for features in (a, b)]
    return np.stack(np.intersect1d(*numbers, return_indices=True)[1:], 1)


POSES = [rigid_of([0.02 * n, -0.05 * n, 0.01 * n], [-0.25 * n, 0.1 * n, 0.05 * n]) for n in range(8)]  # cam_from_world
GUESSED = Camera("SIMPLE_RADIAL", 640, 480, (600.0, 319.5, 239.5, 0.0))
AWAY = rigid_of([0, np.pi, 0], [0, 0, 0])  # sees none of it


@pytest.mark.parametrize(("camera", "known"), [(PINHOLE, True), (GUESSED, False)])
def test_structure_is_found_up_to_a_similarity_and_so_is_an_unknown_camera(camera, known):
    images = [UnposedImage(f"{n}.png", Path(), camera) for n in range(9)]
    posed, skipped = structure_from_motion(images, seen_points(images, [*POSES, AWAY]), QUIET, known_camera=known)
    assert [image.name for image in posed] == [f"{n}.png" for n in range(8)]
    assert [(s.name, s.why) for s in skipped] == [("8.png", "not registered with the 8 others")]
    moved = move_images(posed, align_poses([image.cam_from_world for image in posed], POSES))
    for image, pose in zip(moved, POSES, strict=True):
        assert translation_distance_m(image.cam_from_world, pose) < 0.02
        assert rotation_distance_deg(image.cam_from_world, pose) < 0.5
        assert len(image.landmarks) > 100
    assert posed[0].camera.focal_px == pytest.approx(PINHOLE.focal_px, rel=0.0 if known else 0.02)
    depth = median_depth((image.cam_from_world, image.landmarks.points_in_world) for image in moved)
    assert depth == pytest.approx(4, rel=0.2)


IMPOSSIBLE = {
    "long": (11 * 640, 320, 240, 0.0),
    "short": (32, 320, 240, 0.0),
    "bent": (2200, 320, 240, 1.3),
    "a little bent": (1412, 320, 240, 0.68),
}


def begin_badly(monkeypatch, times: int, params: tuple) -> None:
    """Structure from motion that ends at such a camera, so many times until it finds what it does find."""
    reconstruct, left = structure.reconstruct_models, [times]

    def reconstruct_badly(*arguments):
        models = reconstruct(*arguments)
        left[0] -= 1
        for camera in models[0].cameras.values() if left[0] >= 0 else ():
            camera.params = params
        return models

    monkeypatch.setattr(structure, "reconstruct_models", reconstruct_badly)


@pytest.mark.parametrize("params", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
@pytest.mark.parametrize("times", [1, 2])
def test_where_a_guess_leads_to_no_possible_camera_others_follow(monkeypatch, times, params):
    begin_badly(monkeypatch, times, params)
    images = [UnposedImage(f"{n}.png", Path(), GUESSED) for n in range(8)]
    posed, skipped = structure_from_motion(images, seen_points(images, POSES), QUIET, known_camera=False)
    assert len(posed) == 8 and not skipped
    assert posed[0].camera.focal_px == pytest.approx(PINHOLE.focal_px, rel=0.02)


@pytest.mark.parametrize("params", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_no_map_is_made_by_a_camera_that_cannot_be(monkeypatch, params):
    begin_badly(monkeypatch, 99, params)
    images = [UnposedImage(f"{n}.png", Path(), GUESSED) for n in range(8)]
    with pytest.raises(SourceError, match=r"no structure found from 8 images, .*calibration helps \(--camera\)"):
        structure_from_motion(images, seen_points(images, POSES), QUIET, known_camera=False)


def test_a_given_camera_is_taken_whatever_it_is():
    given = Camera("FULL_OPENCV", 640, 480, (525.0, 525.0, 319.5, 239.5, 5.0, 3.0, 0.0, 0.0, 1.0, 5.0, 3.0, 1.0))
    images = [UnposedImage(f"{n}.png", Path(), given) for n in range(8)]
    posed, _ = structure_from_motion(images, seen_points(images, POSES), QUIET, known_camera=True)
    assert [image.camera for image in posed] == 8 * [given]


def test_images_that_give_no_landmark_are_refused(monkeypatch):
    monkeypatch.setattr(
        structure, "triangulate_landmarks", lambda images, _: {i.name: Landmarks.empty() for i in images}
    )
    images = [UnposedImage(f"{n}.png", Path(), GUESSED) for n in range(8)]
    with pytest.raises(SourceError, match=r"no landmark could be triangulated from 8 of 8 images .*--camera"):
        structure_from_motion(images, seen_points(images, POSES), QUIET, known_camera=False)


def test_a_guessed_camera_is_shared_by_images_of_a_size(folder):
    images, unreadable = find_images(folder, None)
    assert {image.camera.focal_px for image in images} == {1.2 * 320} and len(images) == 8
    assert [skipped.name for skipped in unreadable] == ["text.jpg"]
    assert [image.name for image in find_images(folder, None, "view-*", 3)[0]] == [f"view-{n}.png" for n in (0, 3, 6)]
    with pytest.raises(SourceError, match=r"none of 9 images is usable; black\.png: image is 320 x 240 px, its camera"):
        find_images(folder, PINHOLE)


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".TIFF", ".bmp", ".webp"])
def test_images_of_any_kind_are_found(tmp_path, suffix):
    cv2.imwrite(str(tmp_path / f"a{suffix}"), np.zeros((240, 320), np.uint8))
    ((image,), skipped) = find_images(tmp_path, None)
    assert (image.name, skipped) == (f"a{suffix}", [])
    assert image.camera == Camera("SIMPLE_RADIAL", 320, 240, (1.2 * 320, 159.5, 119.5, 0.0))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SourceError, match="nowhere: no such folder"):
        find_images(tmp_path / "nowhere", None)


def test_images_without_structure_are_refused(folder, room, tmp_path):
    images = find_images(folder, room.camera)[0][:3]
    nothing = [replace(image, name=str(n), path=folder / "black.png") for n, image in enumerate(images)]
    with pytest.raises(SourceError, match="no structure found from 3 images, 0 pairs of which share matches"):
        structure_from_motion(nothing, extract_sift_keypoints(nothing, QUIET), QUIET, known_camera=True)
    with pytest.raises(SourceError, match="no images"):
        find_images(tmp_path, None)


def test_of_many_images_those_that_look_alike_or_follow_each_other_are_matched(folder, monkeypatch):
    images, _ = find_images(folder, None)
    keypoints = extract_sift_keypoints(images, QUIET)
    assert len(choose_pairs(images, keypoints)) == 8 * 7 / 2
    monkeypatch.setattr("deviloc_ros.sfm.structure.EXHAUSTIVE_UP_TO", 3)
    monkeypatch.setattr("deviloc_ros.sfm.structure.NEIGHBOURS_IN_ORDER", 1)
    monkeypatch.setattr("deviloc_ros.sfm.structure.LOOKALIKES_PER_VIEW", 2)
    pairs = choose_pairs(images, keypoints)
    assert ("view-2.png", "view-3.png") in pairs and len(set(pairs)) == len(pairs) < 8 * 7 / 2


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    return done.value.code


def build(folder, output, *more) -> int:
    few = ("--set", "matcher.max_keypoints=512", "--only", "view-*", "--camera", CAMERA)
    return run("build-map", "--images", folder, "--output", output, *few, *more)


@pytest.fixture(scope="module")
def unscaled(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("maps") / "unscaled.map"
    assert build(folder, path) == 0
    return path


def poses_of(folder) -> dict:
    return {record.name: record.cam_from_world for record in Map.open(folder).records}


def test_an_arbitrary_scale_is_said_until_the_map_is_aligned(unscaled, room, tmp_path, capsys):
    assert run("map", "info", unscaled) == 0
    out = capsys.readouterr().out
    assert "structure from motion, 7 of 7 images" in out and "arbitrary: lengths are not metres" in out
    positions, aligned = tmp_path / "positions.txt", tmp_path / "aligned.map"
    wanted = {name: 2.5 * pose.tgt_origin_in_src() + [1, 2, 3] for name, pose in poses_of(unscaled).items()}
    positions.write_text("\n".join(f"{name} {x} {y} {z}" for name, (x, y, z) in wanted.items()))
    assert run("map", "align", unscaled, "--positions", positions, "--output", aligned) == 0
    assert "as 7 known positions have it; scale 2.5000, off by 0.000 m" in capsys.readouterr().out
    assert run("map", "info", aligned) == 0
    out = capsys.readouterr().out
    assert "arbitrary" not in out and "metres, by `map align`" in out
    assert run("map", "check", aligned) == 0  # landmarks project where they were seen
    before, after = Map.open(unscaled).view(3), Map.open(aligned).view(3)
    np.testing.assert_allclose(after.lifted.points_in_world, 2.5 * before.lifted.points_in_world + [1, 2, 3], atol=1e-4)
    np.testing.assert_allclose(after.lifted.depths, 2.5 * before.lifted.depths, rtol=1e-5)


def test_a_known_distance_makes_metres(folder, tmp_path, capsys):
    names = "view-0.png", "view-6.png"
    assert build(folder, tmp_path / "a.map", "--known-distance", *names, 4.5) == 0
    assert "scale: metres, as view-0.png and view-6.png were 4.5 m apart" in capsys.readouterr().out
    poses = poses_of(tmp_path / "a.map")
    assert translation_distance_m(poses[names[0]], poses[names[1]]) == pytest.approx(4.5)


@pytest.mark.parametrize("metres", [0.02, 4.5, 300.0])
def test_a_known_distance_makes_metres_of_a_map_that_is_there_too(unscaled, tmp_path, capsys, metres):
    aligned, names = tmp_path / "a.map", ("view-0.png", "view-6.png")
    assert run("map", "align", unscaled, "--known-distance", *names, metres, "--output", aligned) == 0
    assert f"metres, as view-0.png and view-6.png were {metres:g} m apart" in capsys.readouterr().out
    before, after = poses_of(unscaled), poses_of(aligned)
    assert Map.open(aligned).manifest.provenance.is_metric
    assert translation_distance_m(*(after[name] for name in names)) == pytest.approx(metres)
    scale = metres / translation_distance_m(*(before[name] for name in names))
    for name, pose in before.items():
        np.testing.assert_allclose(after[name].translation, scale * pose.translation, rtol=1e-4, atol=1e-6 * scale)
        assert rotation_distance_deg(after[name], pose) < 1e-3


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("view-0.png", "veiw-6.png", 1), "'veiw-6.png' is not among the views of the map"),
        (("view-0.png", "view-6.png", 1, "--rigid"), "--rigid keeps the scale"),
        (("view-0.png", "view-6.png", 1, "--images", "."), "--images goes with --tags"),
    ],
)
def test_what_a_known_distance_cannot_do_is_said(unscaled, capsys, flags, why):
    assert run("map", "align", unscaled, "--known-distance", *flags) == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (("view-0.png", "view-0.png", 1), r"'view-0\.png' is named twice"),
        (("view-0.png", "view-6.png", "inf"), "METRES is 'inf'"),
        (("view-0.png", "view-6.png", "12cm"), "METRES is '12cm'"),
        (("view-0.png", "veiw-6.png", 1), r"'veiw-6\.png' is not among the images$"),
    ],
)
def test_a_distance_that_is_none_is_refused_before_any_work(folder, tmp_path, capsys, monkeypatch, known, why):
    monkeypatch.setattr("deviloc_ros.sfm.matches.find_keypoints", None)
    assert build(folder, tmp_path / "a.map", "--known-distance", *known) == 2
    assert re.search(why, capsys.readouterr().err.strip())


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("veiw-0.png 1 2 3\nveiw-1.png 2 1 3\nveiw-2.png 3 2 1", "none of the 7 views is named there"),
        ("view-0.png 1 2 3\nview-1.png 2 1 3\nveiw-2.png 3 2 1", "2 positions do not determine a rotation"),
    ],
)
def test_positions_of_other_images_are_refused_before_any_work(folder, tmp_path, capsys, monkeypatch, lines, why):
    monkeypatch.setattr("deviloc_ros.sfm.matches.find_keypoints", None)
    (tmp_path / "positions.txt").write_text(lines)
    assert build(folder, tmp_path / "a.map", "--positions", tmp_path / "positions.txt") == 2
    assert why in capsys.readouterr().err


def test_cameras_at_one_place_give_no_scale():
    points = np.random.default_rng(0).uniform([-2, -1.5, 2], [2, 1.5, 6], (20, 3))
    landmarks = Landmarks.without_stds(np.arange(20), np.zeros((20, 2)), points)
    images = [PosedImage(f"{n}.png", Path(), PINHOLE, pose, landmarks) for n, pose in enumerate((POSES[0], POSES[0]))]
    with pytest.raises(ValueError, match=r"'0\.png' and '1\.png' were taken from the same place"):
        find_metric_scale(images, {}, KnownDistance("0.png", "1.png", 1.0))


def test_an_estimated_camera_is_said_as_the_flag_takes_it(room, capsys):
    text = format_camera(room.camera)
    assert text == CAMERA and parse_camera(text) == room.camera


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, f"^{CAMERA}$"), (3, " and .* and "), (9, "^9 cameras, focal lengths from .* to .* px; the first is ")],
)
def test_many_estimated_cameras_are_said_in_one_line(room, count, said):
    cameras = [room.camera.scale_focal(1 + number / 100) for number in range(count)]
    assert re.search(said, describe_cameras(cameras))


def test_a_map_of_arbitrary_unit_gives_no_metres(unscaled, folder, room, capsys):
    run("localize", unscaled, folder / room.images[0].name)
    line = capsys.readouterr().out
    assert "arbitrary unit" in line and " m," not in line and " cm" not in line


def test_flags_that_do_not_fit_are_named(unscaled, folder, tmp_path, capsys):
    for arguments, word in (
        (("build-map", "--output", tmp_path / "a.map"), "one of --colmap"),
        (("update-map", unscaled, "--same-unit", "--images", folder), "give one of --colmap"),
        (("build-map", "--kitti", folder, "--positions", folder, "--output", tmp_path / "a.map"), "map align"),
        (("map", "align", unscaled, "--poses", tmp_path / "a.tum"), "no such file"),
    ):
        assert run(*arguments) == 2
        assert word in capsys.readouterr().err
    assert build(folder, unscaled) == 2
    assert "is there; --overwrite replaces it" in capsys.readouterr().err
    assert build(folder, tmp_path / "a.map", "--only", "rover-*") == 2
    assert "named like 'rover-*'" in capsys.readouterr().err


def test_matches_that_stay_at_one_pixel_can_be_left_out():
    """As of a part of the robot, of which no motion of the camera is to be learnt."""
    a, b = view_of_both(0), view_of_both(1)
    world, robot = np.arange(len(a[1]) - 50), np.arange(len(a[1]) - 50, len(a[1]))
    rows = np.repeat(np.concatenate([world, robot])[:, None], 2, axis=1)
    kept = keep_verified_moving(a, b, rows, known_focal=True)[:, 0]
    assert len(kept) > 0.9 * len(world) and not set(kept) & set(robot.tolist())


def view_of_both(number: int) -> tuple[UnposedImage, np.ndarray]:
    """An image and the (N, 2) px of 100 points of the world and of 50 that move with the camera."""
    rng = np.random.default_rng(0)
    points = rng.uniform([-2, -1.5, 3], [2, 1.5, 6], (100, 3))
    pose = rigid_of((0, 0.1 * number, 0), (0.5 * number, 0, 0))
    pixels = SMALL.project(transform_points(pose, points))
    robot = rng.uniform([0, 160], [320, 240], (50, 2))
    return UnposedImage(str(number), Path(str(number)), SMALL), np.concatenate([pixels, robot])
