"""What the doctor finds without ROS."""

import os
import shutil
from pathlib import Path

import pycolmap
import pytest
from ros_helpers import ROOT
from small_maps import reference_view, write_map

from deviloc_ros.camera import Camera
from deviloc_ros.doctor import checks
from deviloc_ros.doctor.checks import Level, examine_camera, examine_cv_bridge, examine_machine, examine_map
from deviloc_ros.maps.edit import align_map
from deviloc_ros.maps.georeference import Georeference
from deviloc_ros.maps.provenance import ARBITRARY_SCALE

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


def test_each_map_of_a_folder_is_examined(room_folder, tmp_path):
    for name in ("first.map", "second.map"):
        shutil.copytree(room_folder, tmp_path / name)
    (tmp_path / "second.map" / "manifest.json").write_text("{}")
    found = list(examine_map(tmp_path))
    assert [(f.level, "first.map" in f.what, "second.map" in f.what) for f in found] == [
        (Level.OK, True, False),
        (Level.OK, False, False),
        (Level.FAIL, False, True),
    ]


def test_a_map_on_earth_says_where_and_one_that_is_no_place_is_named(room_folder, tmp_path):
    place = Georeference(48.137, 11.575, 0.0, pycolmap.Rigid3d())
    for name, note in (("a.map", place.to_note()), ("b.map", {"latitude": 500})):
        align_map(room_folder, pycolmap.Sim3d(), tmp_path / name, {"georeference": note})
    assert "latitude 48.13700, longitude 11.57500" in next(examine_map(tmp_path / "a.map")).what
    damaged = next(examine_map(tmp_path / "b.map"))
    assert damaged.level is Level.FAIL and "georeference" in damaged.what


def test_a_map_without_metres_is_a_fail(tmp_path):
    write_map(tmp_path / "a.map", [reference_view(0)], {"scale": ARBITRARY_SCALE})
    (failure,) = [finding for finding in examine_map(tmp_path / "a.map") if finding.level is Level.FAIL]
    assert "a.map: its unit is arbitrary" in failure.what and "map align" in failure.advice


def fault_of_bridge(folder: Path, source: str, monkeypatch) -> str:
    """What the probe says of a cv_bridge of this source."""
    (folder / "cv_bridge.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return examine_cv_bridge().what


@pytest.mark.ros
@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("raise AttributeError('_ARRAY_API not found')", "_ARRAY_API not found"),
        ("import os\nclass CvBridge:\n    def imgmsg_to_cv2(self, *_): os.abort()", "crashes the process (signal 6)"),
        ("import ctypes\nclass CvBridge:\n    def imgmsg_to_cv2(self, *_): ctypes.string_at(0)", "(signal 11)"),
        ("class CvBridge:\n    def imgmsg_to_cv2(self, *_): raise KeyError(16)", "KeyError: 16"),
        ("import numpy\nclass CvBridge:\n    def imgmsg_to_cv2(self, *_): return numpy.zeros((2, 2))", "wrongly"),
    ],
)
def test_a_cv_bridge_that_breaks_is_noticed(tmp_path, monkeypatch, source, says):
    pytest.importorskip("sensor_msgs.msg")
    assert says in fault_of_bridge(tmp_path, source, monkeypatch)
    assert (ROOT / "underlay" / "cv_bridge").is_dir()


def test_where_there_is_no_cv_bridge_none_is_blamed(monkeypatch):
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda name: None)
    finding = examine_cv_bridge()
    assert finding.level is Level.OK and "the node does without" in finding.what


def test_without_a_gpu_it_goes_on(monkeypatch):
    monkeypatch.setattr(checks.torch.cuda, "is_available", lambda: False)
    assert next(examine_machine()).level is Level.WARN


def test_without_a_gpu_the_page_is_named_that_says_how_fast_it_goes(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = next(examine_machine())
    assert found.level is Level.WARN and "sees no GPU" in found.what and "docs/results.md" in found.advice
    assert "poses a second" in (ROOT / "docs/results.md").read_text()
