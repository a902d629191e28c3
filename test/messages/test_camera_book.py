"""Calibrations by frame: which one holds for an image, and that invented frames do not fill the memory."""

from types import SimpleNamespace

import numpy as np
import pytest

from deviloc_ros.messages.camera_book import MAX_FRAMES, CameraBook
from deviloc_ros.status import NotTried, Status


def camera_info(focal: float = 60.0, frame: str = "camera", **changes) -> SimpleNamespace:
    k = [focal, 0.0, 31.5, 0.0, focal, 23.5, 0.0, 0.0, 1.0] if focal else [0.0] * 9
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    header = SimpleNamespace(frame_id=frame)
    values = {"width": 64, "height": 48, "distortion_model": "plumb_bob", "d": [], "k": k, "p": [0.0] * 12}
    return SimpleNamespace(header=header, roi=roi, binning_x=0, binning_y=0, **(values | changes))


def test_the_newest_calibration_of_a_frame_holds():
    book = CameraBook(rectified=False)
    assert book.note(camera_info()) and book.note(camera_info(focal=70.0), 5)
    assert book.note(camera_info(frame="second")) and book.camera("camera").focal_px == 70.0


def test_with_history_the_one_holds_that_was_known_when_the_image_came():
    book = CameraBook(rectified=False, history=True)
    for received_ns, focal in ((10, 60.0), (20, 70.0), (30, 80.0)):
        book.note(camera_info(focal), received_ns)
    assert [book.camera("camera", at).focal_px for at in (0, 10, 19, 20, 99)] == [60.0, 60.0, 60.0, 70.0, 80.0]


def test_the_same_calibration_is_not_converted_again_and_nan_equals_nan():
    book, info = CameraBook(rectified=False), camera_info(p=[float("nan")] * 12)
    assert book.note(info)
    camera = book.camera("camera")
    assert not book.note(camera_info(p=[float("nan")] * 12)) and book.camera("camera") is camera


@pytest.mark.parametrize(
    ("focal", "frame", "status"), [(0.0, "camera", Status.BAD_CAMERA_INFO), (60.0, "other", Status.NO_CAMERA_INFO)]
)
def test_an_unknown_or_unusable_calibration_is_named(focal, frame, status):
    book = CameraBook(rectified=False)
    book.note(camera_info(focal, frame))
    with pytest.raises(NotTried, match="camera") as why:
        book.camera("camera")
    assert why.value.status is status


def test_invented_frames_do_not_fill_the_memory_and_the_camera_in_use_comes_back():
    book = CameraBook(rectified=False)
    for number in np.arange(3 * MAX_FRAMES):
        book.note(camera_info(frame=f"invented_{number}"))
    assert book.note(camera_info()) and book.camera("camera").focal_px == 60.0
    assert len(book) == MAX_FRAMES
