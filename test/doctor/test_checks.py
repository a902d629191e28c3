"""What the doctor finds without ROS."""

import sys
from types import ModuleType

import pytest
from ros_helpers import ROOT

from deviloc_ros.camera import Camera
from deviloc_ros.doctor import checks
from deviloc_ros.doctor.checks import Level, examine_camera, examine_cv_bridge, examine_machine, examine_map

MAPPED = {Camera("PINHOLE", 640, 480, (525.0, 525.0, 319.5, 239.5))}


@pytest.mark.parametrize(
    ("camera", "level"),
    [
        (Camera("PINHOLE", 1280, 960, (1050.0, 1050.0, 639.5, 479.5)), Level.OK),
        (Camera("PINHOLE", 640, 480, (1300.0, 1300.0, 319.5, 239.5)), Level.WARN),
        (Camera("PINHOLE", 640, 480, (200.0, 200.0, 319.5, 239.5)), Level.WARN),
    ],
)
def test_a_camera_must_see_things_about_as_large_as_the_map_s(camera, level):
    assert examine_camera(camera, MAPPED).level is level


def test_a_map_that_is_not_there_is_a_fail_and_none_given_a_warning(tmp_path):
    assert [finding.level for finding in examine_map(None)] == [Level.WARN]
    (finding,) = examine_map(tmp_path)
    assert finding.level is Level.FAIL and "manifest.json" in finding.what and finding.advice


def test_a_cv_bridge_that_breaks_is_noticed(monkeypatch):
    def broken() -> None:
        raise AttributeError("_ARRAY_API not found")

    module = ModuleType("cv_bridge")
    module.CvBridge = broken
    monkeypatch.setitem(sys.modules, "cv_bridge", module)
    finding = examine_cv_bridge()
    assert finding.level is Level.FAIL and "_ARRAY_API" in finding.what
    assert (ROOT / "underlay" / "cv_bridge").is_dir() and "underlay/cv_bridge" in finding.advice


def test_without_a_gpu_it_goes_on(monkeypatch):
    monkeypatch.setattr(checks.torch.cuda, "is_available", lambda: False)
    assert next(examine_machine()).level is Level.WARN
