"""Rigs from files: what is wrong with one is said by file, camera and field; and from the command line to a pose."""

import json

import cv2
import numpy as np
import pytest
from worlds import SMALL

from deviloc_ros.cli import main
from deviloc_ros.sources.base import SourceError
from deviloc_ros.sources.rigs import read_rig

LENS = {"model": SMALL.model, "width": SMALL.width, "height": SMALL.height, "params": list(SMALL.params)}
AT_ORIGIN = {"translation_m": [0, 0, 0], "rotation_xyzw": [0, 0, 0, 1]}
FRONT = {"name": "front", "camera": LENS, "rig_from_cam": AT_ORIGIN}


def write(path, cameras) -> None:
    path.write_text(json.dumps({"cameras": cameras}))


def test_a_rig_is_read(tmp_path):
    cv2.imwrite(str(tmp_path / "mask.png"), np.full((240, 320), 255, np.uint8))
    mount = {"translation_m": [0, 1, 2], "rotation_xyzw": [0, 0, 1, 0]}
    write(tmp_path / "rig.json", [FRONT, {"camera": LENS, "rig_from_cam": mount, "mask": "mask.png"}])
    front, other = read_rig(tmp_path / "rig.json")
    assert (front.name, other.name) == ("front", "1") and front.camera == SMALL and front.mask is None
    np.testing.assert_allclose(other.rig_from_cam.translation, [0, 1, 2])
    assert other.mask.file == tmp_path / "mask.png"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"camera": None}, "front"),
        ({"camera": {**LENS, "model": "PINE"}}, "PINE"),
        ({"camera": {**LENS, "params": [1.0]}}, "PINHOLE"),
        ({"rig_from_cam": {"translation_m": [0, 0, 0]}}, "rotation_xyzw"),
        ({"rig_from_cam": {**AT_ORIGIN, "rotation_xyzw": [0, 0, 0, 0]}}, "quaternion"),
        ({"cam_from_rig": AT_ORIGIN}, "cam_from_rig"),
        ({"mask": "none.png"}, "none.png"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_rig_is_named(tmp_path, change, said):
    write(tmp_path / "rig.json", [{**FRONT, **change}])
    with pytest.raises(ValueError, match=said):
        read_rig(tmp_path / "rig.json")


@pytest.mark.parametrize("content", ["", "{}", '{"cameras": []}', '{"cameras": [3]}', "[]"])
def test_a_file_that_is_no_rig_is_named(tmp_path, content):
    (tmp_path / "rig.json").write_text(content)
    with pytest.raises(SourceError, match=r"rig\.json"):
        read_rig(tmp_path / "rig.json")


def test_a_rig_is_localized_from_the_command_line(room, room_folder, tmp_path, capsys):
    """Two queries of the room, as if two cameras had taken them at one time."""
    first, second = room.query_poses[:2]
    mount = first * second.inverse()
    place = {"translation_m": mount.translation.tolist(), "rotation_xyzw": mount.rotation.quat.tolist()}
    write(tmp_path / "rig.json", [FRONT, {"name": "left", "camera": LENS, "rig_from_cam": place}])
    paths = [str(tmp_path / f"{number}.png") for number in range(2)]
    for path, pixels in zip(paths, room.queries, strict=False):
        cv2.imwrite(path, pixels)
    words = ["localize", str(room_folder), *paths, "--rig", str(tmp_path / "rig.json"), "--json", "-"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert ended.value.code == 0 and record["localized"]
    np.testing.assert_allclose(record["world_from_rig"]["translation_m"], first.inverse().translation, atol=0.02)
    assert [(c["name"], c["used"]) for c in record["cameras"]] == [("front", True), ("left", True)]
    with pytest.raises(SystemExit):
        main(["localize", str(room_folder), paths[0], "--rig", str(tmp_path / "rig.json")])
    assert "1 images are not of 2 cameras" in capsys.readouterr().err


def test_an_image_of_a_rig_that_cannot_be_read_ends_nothing(room, room_folder, tmp_path, capsys):
    """The other camera gives the pose of that time; where none can be read that time has none, and the next goes on."""
    write(tmp_path / "rig.json", [FRONT, {**FRONT, "name": "left"}])
    good, bad = str(tmp_path / "good.png"), str(tmp_path / "bad.png")
    cv2.imwrite(good, room.queries[0])
    (tmp_path / "bad.png").write_bytes(b"no picture")
    words = ["localize", str(room_folder), good, bad, bad, bad, bad, good, "--rig", str(tmp_path / "rig.json")]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json", str(tmp_path / "out.json")])
    assert ended.value.code == 1 and "bad.png: not an image" in capsys.readouterr().out
    records = json.loads((tmp_path / "out.json").read_text())
    assert [record["localized"] for record in records] == [True, False, True]
    assert {c["name"]: c["used"] for c in records[0]["cameras"]} == {"front": True, "left": False}
    assert {c["name"]: c["used"] for c in records[2]["cameras"]} == {"front": False, "left": True}
    assert records[1]["reason"] == "bad_image" == records[1]["cameras"][0]["status"]
    expected = room.query_poses[0].inverse().translation
    for number in (0, 2):
        np.testing.assert_allclose(records[number]["world_from_rig"]["translation_m"], expected, atol=0.1)
