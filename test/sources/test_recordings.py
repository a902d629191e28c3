"""Keyframes and poses from a recording: the sharpest image of each stretch, posed by what the robot knew."""

from dataclasses import replace

import cv2
import numpy as np
import pycolmap
import pytest
from worlds import random_rigid

from deviloc_ros.bags.bag_index import RobotSetup
from deviloc_ros.bags.bag_plan import Part, ReadingPlan, TruthSource
from deviloc_ros.bags.writer import BagWriter
from deviloc_ros.cli import main
from deviloc_ros.geometry import translation_distance_m
from deviloc_ros.maps.store import Map
from deviloc_ros.sources import recordings
from deviloc_ros.sources.base import SourceError
from deviloc_ros.sources.colmap import build_reconstruction
from deviloc_ros.sources.keyframes import PosedFrame, Spacing, measure_sharpness, select_keyframes
from deviloc_ros.sources.recordings import read_bag
from deviloc_ros.sources.time_offset import Agreement

PERIOD_NS = 100_000_000
BASE_FROM_CAM = random_rigid(np.random.default_rng(5))
EVERY_IMAGE = Spacing(0.0, 0.0)


def at(x_m: float) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([-x_m, 0, 0]))


def turned(deg: float) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0, np.deg2rad(deg), 0])), np.zeros(3))


@pytest.fixture(scope="module")
def pictures():
    """Of one scene: sharp, and blurred more and more."""
    sharp = np.random.default_rng(0).integers(0, 255, (60, 80), np.uint8)
    return [sharp, *(cv2.GaussianBlur(sharp, (0, 0), sigma) for sigma in (0.6, 1.2, 2.4))]


def chosen(poses, pixels) -> list[int]:
    frames = (PosedFrame(n, pose, image) for n, (pose, image) in enumerate(zip(poses, pixels, strict=True)))
    return [frame.time_ns for frame in select_keyframes(frames, Spacing(0.25, 10))]


def test_blur_is_less_sharp_at_any_exposure(pictures):
    sharpness = [measure_sharpness(picture) for picture in pictures]
    assert sharpness == sorted(sharpness, reverse=True)
    assert measure_sharpness(pictures[0] // 2) > sharpness[1]
    assert measure_sharpness(np.zeros((60, 80), np.uint8)) == 0


def test_a_stretch_gives_its_sharpest_frame(pictures):
    sharp, soft, *_ = pictures
    assert chosen([at(x) for x in (0, 0.1, 0.2, 0.3, 0.4, 0.6)], [soft, sharp, soft, soft, sharp, soft]) == [1, 4, 5]


def test_a_robot_that_stands_still_gives_one_view_and_one_that_turns_several(pictures):
    assert chosen([at(0)] * 20, [pictures[1]] * 20) == [0]
    assert chosen([turned(deg) for deg in range(0, 40, 4)], [pictures[0]] * 10) == [0, 3, 6, 9]
    assert chosen([], []) == []


@pytest.fixture(scope="module")
def bag(room, tmp_path_factory):
    """A camera on a robot at the places of the room's views; one image came before the first pose."""
    path = tmp_path_factory.mktemp("drive") / "bag"
    with BagWriter(path) as writer:
        writer.write_transform(1, "base_link", "camera", BASE_FROM_CAM, static=True)
        writer.write_camera_info("/camera/info", 1, "camera", room.camera)
        writer.write_image("/camera/image", 1, "camera", room.queries[0])
        for number, image in enumerate(room.images):
            time_ns = (number + 10) * PERIOD_NS
            map_from_base = image.cam_from_world.inverse() * BASE_FROM_CAM.inverse()
            writer.write_odometry("/odom", time_ns, "odom", "base_link", map_from_base)
            writer.write_transform(time_ns, "map", "base_link", map_from_base)
            writer.write_image("/camera/image", time_ns, "camera", cv2.imread(str(image.path)))
    return path


@pytest.mark.parametrize("poses", [TruthSource(topic="/odom"), TruthSource(transform=("map", "base_link"))])
def test_images_get_the_pose_of_the_camera_at_their_stamp(bag, room, tmp_path, poses):
    source = read_bag(bag, ReadingPlan(truth=poses), EVERY_IMAGE, tmp_path, quiet=True)
    for image, true in zip(source.images, room.images, strict=True):
        np.testing.assert_allclose(image.cam_from_world.matrix(), true.cam_from_world.matrix(), atol=1e-9)
        np.testing.assert_array_equal(cv2.imread(str(image.path)), cv2.imread(str(true.path)))
        assert image.camera.params == pytest.approx(room.camera.params)
    assert [skipped.why for skipped in source.skipped] == ["no pose around its time"]


def test_poses_are_those_of_the_stamps_and_an_offset(bag, room, tmp_path):
    reading = ReadingPlan(truth=TruthSource(topic="/odom"))
    source = read_bag(bag, reading, EVERY_IMAGE, tmp_path, time_offset_s=0.1, quiet=True)
    for image, true in zip(source.images, room.images[1:], strict=False):
        np.testing.assert_allclose(image.cam_from_world.matrix(), true.cam_from_world.matrix(), atol=1e-9)
    assert "cannot tell time offset" in source.notes["timing"]  # of so few images


@pytest.mark.parametrize("at_s", [1.15, 1.3])
def test_half_of_a_drive_makes_a_map_and_the_other_is_left(bag, room, tmp_path, at_s):
    reading = ReadingPlan(truth=TruthSource(topic="/odom"))
    parts = [replace(reading, part=part) for part in (Part(end_s=at_s), Part(start_s=at_s))]
    names = [[i.name for i in read_bag(bag, part, EVERY_IMAGE, tmp_path, quiet=True).images] for part in parts]
    every = [image.name for image in read_bag(bag, reading, EVERY_IMAGE, tmp_path, quiet=True).images]
    assert names[0] and names[1] and names[0] + names[1] == every
    with pytest.raises(SourceError, match=r"/camera/image: no image from 60 s; the recording lasts 1\.6 s"):
        read_bag(bag, replace(reading, part=Part(60.0)), EVERY_IMAGE, tmp_path, quiet=True)


@pytest.mark.parametrize("offset_s", [0.0, 0.2])
@pytest.mark.parametrize("lens", ["", "the images are named like rectified ones"])
def test_every_note_that_is_logged_as_a_warning_is_known_as_one(bag, tmp_path, monkeypatch, caplog, offset_s, lens):
    monkeypatch.setattr(recordings, "measure_agreement", lambda *_: Agreement(offset_s, 0.95, 0.5))
    monkeypatch.setattr(recordings, "describe_lens", lambda *_: lens)
    reading = ReadingPlan(truth=TruthSource(topic="/odom"))
    source = read_bag(bag, reading, EVERY_IMAGE, tmp_path, quiet=True)
    logged = {subject for subject, note in source.notes.items() if note in caplog.text}
    assert source.warned == logged == {*["timing"] * (offset_s > 0), *["lens"] * bool(lens)}


def test_a_map_is_built_from_a_recording_in_one_command(bag, room, tmp_path, capsys):
    arguments = ["build-map", "--bag", bag, "--pose-topic", "/odom", "--output", tmp_path / "a.map"]
    arguments += ["--keyframe-m", 0.01, "--keyframes", tmp_path / "keyframes", "--set", "matcher.max_keypoints=512"]
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    assert done.value.code == 0
    assert "7 views" in capsys.readouterr().out and len(list((tmp_path / "keyframes").iterdir())) == 7
    records = Map.open(tmp_path / "a.map").records
    np.testing.assert_allclose(records[3].cam_from_world.matrix(), room.images[3].cam_from_world.matrix(), atol=1e-9)


@pytest.mark.parametrize(
    ("reading", "why"),
    [
        (ReadingPlan(), "where are the robot's poses.*--odom-topic, --pose-topic"),
        (ReadingPlan(truth=TruthSource(topic="/amcl_pose")), "no topic /amcl_pose"),
        (
            ReadingPlan(truth=TruthSource(transform=("map", "rover"))),
            "the robot's poses, from transform map <- rover: ",
        ),
        (
            ReadingPlan(truth=TruthSource(topic="/odom"), robot=RobotSetup(base_frame="rover")),
            "are of frame .base_link., expected.*.rover.",
        ),
    ],
)
def test_what_is_missing_is_said(bag, tmp_path, reading, why):
    with pytest.raises(ValueError, match=why):
        read_bag(bag, reading, EVERY_IMAGE, tmp_path, quiet=True)


def test_keyframes_that_cannot_be_written_are_named(bag, tmp_path):
    reading = ReadingPlan(truth=TruthSource(topic="/odom"))
    taken = tmp_path / f"{10 * PERIOD_NS}.png"  # the first keyframe's place
    taken.mkdir()
    with pytest.raises(SourceError, match=rf"{taken.name}: cannot be written"):
        read_bag(bag, reading, EVERY_IMAGE, tmp_path, quiet=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="file: keyframes cannot be written there"):
        read_bag(bag, reading, EVERY_IMAGE, tmp_path / "file", quiet=True)


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    return done.value.code


def test_odometry_is_refined_unless_one_says_no(room, tmp_path, capsys):
    """The way of docs/research/maps.md: a drive with drift, its map, and the map moved onto the truth."""
    model, drive, truth = tmp_path / "model", tmp_path / "drive", tmp_path / "truth.tum"
    model.mkdir()
    build_reconstruction(room.images).write_text(str(model))
    source = ("--colmap", model, "--images", room.folder)
    assert run("simulate-bag", *source, "--output", drive, "--truth", truth, "--drift", 0.05) == 0
    for name, more in (("refined", ()), ("given", ("--no-refine-poses",))):
        options = ("--keyframe-m", 0, "--set", "matcher.max_keypoints=512", *more)
        assert run("build-map", "--bag", drive, "--odom-topic", "/odom", "--output", tmp_path / name, *options) == 0
        assert ("poses: 7 of 7 refined over" in capsys.readouterr().out) == (name == "refined")
    assert "7 of 7 refined" in Map.open(tmp_path / "refined").manifest.provenance.notes["poses"]
    assert run("map", "align", tmp_path / "refined", "--poses", truth, "--rigid") == 0
    refined, given = (
        [
            translation_distance_m(record.cam_from_world, image.cam_from_world)
            for record, image in zip(records, room.images, strict=True)
        ]
        for records in (Map.open(tmp_path / "refined").records, Map.open(tmp_path / "given").records)
    )
    assert given[0] < 1e-6 and max(refined) < 0.5 * max(given)
