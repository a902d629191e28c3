"""Calibrations as files: ROS's two forms, Kalibr's, EuRoC's; each says the same camera as its numbers on the flag."""

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deviloc_ros.camera import Camera
from deviloc_ros.commands.flags.common import parse_camera, parse_mount

PINHOLE = (525.0, 526.0, 319.5, 239.5)
RADTAN = (-0.28, 0.07, 0.0002, 1.8e-05)
MATRIX = [525.0, 0.0, 319.5, 0.0, 526.0, 239.5, 0.0, 0.0, 1.0]
OPENCV = Camera("OPENCV", 640, 480, (*PINHOLE, *RADTAN))

OF_ROS = {
    "image_width": 640,
    "image_height": 480,
    "camera_name": "front",
    "camera_matrix": {"rows": 3, "cols": 3, "data": MATRIX},
    "distortion_model": "plumb_bob",
    "distortion_coefficients": {"rows": 1, "cols": 5, "data": [*RADTAN, 0.0]},
    "rectification_matrix": {"rows": 3, "cols": 3, "data": [1, 0, 0, 0, 1, 0, 0, 0, 1]},
    "projection_matrix": {"rows": 3, "cols": 4, "data": [500, 0, 320, 0, 0, 500, 240, 0, 0, 0, 1, 0]},
}
ECHOED = {
    "header": {"stamp": {"sec": 1, "nanosec": 2}, "frame_id": "camera_optical"},
    "height": 480,
    "width": 640,
    "distortion_model": "plumb_bob",
    "d": [*RADTAN, 0.0],
    "k": MATRIX,
    "r": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
    "p": [500.0, 0.0, 320.0, 0.0, 0.0, 500.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    "binning_x": 0,
    "binning_y": 0,
    "roi": {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False},
}
KALIBR = {
    "camera_model": "pinhole",
    "intrinsics": list(PINHOLE),
    "distortion_model": "radtan",
    "distortion_coeffs": list(RADTAN),
    "resolution": [640, 480],
    "rostopic": "/cam0/image_raw",
}
EUROC = {
    "sensor_type": "camera",
    "T_BS": {"cols": 4, "rows": 4, "data": [1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]},
    "rate_hz": 20,
    "resolution": [640, 480],
    "camera_model": "pinhole",
    "intrinsics": list(PINHOLE),
    "distortion_model": "radial-tangential",
    "distortion_coefficients": list(RADTAN),
}
SECOND = {
    **KALIBR,
    "intrinsics": list(PINHOLE),
    "resolution": [640, 480],
    "distortion_model": "equidistant",
    "distortion_coeffs": [0.1, 0.2, 0.3, 0.4],
}
FORMS = {
    "ROS's file": (OF_ROS, OPENCV),
    "an echoed message": (ECHOED, OPENCV),
    "ROS 1": ({**{k: v for k, v in ECHOED.items() if k not in "dkrp"}, "D": ECHOED["d"], "K": MATRIX}, OPENCV),
    "a half binned image": ({**ECHOED, "d": [], "binning_x": 2, "binning_y": 2}, None),
    "camchain of one": ({"cam0": KALIBR}, OPENCV),
    "EuRoC": (EUROC, OPENCV),
    "no distortion": (
        {"cam0": {**KALIBR, "distortion_model": "none", "distortion_coeffs": []}},
        Camera("PINHOLE", 640, 480, PINHOLE),
    ),
    "fisheye": ({"cam0": SECOND}, Camera("OPENCV_FISHEYE", 640, 480, (*PINHOLE, 0.1, 0.2, 0.3, 0.4))),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".YAML"])
@pytest.mark.parametrize("end", ["", "\n---\n"])
def test_a_file_says_the_camera(tmp_path, form, suffix, end):
    fields, camera = FORMS[form]
    path = tmp_path / f"camera{suffix}"
    path.write_text(yaml.safe_dump(fields) + end)  # `ros2 topic echo` ends with a line of dashes
    found = parse_camera(str(path))
    assert found == (camera or Camera("PINHOLE", 320, 240, (262.5, 263.0, 159.75, 119.75)))


@given(
    coefficients=st.sampled_from([0, 4, 5, 8]).flatmap(
        lambda count: st.lists(st.floats(-0.2, 0.2), min_size=count, max_size=count)
    ),
    is_fisheye=st.sampled_from([None, 0, 1]),
    names=st.sampled_from(
        [
            ("image_width", "image_height", "camera_matrix", "distortion_coefficients"),
            ("image_Width", "image_Height", "Camera_Matrix", "Distortion_Coefficients"),
        ]
    ),
    upright=st.booleans(),
)
def test_what_opencv_writes_is_read(tmp_path_factory, coefficients, is_fisheye, names, upright):
    path = tmp_path_factory.mktemp("opencv") / "camera.yml"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("calibration_time", "Fri 01 Jan 2027 12:00:00: CET")
    if is_fisheye is not None:
        storage.write("fisheye_model", is_fisheye)
    rows = np.array(coefficients).reshape((-1, 1) if upright else (1, -1))
    for name, value in zip(names, (640, 480, np.reshape(MATRIX, (3, 3)), rows), strict=True):
        storage.write(name, value)
    storage.release()
    model = {None: "", 0: "opencv", 1: "fisheye"}[is_fisheye]
    ros = {**OF_ROS, "camera_name": "", "distortion_model": model, "distortion_coefficients": {"data": coefficients}}
    (path.parent / "ros.yaml").write_text(yaml.safe_dump(ros))
    assert say_camera(path) == say_camera(path.parent / "ros.yaml")


def say_camera(path):
    """The camera of a file, or what is said against it, without the file's name."""
    try:
        return parse_camera(str(path))
    except ValueError as error:
        return str(error).replace(path.name, "")


@pytest.mark.parametrize(
    "names",
    [
        (("M1", "D1"), ("M2", "D2")),
        (("K_left", "D_left"), ("K_right", "D_right")),
        (("left_K", "left_D"), ("right_K", "right_D")),
        (("cameraMatrix1", "distCoeffs1"), ("cameraMatrix2", "distCoeffs2")),
        (
            ("camera_matrix_left", "distortion_coefficients_left"),
            ("camera_matrix_right", "distortion_coefficients_right"),
        ),
    ],
)
@pytest.mark.parametrize("size", [{"image_width": 640, "image_height": 480}, {"imageSize": [640, 480]}, {}])
def test_a_stereo_calibration_of_opencv_has_two_cameras(tmp_path, names, size):
    path = tmp_path / "intrinsics.yml"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for matrix, distortion in names:
        storage.write(matrix, np.reshape(MATRIX, (3, 3)))
        storage.write(distortion, np.array([[*RADTAN, 0.0]]))
    storage.release()
    with path.open("a") as file:
        file.write(yaml.safe_dump(size) if size else "")
    with pytest.raises(ValueError, match=r"there are several cameras in it: (\w+), (\w+); name one, as FILE:\1"):
        parse_camera(str(path))
    for name in ["1", "2"] if "1" in names[0][0] else ["left", "right"]:
        if size:
            assert parse_camera(f"{path}:{name}") == OPENCV
        else:
            with pytest.raises(ValueError, match="there is no image_width in it"):
                parse_camera(f"{path}:{name}")


def test_one_of_several_cameras_is_named(tmp_path):
    path = tmp_path / "camchain.yaml"
    path.write_text(yaml.safe_dump({"cam0": KALIBR, "cam1": SECOND}))
    assert parse_camera(f"{path}:cam0") == OPENCV and parse_camera(f"{path}:cam1").model == "OPENCV_FISHEYE"
    with pytest.raises(ValueError, match=r"--camera .*camchain.yaml: there are several cameras in it: cam0, cam1"):
        parse_camera(str(path))
    with pytest.raises(ValueError, match="there is no camera 'cam2' in it; there are cam0, cam1"):
        parse_camera(f"{path}:cam2")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1, 2]", "not a camera file; known are ROS's"),
        ("a: {b: [", "while parsing"),
        ("a: 1", "there is no width in it; known are ROS's"),
        (yaml.safe_dump({**OF_ROS, "camera_matrix": {"data": MATRIX[:8]}}), "camera_matrix: expected 9 numbers"),
        (yaml.safe_dump({**OF_ROS, "image_width": "wide"}), "image_width: expected a whole number, got 'wide'"),
        (yaml.safe_dump({**OF_ROS, "camera_matrix": {"data": [0.0] * 9}}), "is not calibrated"),
        (yaml.safe_dump({**OF_ROS, "distortion_model": "bent"}), "distortion 'bent' .* is not supported"),
        *(
            (
                yaml.safe_dump({"cam0": {**KALIBR, "camera_model": model, "intrinsics": [0.5, *more, *PINHOLE]}}),
                f"camera model '{model}' with {5 + len(more)} intrinsics is not read.* as pinhole-radtan, .*undistort",
            )
            for model, more in (("omni", []), ("eucm", [0.9]), ("ds", [0.1]))
        ),
        (yaml.safe_dump({"cam0": {**KALIBR, "resolution": [640]}}), "resolution: expected 2 numbers"),
        (yaml.safe_dump({"cam0": {**KALIBR, "distortion_coeffs": ["a"]}}), "distortion_coeffs: expected numbers"),
    ],
)
def test_a_faulty_file_is_named_with_what_is_wrong(tmp_path, text, says):
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"(?s)^--camera .*camera.yaml.*{says}"):
        parse_camera(str(path))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"--depth-camera .*absent.yaml: there is no such file"):
        parse_camera(str(tmp_path / "absent.yaml"), "--depth-camera")


@pytest.mark.parametrize("side", [".inf", "-.inf", ".nan", "1" + "0" * 400], ids=["inf", "-inf", "nan", "digits"])
@pytest.mark.parametrize("field", ["resolution", "intrinsics", "distortion_coeffs"])
def test_numbers_that_no_camera_has_are_named(tmp_path, field, side):
    fields = {"resolution": "752, 480", "intrinsics": "400, 400, 376, 240", "distortion_coeffs": "0, 0, 0, 0"}
    fields[field] = fields[field].replace(fields[field].split(",")[0], side, 1)
    lines = [f"  {name}: [{numbers}]" for name, numbers in fields.items()]
    path = tmp_path / "c.yaml"
    path.write_text("\n".join(["cam0:", "  distortion_model: radtan", *lines]))
    with pytest.raises(ValueError, match=r"c\.yaml: "):
        parse_camera(str(path))


@pytest.mark.parametrize("value", [None, 1.5, "abc", [1, 2], [[1, 0, 0, 0]], [[1], 2], {"a": 1}, [[None] * 4] * 4, []])
@pytest.mark.parametrize("field", ["T_cam_imu", "T_BS"])
def test_a_mount_that_is_no_matrix_is_named(tmp_path, field, value):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.dump({"intrinsics": [1], field: value}, Dumper=PlainDumper))
    with pytest.raises(ValueError, match=rf"^--extrinsic \S*c\.yaml: {field}: expected "):
        parse_mount(str(path))


@pytest.mark.parametrize("roi", [[1], "all", 7])
def test_a_part_of_the_image_that_is_none_is_named(tmp_path, roi):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({**OF_ROS, "roi": roi}))
    with pytest.raises(ValueError, match="roi: expected"):
        parse_camera(str(path))


class PlainDumper(yaml.SafeDumper):
    """Write a value again where it stands twice, not an alias."""

    def ignore_aliases(self, data):
        return True
