"""The command as people call it, with a real map of a rendered room."""

import json
import subprocess
import sys

import pytest
from small_maps import reference_view, write_map

from deviloc_ros.bags.writer import BagWriter
from deviloc_ros.cli import main
from deviloc_ros.maps.provenance import ARBITRARY_SCALE

PERIOD_NS = 100_000_000


@pytest.fixture(scope="module")
def bag(room, tmp_path_factory):
    """What the camera saw between the mapped places; the robot is its camera."""
    path = tmp_path_factory.mktemp("room") / "drive"
    with BagWriter(path) as writer:
        for number, (pose, pixels) in enumerate(zip(room.query_poses, room.queries, strict=True)):
            time_ns = (number + 1) * PERIOD_NS
            writer.write_pose("/truth", time_ns, "map", pose.inverse())
            writer.write_camera_info("/camera_info", time_ns, "camera", room.camera)
            writer.write_image("/image", time_ns, "camera", pixels)
    return path


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as done:
        main([str(a) for a in arguments])
    return done.value.code


def test_a_recording_is_evaluated_gated_and_compared(room_folder, bag, tmp_path, capsys):
    common = ["evaluate-bag", bag, "--map", room_folder, "--ground-truth-topic", "/truth", "--base-frame", "camera"]
    common += ["--set", "tracking.confirmations=1", "--require", "wrong_fixes<=0"]
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(*common, "--output", first, "--require", "recall.5cm_5deg>=0.9") == 0
    assert "wrong fixes              0" in capsys.readouterr().out
    summary = json.loads((first / "summary.json").read_text())
    assert summary["localized"] == summary["tried"] == 3 and summary["map"]["views"] == 7
    assert (first / "report.html").stat().st_size > 100_000
    assert (
        run(*common, "--output", second, "--every", 2, "--require", "tried>=3", "--require", "latency_ms.p50<=0") == 1
    )
    failed = capsys.readouterr().err
    assert "FAILED: tried >= 3 was required, it is 2" in failed and "FAILED: latency_ms.p50" in failed
    assert run("compare", first, second, "--map", room_folder, "--output", tmp_path / "both.html") == 0
    assert "first" in (tmp_path / "both.html").read_text()


@pytest.mark.parametrize("command", [("evaluate-bag", "--map"), ("view", "--bag")])
def test_no_robot_is_followed_in_a_map_without_metres(bag, tmp_path, capsys, command):
    write_map(tmp_path / "a.map", [reference_view(0)], {"scale": ARBITRARY_SCALE})
    given = (bag, tmp_path / "a.map") if command[0] == "evaluate-bag" else (tmp_path / "a.map", bag)
    assert run(command[0], given[0], command[1], given[1], "--output", tmp_path / "out") == 2
    assert "a.map: its unit is arbitrary" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_run_can_be_looked_at_in_rerun(room_folder, bag, tmp_path):
    pytest.importorskip("rerun", reason="Rerun is not installed: pip install rerun-sdk")
    file = tmp_path / "drive.rrd"
    common = ["--ground-truth-topic", "/truth", "--base-frame", "camera", "--set", "tracking.confirmations=1"]
    assert run("evaluate-bag", bag, "--map", room_folder, *common, "--output", tmp_path / "run", "--rerun", file) == 0
    assert 1000 < file.stat().st_size < 1_000_000
    rerun = [sys.executable, "-m", "rerun", "rrd"]
    subprocess.run([*rerun, "verify", file], check=True, capture_output=True)
    shown = subprocess.run([*rerun, "print", file], check=True, capture_output=True, text=True).stdout
    for entity in ("/map/landmarks", "/map/views", "/map/truth", "/map/robot/estimated", "/camera", "/outcome"):
        assert entity in shown
    assert "/figures/position_error_cm" in shown


def test_without_rerun_its_extra_is_named_before_anything_is_done(room_folder, bag, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("deviloc_ros.evaluation.recordings.rerun_recording.find_spec", lambda name: None)
    output = tmp_path / "run"
    assert run("evaluate-bag", bag, "--map", room_folder, "--output", output, "--rerun", tmp_path / "a.rrd") == 2
    assert "--rerun needs the extra `rerun`: pip install rerun-sdk" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--require", "wrong_fixes"], "expected NAME<=NUMBER"),
        (["--every", "0"], "expected 1 or more"),
        (["--start", "60"], "drive: no image from 60 s; the recording lasts"),
        (["--start", "2", "--end", "1"], "--start, --end: a part's start, 2 s, is not before its end, 1 s"),
        (["--extrinsic", "1 2 3"], "not seven numbers"),
        (["--extrinsic", "2 0 0 0 0 1 0 0 0 0 1 0"], "--extrinsic '2 0 0 0 0 1 0 0 0 0 1 0': "),
        (["--extrinsic", "absent.yaml"], "--extrinsic absent.yaml: there is no such file"),
        (["--camera", "PINHOLE,1"], "--camera 'PINHOLE,1'"),
        (["--set", "tracking.hope=1"], "unknown parameter tracking.hope"),
        (["--images-of", "nowhere"], "nowhere: not the output of evaluate-bag"),
        (["--running-node"], "go with --real-time"),
        (["--matcher", "xfeat-lighterglue"], "the map was built with 'xfeat'"),
        (["--ground-truth", "nowhere.tum"], "nowhere.tum: no such file of poses"),
        (["--ground-truth-topic", "/truth", "--ground-truth-frame", "rover"], "of frame 'rover'"),
        (["--align"], "--align needs ground truth"),
        (["--image-topic", "/other"], "/other is not in the recording; topics of images: /image"),
    ],
)
def test_a_wrong_flag_is_one_line_that_names_it(room_folder, bag, tmp_path, capsys, arguments, says):
    assert run("evaluate-bag", bag, "--map", room_folder, "--output", tmp_path / "run", *arguments) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith("deviloc: ") and says in said.splitlines()[-1]
    assert "localize:" not in said  # before any image


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("evaluate-bag", "bag", "--map", "map", "--budget-ms"), "argument --budget-ms: '{}': expected 0 or more"),
        (("build-map", "--output", "map", "--depth-scale"), "argument --depth-scale: '{}': expected a number above 0"),
        (("build-map", "--output", "map", "--keyframe-m"), "argument --keyframe-m: '{}': expected 0 or more"),
        (("map", "report", "map", "--within-m"), "argument --within-m: '{}': expected a number above 0"),
    ],
)
@pytest.mark.parametrize("number", ["-5", "nan", "soon"])
def test_a_number_that_makes_no_sense_is_refused_by_the_grammar(arguments, says, number, capsys):
    assert run(*arguments, number) == 2
    assert says.format(number) in capsys.readouterr().err
