"""Layouts of other programs: each written as it says it writes, read back as the same images, cameras and poses."""

import argparse
import json

import cv2
import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import random_rigid

from deviloc_ros.bags.truth import read_truth_file
from deviloc_ros.camera import Camera
from deviloc_ros.cli import main
from deviloc_ros.commands.flags.sources import add_source, open_posed_images
from deviloc_ros.sources.base import SourceError
from deviloc_ros.sources.depth_images import read_depth
from deviloc_ros.sources.kapture import read_kapture
from deviloc_ros.sources.nerfstudio import read_transforms
from deviloc_ros.sources.tum_rgbd import read_tum_sequence

POSES = [random_rigid(np.random.default_rng(seed)) for seed in range(3)]  # cam_from_world
POINT_IN_CAM = np.array([0.3, -0.2, 2.0])
LENS = {"fl_x": 500.0, "fl_y": 510.0, "cx": 320.5, "cy": 240.5, "w": 640, "h": 480}


def assert_poses(images) -> None:
    for image, pose in zip(images, POSES, strict=True):
        np.testing.assert_allclose(image.cam_from_world.matrix(), pose.matrix(), atol=1e-6)


def opengl_matrix(cam_from_world) -> list[list[float]]:
    """world_from_cam with the camera's axes as OpenGL has them: right, up, backwards."""
    world_from_cam = np.vstack([cam_from_world.inverse().matrix(), [0, 0, 0, 1]])
    right, down, forwards, centre = world_from_cam.T
    return np.stack([right, -down, -forwards, centre], 1).tolist()


def write_transforms(folder, **fields):
    frames = [
        {"file_path": f"images/{number}.png", "transform_matrix": opengl_matrix(pose)}
        for number, pose in enumerate(POSES)
    ]
    (folder / "transforms.json").write_text(json.dumps({"frames": frames} | fields))
    (folder / "images").mkdir(exist_ok=True)
    for number in range(len(POSES)):
        cv2.imwrite(str(folder / f"images/{number}.png"), np.zeros((2, 2), np.uint8))
    return folder


def rewrite_frames(folder, change):
    """Change the frames of a transforms.json, each by its number."""
    content = json.loads((folder / "transforms.json").read_text())
    for number, frame in enumerate(content["frames"]):
        change(number, frame)
    (folder / "transforms.json").write_text(json.dumps(content))


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".jpeg", ".png", ".webp"])
@pytest.mark.parametrize("named", ["images/{}", "images\\{}", "images\\{}.png", "./images/{}.png", "images/{}.color"])
def test_images_are_found_whatever_slashes_and_endings_their_names_have(tmp_path, named, suffix):
    write_transforms(tmp_path, **LENS)
    rewrite_frames(tmp_path, lambda number, frame: frame.update(file_path=named.format(number)))
    for path in list((tmp_path / "images").iterdir()):
        path.rename(path.with_name(path.stem + ".color" * named.endswith("color") + suffix))
    source = read_transforms(tmp_path)
    assert not source.skipped and all(image.path.is_file() for image in source.images)
    assert_poses(source.images)
    assert "\\" not in "".join(image.name for image in source.images)


def test_an_image_that_is_not_there_is_named_with_the_nearest(tmp_path):
    write_transforms(tmp_path, **LENS)
    rewrite_frames(tmp_path, lambda number, frame: frame.update(file_path=f"images/frame_{number}.png"))
    (tmp_path / "images/frame_00.png").touch()
    source = read_transforms(tmp_path)
    assert source.skipped[0].why.endswith("images/frame_0.png: no such image; did you mean 'frame_00.png'?")
    rewrite_frames(tmp_path, lambda number, frame: frame.update(file_path=f"rgb/{number}.png"))
    assert f"nor a folder {tmp_path / 'rgb'}" in read_transforms(tmp_path).skipped[0].why


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("whole", [True, False])
def test_scaled_images_have_a_scaled_camera(tmp_path, scale, whole):
    """`images_4` beside `images`, named by the frames; or alone, where frames name `images`."""
    write_transforms(tmp_path, **LENS, k1=0.1)
    if whole:
        folder = f"images_{scale}"
        rewrite_frames(tmp_path, lambda number, frame: frame.update(file_path=f"{folder}/{number}.png"))
        (tmp_path / "images").rename(tmp_path / "originals")
    else:
        (tmp_path / "images").rename(tmp_path / "originals")
    (tmp_path / f"images_{scale}").mkdir()
    for number in range(3):
        pixels = np.zeros((480 // scale, 640 // scale), np.uint8)
        cv2.imwrite(str(tmp_path / f"images_{scale}/{number}.png"), pixels)
    source = read_transforms(tmp_path)
    camera = source.images[0].camera
    assert (camera.width, camera.height) == (640 // scale, 480 // scale)
    # One direction is seen at one place of the picture: outer borders stay outer borders.
    direction = np.array([[0.1, 0.2, 1.0]])
    full = Camera("OPENCV", 640, 480, (500, 510, 320, 240, 0.1, 0, 0, 0)).project(direction)
    np.testing.assert_allclose((camera.project(direction) + 0.5) * scale, full + 0.5, atol=1e-9)


@pytest.mark.parametrize("axes", ["opengl", "opencv"])
def test_axes_of_the_cameras_can_be_given(tmp_path, axes):
    write_transforms(tmp_path, **LENS)
    if axes == "opencv":
        matrices = [np.vstack([pose.inverse().matrix(), [0, 0, 0, 1]]).tolist() for pose in POSES]
        rewrite_frames(tmp_path, lambda number, frame: frame.update(transform_matrix=matrices[number]))
    assert_poses(read_transforms(tmp_path, axes).images)


@pytest.mark.parametrize("axes", ["OpenCV", "opengl ", "", "blender"])
def test_axes_that_are_not_known_are_named_before_anything_is_read(tmp_path, axes):
    with pytest.raises(ValueError, match=f"axes = {axes!r} is not one of opengl, opencv"):
        read_transforms(tmp_path / "nowhere", axes)


@pytest.mark.parametrize(
    ("fields", "unused"),
    [
        ({"camera_model": "OPENCV", "k1": 0.1, "k4": 0.2}, "k4 = 0.2: camera_model OPENCV"),
        ({"camera_model": "PINHOLE", "k1": 0.1}, "k1 = 0.1"),
        ({"camera_model": "SIMPLE_RADIAL", "k1": 0.1, "k2": 0.2, "p1": 0.3}, "k2 = 0.2, p1 = 0.3"),
        ({"camera_model": "OPENCV_FISHEYE", "p1": 0.1}, "p1 = 0.1"),
        ({"is_fisheye": True, "p2": 0.1}, "p2 = 0.1"),
    ],
)
def test_a_distortion_that_is_not_used_is_refused_by_name(tmp_path, fields, unused):
    source = read_transforms(write_transforms(tmp_path, **LENS, **fields))
    assert not source.images and unused in source.skipped[0].why


def test_nerfstudio_cameras_look_along_our_z(tmp_path):
    source = read_transforms(write_transforms(tmp_path, camera_model="OPENCV", **LENS))
    assert_poses(source.images)
    assert source.images[0].path == tmp_path / "images/0.png"
    assert source.images[0].camera == Camera("PINHOLE", 640, 480, (500, 510, 320, 240))  # its pixels are COLMAP's


def test_an_opengl_point_in_front_projects_in_front(tmp_path):
    """The point, given in OpenGL's axes, goes through the matrix of the file; ours must see it at the same pixel."""
    matrix = np.array(opengl_matrix(POSES[0]))
    point = matrix[:3, :3] @ (POINT_IN_CAM * [1, -1, -1]) + matrix[:3, 3]
    image = read_transforms(write_transforms(tmp_path, **LENS)).images[0]
    in_cam = image.cam_from_world * point
    np.testing.assert_allclose(image.camera.project(in_cam), [[320 + 500 * 0.15, 240 - 510 * 0.1]], atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "model", "extra"),
    [
        ({"k1": 0.1, "p2": 0.02}, "OPENCV", (0.1, 0, 0, 0.02)),
        ({"k1": 0.1, "k3": 0.3}, "FULL_OPENCV", (0.1, 0, 0, 0, 0.3, 0, 0, 0)),
        ({"camera_model": "OPENCV_FISHEYE", "k1": 0.1, "k4": 0.4}, "OPENCV_FISHEYE", (0.1, 0, 0, 0.4)),
        ({"is_fisheye": True, "k1": 0.1}, "OPENCV_FISHEYE", (0.1, 0, 0, 0)),
        ({"camera_model": "PINHOLE"}, "PINHOLE", ()),
        ({"camera_model": "SIMPLE_RADIAL", "k1": 0.1}, "OPENCV", (0.1, 0, 0, 0)),
        ({"camera_model": "RADIAL", "k1": 0.1, "k2": 0.2}, "OPENCV", (0.1, 0.2, 0, 0)),
        ({"camera_model": "FULL_OPENCV", "k1": 0.1, "k6": 0.6}, "FULL_OPENCV", (0.1, 0, 0, 0, 0, 0, 0, 0.6)),
        ({"camera_model": "RADIAL_FISHEYE", "k1": 0.1, "k2": 0.2}, "OPENCV_FISHEYE", (0.1, 0.2, 0, 0)),
        ({"k1": 0.1, "k4": 0, "p1": None}, "OPENCV", (0.1, 0, 0, 0)),
    ],
)
def test_nerfstudio_distortion_keeps_its_order(tmp_path, fields, model, extra):
    camera = read_transforms(write_transforms(tmp_path, **LENS, **fields)).images[0].camera
    assert (camera.model, camera.params) == (model, (500, 510, 320, 240, *extra))


def test_instant_ngp_gives_an_angle_and_leaves_out_endings(tmp_path):
    write_transforms(tmp_path, camera_angle_x=2 * np.arctan(0.5))
    content = json.loads((tmp_path / "transforms.json").read_text())
    content["frames"] = content["frames"][:1]
    content["frames"][0]["file_path"] = "images/0"
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    cv2.imwrite(str(tmp_path / "images/0.png"), np.zeros((100, 200), np.uint8))
    (image,) = read_transforms(tmp_path / "transforms.json").images
    assert image.path == tmp_path / "images/0.png"
    assert image.camera.params == pytest.approx((200, 200, 99.5, 49.5))


def test_nerfstudio_frames_that_cannot_be_used_are_listed(tmp_path):
    write_transforms(tmp_path, **LENS)
    content = json.loads((tmp_path / "transforms.json").read_text())
    first, second, third = content["frames"]
    first["transform_matrix"] = np.diag([2.0, 2, 2, 1]).tolist()
    del second["transform_matrix"]
    third["camera_model"] = "EQUIRECTANGULAR"
    (tmp_path / "transforms.json").write_text(json.dumps(content | {"frames": [first, second, third, 7]}))
    source = read_transforms(tmp_path)
    whys = " ".join(skipped.why for skipped in source.skipped)
    assert not source.images and len(source.skipped) == 4
    assert all(word in whys for word in ("not a rotation", "'transform_matrix' is missing", "EQUIRECTANGULAR"))


@pytest.mark.parametrize(("text", "why"), [(None, "not found"), ("{", "not JSON"), ("[]", "'frames' is missing")])
def test_a_bad_transforms_file_is_named(tmp_path, text, why):
    if text is not None:
        (tmp_path / "transforms.json").write_text(text)
    with pytest.raises(SourceError, match=rf"transforms\.json: .*{why}"):
        read_transforms(tmp_path)


@pytest.fixture
def tum(tmp_path):
    """Images between the first and the last pose, at the times of the poses and one after them."""
    folder = tmp_path / "rgbd_dataset_freiburg1_desk"
    folder.mkdir()
    lines = ["# ground truth trajectory", "# timestamp tx ty tz qx qy qz qw"]
    for number, pose in enumerate(POSES):
        inverse = pose.inverse()
        numbers = [*inverse.translation, *inverse.rotation.quat]
        lines.append(f"{1305031102.1 + 0.1 * number:.4f} " + " ".join(f"{value:.9f}" for value in numbers))
    (folder / "groundtruth.txt").write_text("\n".join(lines))
    names = [f"{1305031102.1 + 0.1 * number:.6f} rgb/{number}.png" for number in range(4)]
    (folder / "rgb.txt").write_text("# color images\n" + "\n".join(names))
    return folder


def read_tum(folder, **options):
    return read_tum_sequence(folder, read_truth_file(folder / "groundtruth.txt").at, **options)


def test_tum_images_get_the_pose_of_their_time(tum):
    source = read_tum(tum)
    assert_poses(source.images)
    assert source.images[0].path == tum / "rgb/0.png"
    camera = source.images[0].camera
    assert (camera.model, camera.params[:2], camera.params[8]) == ("FULL_OPENCV", (517.3, 516.5), 1.1633)
    assert [(s.name, s.why) for s in source.skipped] == [("rgb/3.png", "no pose in groundtruth.txt around its time")]


def test_a_tum_folder_of_ones_own_needs_a_camera(tum):
    own = tum.rename(tum.with_name("our_lab"))
    with pytest.raises(SourceError, match=r"our_lab: not named like a sequence of the data set.*give --camera"):
        read_tum(own)
    camera = Camera("PINHOLE", 640, 480, (525, 525, 319.5, 239.5))
    assert read_tum(own, camera=camera).images[0].camera == camera
    (own / "rgb.txt").write_text("noon rgb/0.png\n")
    with pytest.raises(SourceError, match=r"rgb\.txt:1: expected a time and a file"):
        read_tum(own, camera=camera)


@pytest.fixture
def kapture(tmp_path):
    sensors = tmp_path / "sensors"
    sensors.mkdir()
    (sensors / "sensors.txt").write_text(
        "# kapture format: 1.1\ncam, front, camera, PINHOLE, 640, 480, 500, 510, 320.5, 240.5\nimu, , gyroscope\n"
    )
    lines = ["# timestamp, device_id, qw, qx, qy, qz, tx, ty, tz"]
    for number, pose in enumerate(POSES):
        x, y, z, w = pose.rotation.quat
        lines.append(", ".join(str(value) for value in (number, "cam", w, x, y, z, *pose.translation)))
    (sensors / "trajectories.txt").write_text("\n".join(lines))
    (sensors / "records_camera.txt").write_text("\n".join(f"{number}, cam, {number}.jpg" for number in range(4)))
    return tmp_path


def test_kapture_poses_are_those_of_the_sensor(kapture):
    source = read_kapture(kapture)
    assert_poses(source.images)
    assert source.images[0].path == kapture / "sensors/records_data/0.jpg"
    assert source.images[0].camera == Camera("PINHOLE", 640, 480, (500, 510, 320, 240))
    assert [(s.name, s.why) for s in source.skipped] == [("3.jpg", "sensor 'cam': no pose at time 3")]


@pytest.mark.parametrize(
    ("pose", "why"),
    [
        (", , , , 1, 2, 3", "its pose in trajectories.txt is partial"),
        ("nan, 0, 0, 0, 1, 2, 3", "not valid"),
        ("1, 0, 0, 0, nan, 2, 3", "not valid"),
        ("0, 0, 0, 0, 1, 2, 3", "not valid"),
    ],
)
def test_a_kapture_image_without_a_whole_pose_is_skipped(kapture, pose, why):
    path = kapture / "sensors/trajectories.txt"
    comment, _, *others = path.read_text().splitlines()
    path.write_text("\n".join([comment, f"0, cam, {pose}", *others]))
    source = read_kapture(kapture)
    assert [image.name for image in source.images] == ["1.jpg", "2.jpg"]
    assert source.skipped[0].name == "0.jpg" and why in source.skipped[0].why


def line_of(pose: pycolmap.Rigid3d, *devices: object) -> str:
    x, y, z, w = pose.rotation.quat
    return ", ".join(str(value) for value in (*devices, w, x, y, z, *pose.translation))


@given(
    mounts=st.lists(st.tuples(*[st.floats(-3, 3)] * 6), min_size=1, max_size=3),
    own=st.sets(st.integers(0, 2)),
)
def test_kapture_cameras_on_a_rig_have_its_pose(tmp_path_factory, mounts, own):
    """On a rig, or on one that is on another; where a camera has a pose of its own, that counts."""
    sensors = tmp_path_factory.mktemp("kapture") / "sensors"
    sensors.mkdir()
    chain = [pycolmap.Rigid3d(pycolmap.Rotation3d(np.array(m[:3])), np.array(m[3:])) for m in mounts]
    above = ["cam", *(f"rig-{number}" for number in range(len(chain)))]
    rigs = [line_of(pose, above[number + 1], above[number]) for number, pose in enumerate(chain)]
    (sensors / "rigs.txt").write_text("\n".join([*rigs, line_of(chain[0], "cam", above[-1]), "other, imu" + ", 1" * 7]))
    (sensors / "sensors.txt").write_text("cam, front, camera, PINHOLE, 640, 480, 500, 510, 320.5, 240.5\n")
    (sensors / "records_camera.txt").write_text("\n".join(f"{number}, cam, {number}.jpg" for number in range(4)))
    device_from_cam = pycolmap.Rigid3d()
    for pose in chain:
        device_from_cam = pose.inverse() * device_from_cam
    lines = [line_of(device_from_cam * pose, number, above[-1]) for number, pose in enumerate(POSES)]
    lines += [line_of(POSES[number], number, "cam") for number in own]
    (sensors / "trajectories.txt").write_text("\n".join(lines))
    source = read_kapture(sensors.parent)
    assert_poses(source.images)
    assert [s.why for s in source.skipped] == ["sensor 'cam': no pose at time 3"]


@pytest.mark.parametrize(("levels", "wide"), [(5000, 1), (60, 2), (12, 8)])
@pytest.mark.parametrize("is_known", [True, False])
def test_rigs_on_rigs_are_looked_at_once_each(kapture, levels, wide, is_known):
    """However many ways lead from a camera to the rig at the top, and however long they are."""
    step = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0.0, 0, 1]))
    below, lines = ["cam"], []
    for level in range(levels):
        above = [f"{level}-{number}" for number in range(wide)]
        lines += [line_of(step, rig, device) for rig in above for device in below]
        below = above
    (kapture / "sensors/rigs.txt").write_text("\n".join(lines))
    pose = line_of(POSES[0], "0", below[-1] if is_known else "elsewhere")
    (kapture / "sensors/trajectories.txt").write_text(pose)
    source = read_kapture(kapture)
    assert len(source.images) == is_known
    for image in source.images:
        moved = image.cam_from_world.translation - POSES[0].translation
        np.testing.assert_allclose(moved, [0, 0, levels], atol=1e-6)


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("trajectories.txt", "0, cam, 1, 0, 0\n", "expected 9 fields or more, got 5"),
        ("sensors.txt", "cam, , camera, MAGIC, 1, 1\n", "camera model 'MAGIC' is unknown"),
        ("rigs.txt", "rig, cam, 1, 0, 0\n", "expected 9 fields or more, got 5"),
        ("sensors.txt", f"a, b, camera, PINHOLE, {'9' * 25}, 480, 500, 510, 320, 240\n", "sensor 'a'"),
    ],
)
def test_a_bad_kapture_file_is_named(kapture, file, text, why):
    (kapture / "sensors" / file).write_text(text)
    with pytest.raises(SourceError, match=f"{file}.*{why}"):
        read_kapture(kapture)


def test_each_layout_has_its_flag(tum, kapture, tmp_path):
    parser = argparse.ArgumentParser()
    add_source(parser)
    write_transforms(tmp_path, **LENS)
    for flag, folder in {"--tum": tum, "--kapture": kapture, "--nerfstudio": tmp_path}.items():
        with open_posed_images(parser.parse_args([flag, str(folder)])) as source:
            assert_poses(source.images)
        with open_posed_images(parser.parse_args([flag, str(folder), "--every", "2"])) as source:
            assert len(source.images) == 2


def write_depth(path, units_per_m: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((480, 640), 2 * units_per_m, np.uint16))


def depth_of_layout(*arguments):
    parser = argparse.ArgumentParser()
    add_source(parser)
    with open_posed_images(parser.parse_args([str(argument) for argument in arguments])) as source:
        return [image.depth for image in source.images]


def test_tum_depth_is_that_nearest_in_time(tum):
    lines = ["1305031102.115 depth/a.png", "1305031102.095 depth/b.png", "1305031102.29 depth/c.png"]
    (tum / "depth.txt").write_text("# depth maps\n" + "\n".join(lines))
    write_depth(tum / "depth/b.png", 5000)
    first, second, third = depth_of_layout("--tum", tum, "--depth")
    assert (first.path.name, second, third.path.name) == ("b.png", None, "c.png")
    assert (read_depth(first) == 2).all() and first.color_from_depth is None
    assert depth_of_layout("--tum", tum) == [None] * 3


def test_seven_scenes_depth_is_of_a_camera_of_its_own(tmp_path):
    (tmp_path / "seq-01").mkdir()
    frame = tmp_path / "seq-01/frame-000000"
    np.savetxt(frame.with_suffix(".pose.txt"), np.eye(4))
    frame.with_suffix(".color.png").write_bytes(b"")
    write_depth(frame.with_suffix(".depth.png"), 1000)
    scene = ["--sevenscenes", tmp_path, "--sequences", "seq-01", "--depth"]
    (depth,) = depth_of_layout(*scene)
    assert depth.camera.focal_px == 585 and (read_depth(depth) == 2).all()
    assert depth.color_from_depth.translation[0] == -0.025
    (depth,) = depth_of_layout(
        *scene, "--depth-camera", "PINHOLE,640,480,1,1,0,0", "--depth-to-color", "1 0 0 0 0 0 1", "--depth-scale", 2000
    )
    assert depth.camera.focal_px == 1 and (read_depth(depth) == 1).all() and depth.color_from_depth.translation[0] == 1


def test_depth_in_a_folder_is_named_as_the_images(kapture, tmp_path):
    folder = tmp_path / "registered"
    folder.mkdir()
    depths = depth_of_layout("--kapture", kapture, f"--depth={folder}")
    assert [depth.path for depth in depths] == [folder / f"{number}.png" for number in range(3)]
    assert depths[0].camera == Camera("PINHOLE", 640, 480, (500, 510, 320, 240))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--depth"], "--depth: say in which folder"),
        (["--depth", "/nowhere"], "--depth /nowhere: no such folder"),
        (["--depth", "/", "--depth-camera", "PINHOLE,1"], "--depth-camera 'PINHOLE,1'"),
        (["--depth-topic", "/depth"], "--depth-topic goes with --bag, not with --kapture"),
        (["--depth-scale", "5000"], "do nothing without --depth"),
        (["--depth", "/", "--depth-to-color", "1 2"], "--depth-to-color: '1 2' is not seven numbers"),
    ],
)
def test_a_bad_flag_of_depth_is_named(kapture, arguments, why):
    with pytest.raises(ValueError, match=why):
        depth_of_layout("--kapture", kapture, *arguments)


def test_depth_of_images_alone_is_refused(tmp_path):
    with pytest.raises(SystemExit) as done:
        main(["build-map", "--images", str(tmp_path), "--depth", str(tmp_path), "--output", str(tmp_path / "a.map")])
    assert done.value.code == 2
