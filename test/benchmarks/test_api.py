"""The API page: its examples run, and it has an entry for each type that it names."""

import re
import shutil

import cv2
import numpy as np
import pycolmap
import pytest
from rooms import room_config

from benchmarks.api import GROUPS, page
from deviloc_ros import Lost, Map, rigid_from_matrix
from deviloc_ros.io.plain_files import read_yaml
from deviloc_ros.tracking.tracker import TrackingState

BASE_FROM_CAM = rigid_from_matrix(np.array([[0, 0, 1, 0.2], [-1, 0, 0, 0], [0, -1, 0, 0.4]]))
SIZE = (640, 480)  # that of the examples' camera; it sees as far as the room's, in more pixels
KNOWN = {
    *(
        "Any",
        "Callable",
        "False",
        "Iterable",
        "Iterator",
        "NDArray",
        "None",
        "PINHOLE",
        "Path",
        "Mapping",
        "Sequence",
        "True",
        "Rigid3d",
    ),
    *("Tensor",),
}


def examples_of(title):
    return re.findall(r"^```python\n(.*?)^```", GROUPS[title][0], re.DOTALL | re.MULTILINE)


@pytest.fixture
def place(room, room_folder, tmp_path, monkeypatch):
    """A working folder with what the examples name."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(room_folder, "kitchen.map")
    (tmp_path / "my.yaml").write_text("pose: {min_inliers: 40}\n")
    (tmp_path / "photos").mkdir()
    take_photographs(room, SIZE)
    cv2.imwrite("query.jpg", cv2.resize(room.queries[0], SIZE))
    return room


def take_photographs(room, size):
    for image in room.images:
        cv2.imwrite(f"photos/{image.name}", cv2.resize(cv2.imread(str(image.path)), size))


def run(code, **names):
    exec(compile(code, "docs/api.md", "exec"), names)
    return names


def test_an_image_is_localized(place):
    result = run(examples_of("Localize")[0])["result"]
    assert np.linalg.norm(result.cam_from_world.translation - place.query_poses[0].translation) < 0.05


def test_parameters_are_set(place):
    names = run(examples_of("Set parameters")[0])
    assert names["to_build"].matcher.max_keypoints == 1024 and names["to_build"].pose.min_inliers == 40
    assert names["from_file"].pose.min_inliers == read_yaml(names["Path"]("my.yaml"))["pose"]["min_inliers"]
    assert names["localizer"].config.retrieval.references == 8
    assert names["localizer"].config.matcher == room_config().matcher


def test_a_robot_is_followed(place, capsys):
    def drive():
        for number, image in enumerate(place.images):
            map_from_base = image.cam_from_world.inverse() * BASE_FROM_CAM.inverse()
            odom_from_map = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([5.0, 0, 0]))
            yield (
                1_000_000_000 + number * 100_000_000,
                cv2.imread(f"photos/{image.name}"),
                odom_from_map * map_from_base,
            )

    names = run(examples_of("Follow a robot")[0], drive=drive())
    assert len(examples_of("Follow a robot")[0].splitlines()) <= 15
    assert names["follower"].state(names["stamp_ns"]) is TrackingState.LOCALIZED
    true = place.images[-1].cam_from_world.inverse() * BASE_FROM_CAM.inverse()
    assert np.linalg.norm(names["step"].fix.map_from_base.translation - true.translation) < 0.05
    assert "unconfirmed" in capsys.readouterr().out


@pytest.mark.slow
def test_maps_are_made(place):
    shutil.rmtree("kitchen.map")
    take_photographs(place, (place.camera.width, place.camera.height))  # enlarged ones fit a camera that cannot be
    alone, posed = examples_of("Make a map")
    assert run(alone)["report"].views == len(Map.open("kitchen.map"))
    take_photographs(place, SIZE)
    run(posed, cam_from_world={image.name: image.cam_from_world.matrix() for image in place.images})
    assert not isinstance(run(examples_of("Localize")[0].replace("kitchen", "posed"))["result"], Lost)


def test_what_a_recording_is_read_with_is_there():
    (code,) = examples_of("Read posed images")
    imports, call = code.split("\n\n")
    names = run(imports)
    assert re.findall(r"(\w+)\(", call) == ["read_bag", "ReadingPlan", "TruthSource", "Spacing"]
    assert names["ReadingPlan"](truth=names["TruthSource"](topic="/odom")) and names["Spacing"](distance_m=0.25)


def test_each_type_that_is_named_has_an_entry():
    named = set()
    for block in re.findall(r"^```python\n(.*?)^```", page(), re.DOTALL | re.MULTILINE):
        if not re.match(r"(from|import) ", block):
            named |= set(re.findall(r"(?<![\w'])[A-Z]\w+", re.sub(r"'[^']*'", "", block)))
    entries = set(re.findall(r"^### (\w+)$", page(), re.MULTILINE))
    assert named - entries - KNOWN == set()
