"""The command line: what it prints and writes, and one line for an error that the user can mend."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
from worlds import SMALL

from deviloc_ros import __version__
from deviloc_ros.cli import GROUPS, main, parse
from deviloc_ros.commands.examples import EXAMPLES
from deviloc_ros.commands.flags.sources import print_report
from deviloc_ros.io.named_poses import read_named_poses
from deviloc_ros.mapping.build import build_map
from deviloc_ros.mapping.sensor_correction import DepthOfViews
from deviloc_ros.mapping.views import BuildReport
from deviloc_ros.maps.store import Map
from deviloc_ros.sources.base import PosedImage, Skipped
from deviloc_ros.sources.colmap import build_reconstruction
from deviloc_ros.sources.pictures import read_pictures
from deviloc_ros.status import Status
from deviloc_ros.synthetic.render import render_color
from deviloc_ros.synthetic.room import make_room
from deviloc_ros.synthetic.trajectory import make_smooth_path
from deviloc_ros.types import Lost

SUMMARY_KEYS = {
    "protocol", "matcher", "lift", "references", "retrieval", "queries", "localized", "wrong_fixes",
    "median_translation_m", "median_rotation_deg", "recall", "latency_ms", "map",
}  # fmt: skip


def status_of(*arguments) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    return exit.value.code


@pytest.fixture(scope="module")
def model(room, tmp_path_factory):
    """The room's views as a COLMAP model without points."""
    folder = tmp_path_factory.mktemp("model")
    build_reconstruction(room.images).write_text(str(folder))
    return folder


@pytest.fixture(scope="module")
def query_files(room, tmp_path_factory):
    folder = tmp_path_factory.mktemp("queries")
    cv2.imwrite(str(folder / "here.png"), room.queries[0])
    cv2.imwrite(str(folder / "black.png"), np.zeros((240, 320), np.uint8))
    (folder / "text.png").write_text("not an image")
    return folder


def assert_one_line(capsys, *words) -> None:
    error = capsys.readouterr().err.strip().splitlines()
    (line,) = [line for line in error if line.startswith("deviloc: ")]
    assert error[-1] == line and all(word in line for word in words), error


def test_build_map_reports_what_it_built(model, room, tmp_path, capsys):
    arguments = (
        "--colmap",
        model,
        "--images",
        room.folder,
        "--output",
        tmp_path / "a.map",
        "--set",
        "matcher.max_keypoints=512",
    )
    assert status_of("build-map", *arguments) == 0
    assert "7 views" in capsys.readouterr().out
    reference_map = Map.open(tmp_path / "a.map")
    assert len(reference_map) == 7 and reference_map.config.matcher.max_keypoints == 512
    assert status_of("build-map", *arguments) == 2
    assert_one_line(capsys, "a.map is there; --overwrite replaces it")
    assert status_of("build-map", *arguments, "--overwrite", "--every", 2) == 0
    assert len(Map.open(tmp_path / "a.map")) == 4


def test_build_map_lists_the_images_it_skipped(model, room, tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    for image in room.images[:6]:
        (images / image.name).write_bytes(image.path.read_bytes())
    assert status_of("build-map", "--colmap", model, "--images", images, "--output", tmp_path / "a.map") == 0
    out = capsys.readouterr().out
    assert "6 views" in out and "1 images skipped" in out and "view-6.png: " in out


@pytest.mark.parametrize("count", [1, 20, 21, 500])
def test_of_many_skipped_images_some_are_listed_and_the_others_counted(capsys, count):
    skipped = [Skipped(f"{number}.png", "no such image") for number in range(count)]
    print_report(BuildReport(1, 1, 1.0, 1.0, skipped, DepthOfViews()), "a.map", 1.0)
    said = capsys.readouterr().out.splitlines()[1:]
    assert said[0] == f"{count} images skipped:" and len(said) == 1 + min(count, 20) + (count > 20)
    if count > 20:
        assert said[-1].startswith(f"  and {count - 20} more: no such image ({count - 20}: 20.png")


def test_localize_writes_a_line_for_each_image(room_folder, query_files, tmp_path, capsys):
    files = [query_files / name for name in ("here.png", "black.png", "text.png")]
    assert status_of("localize", room_folder, *files, "--json", tmp_path / "out.json") == 1  # not all localized
    lines, said = capsys.readouterr()
    assert "camera: PINHOLE,320,240" in said and "the first of the map" in said
    assert [line.partition(": ")[0] for line in lines.splitlines()] == [str(file) for file in files]
    assert "looking along" in lines and "inliers" in lines and "lost, too few keypoints" in lines
    here, black, text = json.loads((tmp_path / "out.json").read_text())
    assert status_of("localize", room_folder, *files, "--json", "-") == 1
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [here, black, text]
    assert here["localized"] and here["image"] == str(files[0]) and here["inliers"] >= 30
    assert len(here["world_from_cam"]["translation_m"]) == 3 and len(here["world_from_cam"]["rotation_xyzw"]) == 4
    assert np.array(here["covariance"]).shape == (6, 6)
    assert here["focal_px"] == pytest.approx(262, rel=0.02) and 0 < here["focal_std_px"] < 5
    assert (black["localized"], black["reason"]) == (False, "no_features") and "world_from_cam" not in black
    assert (text["localized"], text["reason"]) == (False, "bad_image") and "text.png" in text["detail"]


def test_localize_takes_and_gives_the_files_of_hloc(room_folder, query_files, room, tmp_path, capsys):
    camera = room.camera
    numbers = [camera.width, camera.height, *camera.params[:2], *(value + 0.5 for value in camera.params[2:])]
    own = " ".join(map(str, [camera.model, *numbers]))  # COLMAP's pixels
    (tmp_path / "queries.txt").write_text(f"here.png {own}\nblack.png {own}\n")
    views = [image.name for image in room.images]
    (tmp_path / "pairs.txt").write_text("".join(f"here.png {name}\n" for name in [*views[:3], "of-no-view.png"]))
    poses = tmp_path / "poses.txt"
    common = ("localize", room_folder, query_files, "--queries", tmp_path / "queries.txt", "--save-poses", poses)
    assert status_of(*common, "--pairs", tmp_path / "pairs.txt", "--json", "-") == 1
    out, said = capsys.readouterr()
    here, black = map(json.loads, out.splitlines())
    assert here["localized"] and black["reason"] in ("no_features", "no_references") and "camera:" not in said
    assert f"{poses}: 1 poses of 2 images" in said
    ((name, pose),) = read_named_poses(poses).items()
    assert name == "here.png"
    np.testing.assert_allclose(pose.inverse().translation, here["world_from_cam"]["translation_m"], atol=1e-12)
    np.testing.assert_allclose(pose.matrix(), room.query_poses[0].matrix(), atol=0.1)
    assert status_of("compare-poses", poses, tmp_path / "poses.txt", "--queries", tmp_path / "queries.txt") == 0
    assert "1 / 1" in capsys.readouterr().out
    for words, says in (
        ([query_files / "here.png"], "--queries: give one IMAGE, the folder"),
        ([query_files, "--uncalibrated"], "--uncalibrated guesses the cameras"),
        ([room.folder], "here.png: no such file or folder"),
    ):
        assert status_of("localize", room_folder, *words, "--queries", tmp_path / "queries.txt") == 2
        assert_one_line(capsys, says)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (["a", "b"], "here.png"),
        (["a/here.png", "b"], "here.png"),
        (["a/here.png", "a/here.png"], "here.png"),
        (["a/drive.avi", "b/drive.avi"], "drive.avi"),
        (["."], ""),
        (["a", "b/below", "."], "a/here.png"),
        (["a/drive.avi"], ""),
    ],
)
def test_poses_of_two_images_of_one_name_are_refused_before_the_run(
    room_folder, query_files, tmp_path, monkeypatch, capsys, given, name
):
    for folder in ("a", "b", "b/below"):
        (tmp_path / folder).mkdir()
        shutil.copy(query_files / "here.png", tmp_path / folder)
        write_video(tmp_path / folder / "drive.avi", [np.zeros((48, 64), np.uint8)] * 2)
    monkeypatch.setattr("deviloc_ros.localizer.Localizer.localize", lambda self, **_: Lost(Status.NO_FEATURES))
    poses = tmp_path / "poses.txt"
    status = status_of("localize", room_folder, *(tmp_path / one for one in given), "--save-poses", poses)
    assert status == (2 if name else 1) and poses.exists() != bool(name)
    if name:
        assert_one_line(capsys, "--save-poses: ", f" images are named {name!r}")


def test_frames_of_a_video_whose_times_stand_still_have_names_of_their_own(tmp_path, monkeypatch):
    write_video(tmp_path / "drive.avi", [np.zeros((48, 64), np.uint8)] * 3)
    monkeypatch.setattr(cv2, "CAP_PROP_POS_MSEC", cv2.CAP_PROP_FRAME_WIDTH)
    names = [picture.name.removeprefix(str(tmp_path)) for picture in read_pictures([tmp_path / "drive.avi"])]
    assert names == ["/drive.avi 0.064 s", "/drive.avi 0.064 s frame 2", "/drive.avi 0.064 s frame 3"]


def test_localize_estimates_the_focal_length_of_an_uncalibrated_camera(room_folder, query_files, room, capsys):
    assert status_of("localize", room_folder, query_files / "here.png", "--uncalibrated", "--json", "-") == 0
    here = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(
        here["world_from_cam"]["translation_m"], room.query_poses[0].tgt_origin_in_src(), atol=0.1
    )
    assert here["focal_px"] == pytest.approx(262, rel=0.03)
    assert status_of("localize", room_folder, query_files / "here.png", "--uncalibrated") == 0
    assert f"; focal length {here['focal_px']:.0f} +- " in capsys.readouterr().out
    camera = ("--camera", "PINHOLE,320,240,384,384,159.5,119.5")  # as such a camera is guessed to be
    assert status_of("localize", room_folder, query_files / "here.png", *camera, "--json", "-") == 1
    assert json.loads(capsys.readouterr().out)["reason"] in ("miscalibrated", "unstable", "few_inliers")


def test_an_image_of_another_size_than_the_camera_that_was_assumed_says_what_to_give(
    room_folder, room, tmp_path, capsys
):
    cv2.imwrite(str(tmp_path / "small.png"), cv2.resize(room.queries[0], (160, 120)))
    assert status_of("localize", room_folder, tmp_path / "small.png") == 1
    said = capsys.readouterr().out
    assert "160 x 120 px, the map's first camera, which was assumed, has 320 x 240" in said
    assert "give --camera or --uncalibrated" in said
    camera = ("--camera", "PINHOLE,320,240,262,262,159.5,119.5")
    assert status_of("localize", room_folder, tmp_path / "small.png", *camera) == 1
    assert "its camera says 320 x 240" in capsys.readouterr().out


def test_localize_takes_a_camera_and_succeeds_when_all_are_found(room_folder, query_files, room, capsys):
    camera = "PINHOLE,320,240,262,262,159.5,119.5"
    assert status_of("localize", room_folder, query_files / "here.png", "--camera", camera, "--json", "-") == 0
    translation = json.loads(capsys.readouterr().out)["world_from_cam"]["translation_m"]
    np.testing.assert_allclose(translation, room.query_poses[0].tgt_origin_in_src(), atol=0.03)


@pytest.fixture(scope="module")
def floors(room_folder, tmp_path_factory):
    """A folder of two maps: the room, and one that looks otherwise."""
    folder, rng = tmp_path_factory.mktemp("floors"), np.random.default_rng(7)
    shutil.copytree(room_folder, folder / "first.map")
    scene, images = make_room(rng), []
    for number, pose in enumerate(make_smooth_path(scene, rng, 3, (scene.free_low + scene.free_high) / 2, span=0.2)):
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), render_color(scene, SMALL, pose))
        images.append(PosedImage(path.name, path, SMALL, pose))
    build_map(images, folder / "second.map", Map.open(room_folder).config, quiet=True)
    return folder


def test_localize_names_the_map_of_a_folder(floors, query_files, room, capsys):
    given = query_files / "here.png", floors / "1.png"
    assert status_of("localize", floors, *given, "--json", "-") == 0
    here, there = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (here["map"], there["map"]) == ("first.map", "second.map")
    assert status_of("localize", floors, *given) == 0
    assert "here.png: in first.map at" in capsys.readouterr().out
    assert status_of("localize", floors, *given, "--pictures", floors / "album") == 2
    assert_one_line(capsys, "--pictures draws one map")


def test_localize_gives_no_pose_where_two_maps_answer(floors, query_files, tmp_path, capsys):
    shutil.copytree(floors / "first.map", tmp_path / "a.map")
    shutil.copytree(floors / "first.map", tmp_path / "b.map")
    assert status_of("localize", tmp_path, query_files / "here.png", "--json", "-") == 1
    said = json.loads(capsys.readouterr().out)
    assert said["reason"] == "ambiguous" and "a.map: " in said["detail"] and "b.map: " in said["detail"]


def test_what_needs_one_map_names_those_of_a_folder(floors, capsys):
    assert status_of("map", "info", floors) == 2
    assert_one_line(capsys, "a folder of maps; give one of them: first.map, second.map")


def write_video(path, frames):
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) if frame.ndim == 2 else frame)
    writer.release()


def test_localize_takes_folders_and_videos_and_tells_what_is_none(room_folder, room, tmp_path, capsys):
    folder = tmp_path / "mixed"
    (folder / "below").mkdir(parents=True)
    cv2.imwrite(str(folder / "below" / "here.png"), room.queries[0])
    (folder / "phone.NEF").write_bytes(b"raw")
    write_video(tmp_path / "drive.avi", room.queries[:2])
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("not a video")
    given = [folder, tmp_path / "drive.avi", tmp_path / "empty", tmp_path / "text.mp4"]
    assert status_of("localize", room_folder, *given, "--json", "-") == 1
    here, raw, first, second, empty, text = map(json.loads, capsys.readouterr().out.splitlines())
    assert here["localized"] and first["localized"] and second["localized"]
    assert (first["image"], second["image"]) == (f"{given[1]} 0.000 s", f"{given[1]} 0.100 s")
    assert "NEF is not read: develop it to JPEG" in raw["detail"] and "no images in this folder" in empty["detail"]
    assert "not a video" in text["detail"]
    assert status_of("localize", room_folder, tmp_path / "drive.avi", "--every", "2", "--json", "-") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_path_that_leads_nowhere_is_an_error_and_no_image_without_a_pose(room_folder, query_files, capsys):
    here = query_files / "here.png"
    for wrong, says in (
        ("her.png", "her.png: no such file or folder; did you mean 'here.png'?"),
        ("no.mp4", "no such"),
        ("no/a.png", "nor a folder"),
    ):
        assert status_of("localize", room_folder, here, query_files / wrong, "--json", "-") == 2
        out, error = capsys.readouterr()
        assert out == "" and says in error
    assert status_of("localize", room_folder, "nowhere", "nothing", "--json", "-") == 2
    assert_one_line(capsys, "nowhere: no such file or folder", "(and 1 of the others)")


def test_localize_draws_what_it_found(room_folder, query_files, tmp_path, capsys):
    files = (query_files / "here.png", query_files / "black.png", query_files / "here.png")
    assert status_of("localize", room_folder, *files, "--pictures", tmp_path / "album") == 1
    names = {path.name for path in (tmp_path / "album").iterdir()}
    assert names == {
        *("here.png.matches.jpg", "here.png.depth.jpg", "black.png.matches.jpg"),
        *("here.png-2.matches.jpg", "here.png-2.depth.jpg", "map.svg"),
    }
    assert "6 pictures" in capsys.readouterr().err
    depth = cv2.imread(str(tmp_path / "album" / "here.png.depth.jpg"))
    assert depth.shape == (240, 320, 3) and (np.ptp(depth.astype(int), axis=2) > 100).sum() > 500  # colours in gray


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--camera", "PINHOLE,320,240,262"), ("--camera", "PINHOLE takes")),
        (("--camera", "320"), ("--camera '320'", "expected MODEL,W,H,PARAMS")),
        (("--camera", "pinhole,320,240,262,262,159.5,119.5"), ("--camera", "did you mean 'PINHOLE'?")),
        (("--set", "pose.min_inliers=3"), ("min_inliers", "outside")),
        (("--set", "pose.inliers=30"), ("unknown parameter pose.inliers; did you mean 'pose.min_inliers'?",)),
        (("--set", "min_inliers=30"), ("did you mean 'pose.min_inliers'?",)),
        (("--set", "tracking.confirmations=2"), ("tracking.confirmations has no effect here", "evaluate-bag")),
        (("--set", "map_path=a"), ("map_path is a parameter of the node only",)),
        (("--set", "pose.min_inliers"), ("KEY=VALUE",)),
        (("--set", "pose.min_inliers=["), ("pose.min_inliers",)),
        (("--set", "pose=3"), ("pose must be a mapping",)),
        (("--config", "nowhere.yaml"), ("nowhere.yaml",)),
        (("--matcher", "xfeat-lighterglue"), ("matcher.name 'xfeat-lighterglue'", "the map was built with 'xfeat'")),
        (("--landmark-source", "matcher"), ("lift.landmark_source 'matcher'", "the map was built with 'sift'")),
        (("--set", "lift.check_views=1"), ("lift.check_views 1", "the map was built with")),
        (("--set", "matcher.device=nothing"), ("matcher.device 'nothing'",)),
        (("--json", "."), (". is a folder; name a file",)),
    ],
)
def test_a_flag_that_makes_no_sense_is_one_line(room_folder, query_files, capsys, arguments, words):
    assert status_of("localize", room_folder, query_files / "here.png", *arguments) == 2
    assert_one_line(capsys, *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("build-map", "--colmap", "nowhere", "--images", ".", "--output", "x.map"), ("nowhere", "not a COLMAP model")),
        (("build-map", "--colmap", "nowhere", "--output", "x.map"), ("--images",)),
        (("build-map", "--kitti", "nowhere", "--output", "x.map"), ("nowhere",)),
        (("build-map", "--sevenscenes", "nowhere", "--output", "x.map"), ("TrainSplit.txt",)),
        (("build-map", "--kitti", "nowhere", "--output", "x.map", "--every", "0"), ("--every",)),
        (
            ("build-map", "--kitti", ".", "--camera", "PINHOLE,1,1,1,1,0,0", "--output", "x.map"),
            ("--camera goes with --tum",),
        ),
        (
            ("build-map", "--sevenscenes", ".", "--time-offset", "1", "--output", "x.map"),
            ("--time-offset goes with --bag",),
        ),
        (("build-map", "--kitti", "nowhere", "--output", __file__ + "/x.map"), ("test_cli.py/x.map: cannot be made",)),
        (("localize", "nowhere.map", "a.png"), ("nowhere.map", "no such map")),
        (("evaluate", "kitchen-99"), ("kitchen-99",)),
        (("evaluate", "kitchen-12", "--every", "0"), ("--every 0",)),
        (("ablate", "kitchen-12", "--every", "-1"), ("--every -1",)),
        (("evaluate", "kitchen-12", "--data", "nowhere"), ("nowhere",)),
    ],
)
def test_what_is_missing_is_one_line(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert status_of(*arguments) == 2
    assert_one_line(capsys, *words)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_command_is_one_line(monkeypatch, capsys):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("deviloc_ros.maps.store.Map.open", interrupted)
    assert status_of("localize", "map", "a.png") == 130
    assert capsys.readouterr().err == "deviloc: interrupted\n"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("map", "info"), 128 + signal.SIGPIPE), (("localize", "--help"), 0)],  # argparse says nothing of it either
)
@pytest.mark.parametrize("buffered", [True, False])
def test_a_pipe_that_nobody_reads_ends_it_without_a_word(room_folder, arguments, status, buffered):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, *(() if buffered else ("-u",)), "-m", "deviloc_ros", *arguments, str(room_folder)]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (result.returncode, result.stderr) == (status, "")


def test_with_its_output_closed_it_says_nothing(room_folder):
    shell = f'exec "{sys.executable}" -m deviloc_ros map info "{room_folder}" >&-'
    result = subprocess.run(shell, shell=True, stderr=subprocess.PIPE, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_grammar_errors_and_the_version_come_from_argparse(capsys):
    assert status_of() == 2 and status_of("build-map") == 2 and status_of("fly") == 2
    capsys.readouterr()
    assert status_of("--version") == 0 and capsys.readouterr().out.strip() == __version__


def test_python_m_reaches_the_same_command():
    result = subprocess.run([sys.executable, "-m", "deviloc_ros", "--version"], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (0, __version__)


@pytest.mark.data
def test_evaluate_writes_the_documented_keys(data, tmp_path, capsys):
    assert status_of("evaluate", "kitchen-72", "--data", data, "--every", 20, "--json", tmp_path / "out.json") == 0
    summary = json.loads((tmp_path / "out.json").read_text())
    assert set(summary) >= SUMMARY_KEYS
    run = {name: summary[name] for name in ("protocol", "matcher", "references", "retrieval", "queries", "wrong_fixes")}
    assert list(run.values()) == ["kitchen-72", "xfeat", 5, "true-pose", 3, 0]
    assert set(summary["recall"]) == {"1cm_1deg", "2cm_2deg", "5cm_5deg", "10cm_5deg"}
    assert set(summary["latency_ms"]) == {"p50", "p95", "stages"} and set(summary["map"]) == {"views", "bytes"}
    assert "| kitchen-72 | xfeat" in capsys.readouterr().out


@pytest.mark.parametrize("flag", [["--depth"], ["--lifts", "pin"], ["--matchers", "xfeat"], ["--remember-matches"]])
def test_evaluate_refuses_to_change_how_a_given_map_was_built(flag, tmp_path, capsys):
    assert status_of("evaluate", "kitchen-12", "--map", tmp_path, *flag) == 2
    assert_one_line(capsys, "--map is built already", flag[0])


@pytest.mark.parametrize(
    "line, proposals",
    [
        ("deviloc bu", {"build-map"}),
        ("deviloc localize --ca", {"--camera"}),
        ("deviloc build-map --matcher x", {"xfeat", "xfeat-lighterglue"}),
        ("deviloc lab ben", {"bench", "benchmark"}),
        ("deviloc lab evaluate --ret", {"--retrieval"}),
    ],
)
def test_a_shell_completes_commands_and_flags(line, proposals, tmp_path):
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "answer"), "_ARGCOMPLETE_IFS": "\n"}
    asked |= {"COMP_LINE": line, "COMP_POINT": str(len(line))}
    subprocess.run([sys.executable, "-m", "deviloc_ros"], env=os.environ | asked, check=True)
    assert {word.strip() for word in (tmp_path / "answer").read_text().splitlines()} == proposals


def test_a_bench_of_the_repository_is_missed_with_a_word(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "benchmarks", None)
    assert status_of("lab", "bench", "map-sources") == 2
    assert_one_line(capsys, "benchmarks/", "repository")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("localize", "a.map", "b.png", "--camra", "X"), "unrecognized arguments: --camra X; did you mean '--camera'?"),
        (("localize", "a.map", "b.png", "--evry=3"), "did you mean '--every'?"),
        (("map", "report", "a.map", "--output", "b", "--within-metres", "1"), "did you mean '--within-m'?"),
        (("localize", "a.map", "b.png", "--zzz"), "unrecognized arguments: --zzz"),
        (("map", "inf", "a.map"), "invalid choice: 'inf'"),
    ],
)
def test_a_misspelt_flag_is_one_sentence_with_the_nearest(words, says, capsys):
    with pytest.raises(SystemExit) as exit_status:
        main(list(words))
    error = capsys.readouterr().err
    assert exit_status.value.code == 2 and says in error and "usage:" not in error and len(error.splitlines()) == 2


@pytest.mark.parametrize(
    ("command", "names", "flag"),
    [
        ("map drop", ["a.map", "b.png", "c d.png"], ["--session", "night"]),
        ("map merge", ["a.map", "b.map", "c.map"], ["--output", "d.map"]),
        ("localize", ["a.map", "b.png", "c.png"], ["--every", "2"]),
        ("compare-poses", ["a.txt", "b.txt", "c.txt"], ["--align", "rigid"]),
        ("evaluate-bag", ["a", "b"], ["--map", "c.map"]),
    ],
)
def test_a_flag_may_stand_anywhere_among_names(command, names, flag):
    first, *others = [
        vars(parse([*command.split(), *names[:before], *flag, *names[before:]])) for before in range(len(names) + 1)
    ]
    assert set(names) < {
        str(word) for value in first.values() for word in (value if isinstance(value, list) else [value])
    }
    assert all(other == first for other in others)


def test_map_alone_lists_what_there_is(capsys):
    assert status_of("map") == 2
    assert "how good a map is" in capsys.readouterr().out


def test_a_map_that_is_not_there_is_told_from_what_is_none(room_folder, tmp_path, capsys):
    (tmp_path / "above").mkdir()
    (tmp_path / "above" / "kitchen.map").symlink_to(room_folder)
    (tmp_path / "file").touch()
    for path, says in (
        ("above/kichen.map", "above/kichen.map: no such map; did you mean 'kitchen.map'?"),
        ("above", "above: not a map, but a folder of maps; give one of them: kitchen.map"),
        ("file", "file: a file; a map is a folder"),
        ("nowhere/at/all.map", "all.map: no such map"),
    ):
        assert status_of("map", "info", tmp_path / path) == 2
        assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "says"), [("metadata.yaml", "evaluate-bag localizes its images"), ("walk.MP4", "ffmpeg -i ")]
)
def test_what_is_no_folder_of_photographs_is_told_with_what_to_do(room_folder, tmp_path, capsys, name, says):
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / name).touch()
    assert status_of("localize", room_folder, tmp_path / "drive") == 1
    assert says in capsys.readouterr().out
    for images in (tmp_path / "drive", tmp_path / "drive" / name):
        assert status_of("build-map", "--images", images, "--output", tmp_path / "a.map") == 2
        assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [name for group in GROUPS.values() for name in group if name not in ("lab", "demo")]
)
def test_each_command_shows_examples_that_it_takes(command, capsys):
    assert EXAMPLES[command]
    with pytest.raises(SystemExit):
        parse([command, "--help"])
    said = capsys.readouterr().out
    for what, words in EXAMPLES[command]:
        parse([command, *shlex.split(words)])
        assert f"  # {what}\n  deviloc {command} {words}\n" in said
