"""Work is done in order and named, by this process and by Ray alike; a worker that dies costs only its task."""

import io
import os
import socket
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from rooms import QUIET, room_config
from tasks import divided, folder, killed, once_killed, open_number, threads, total, unreadable_at_first

from deviloc_ros.bags.writer import BagWriter
from deviloc_ros.cli import main
from deviloc_ros.commands.flags.common import create_workers
from deviloc_ros.config_fields import from_dict
from deviloc_ros.mapping.build import MapBuilder
from deviloc_ros.maps.store import Map
from deviloc_ros.sfm.map_networks import Networks
from deviloc_ros.sources.base import Source
from deviloc_ros.workers.base import Serial, WorkError
from deviloc_ros.workers.ray_cluster import RETRIES, RayWorkers, gpu_share

NAMES = [f"image {number}" for number in range(12)]
THREE = ("there", "dark", "back")
BAR = {"desc": "numbers", "unit": "number"}


@pytest.fixture(scope="module")
def ray():
    """Ray on this machine."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)  # its processes import `tasks`
        with RayWorkers("local", quiet=True) as workers:
            yield workers


@pytest.fixture(params=["serial", "ray"])
def workers(request):
    return QUIET if request.param == "serial" else request.getfixturevalue("ray")


def test_results_come_in_the_order_of_the_tasks(workers):
    tasks = ((number, 2) for number in range(12))
    assert list(workers.map(divided, tasks, NAMES, **BAR)) == [number / 2 for number in range(12)]
    assert list(workers.map(divided, [], [], **BAR)) == []


def test_what_is_shared_arrives(workers):
    first, second = workers.share(np.ones(3)), workers.share(torch.ones(4))
    assert list(workers.map(total, [(first, second), (first, torch.zeros(1))], NAMES[:2], **BAR)) == [7, 3]


def test_errors_name_the_task(workers):
    with pytest.raises(WorkError, match=r"^image 5: it is the fifth$"):
        list(workers.map(open_number, [(5,)], ["image 5"], **BAR))
    with pytest.raises(WorkError, match=r"^image 6: .*No such file or directory: '/6'"):
        list(workers.map(open_number, [(6,)], ["image 6"], **BAR))
    with pytest.raises(RuntimeError, match=r"^image 7: ZeroDivisionError"):
        list(workers.map(divided, [(7, 0)], ["image 7"], **BAR))


def test_a_task_named_in_its_error_is_not_named_twice(workers):
    with pytest.raises(WorkError, match=r"^it is the fifth$"):
        list(workers.map(open_number, [(5,)], ["fifth"], **BAR))


def test_tasks_have_as_many_threads_as_this_process(workers):
    assert list(workers.map(threads, [()] * 3, NAMES[:3], **BAR)) == [torch.get_num_threads()] * 3


def test_relative_paths_start_where_they_do_here(workers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list(workers.map(folder, [()], NAMES[:1], **BAR)) == [tmp_path]


def test_progress_is_shown_unless_quiet(capsys):
    list(Serial().map(divided, [(1, 1), (2, 1)], NAMES[:2], **BAR))
    assert "numbers: 100%" in capsys.readouterr().err
    list(QUIET.map(divided, [(1, 1), (2, 1)], NAMES[:2], **BAR))
    assert not capsys.readouterr().err


def test_a_worker_killed_in_the_middle_costs_only_its_task(ray, tmp_path):
    tasks = [(tmp_path / "marker", number) for number in range(12)]
    assert list(ray.map(once_killed, tasks, NAMES, **BAR)) == list(range(12))
    assert (tmp_path / "marker").exists()


def test_a_file_system_that_fails_once_is_asked_again(ray, tmp_path):
    tasks = [(tmp_path / "marker", number) for number in range(12)]
    assert list(ray.map(unreadable_at_first, tasks, NAMES, **BAR)) == list(range(12))


def test_a_task_that_kills_its_workers_is_named(ray):
    with pytest.raises(WorkError, match=rf"^image 5: given up, {1 + RETRIES} workers died"):
        list(ray.map(killed, [(number,) for number in range(12)], NAMES, **BAR))
    assert list(ray.map(divided, [(1, 1)], NAMES[:1], **BAR)) == [1]


@pytest.mark.parametrize(("source", "refine"), [("sift", True), ("both", False)])
def test_a_map_is_the_same_to_the_bit(room, ray, tmp_path, source, refine):
    config = from_dict(room_config("xfeat-lighterglue"), {"lift": {"landmark_source": source}})
    for name, workers in {"serial": QUIET, "ray": ray}.items():
        MapBuilder(Networks(config), workers).build(Source(room.images[:4], []), tmp_path / name, refine=refine)
    assert Map.open(tmp_path / "serial").identity == Map.open(tmp_path / "ray").identity


def test_networks_that_were_given_do_not_leave_their_process():
    with pytest.raises(TypeError, match="cannot go to other workers"):
        Networks(room_config(), inference=Networks(room_config()).inference).__reduce__()


def test_without_ray_its_extra_is_named(monkeypatch):
    monkeypatch.setattr("deviloc_ros.workers.ray_cluster.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--ray needs the extra `ray`: pip install ray, or deviloc_ros\[ray\]"):
        create_workers("local")


@pytest.mark.parametrize("noted", ["by the flag", "by the user", "by Ray"])
def test_an_address_without_ray_is_named(monkeypatch, tmp_path, noted):
    monkeypatch.setattr("deviloc_ros.workers.ray_cluster.find_spec", lambda name: name)
    monkeypatch.setattr("deviloc_ros.workers.ray_cluster.CURRENT_CLUSTER", tmp_path / "noted")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with socket.socket() as free:  # bound, so that nobody else can listen there
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        if noted == "by the user":
            monkeypatch.setenv("RAY_ADDRESS", address)
        elif noted == "by Ray":
            (tmp_path / "noted").write_text(address)
        with pytest.raises(ValueError, match=f"--ray {address}: no Ray cluster answers there"):
            RayWorkers(address if noted == "by the flag" else "auto")


def test_keyframes_for_a_cluster_are_where_all_machines_reach_them(tmp_path, capsys):
    with pytest.raises(SystemExit) as done:
        main(["build-map", "--bag", "drive", "--tf", "map", "camera", "--output", str(tmp_path), "--ray", "auto"])
    assert done.value.code == 2 and "--ray auto: give --keyframes DIR" in capsys.readouterr().err


def test_a_cluster_without_a_gpu_is_refused_where_this_process_has_one(monkeypatch):
    assert gpu_share("auto", {"CPU": 2, "GPU": 1}) == (0.25 if torch.cuda.is_available() else 0)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert gpu_share("auto", {"CPU": 2, "GPU": 1}) == 0.25
    with pytest.raises(ValueError, match="--ray auto: this machine computes on a GPU and the cluster has none"):
        gpu_share("auto", {"CPU": 2})


@pytest.fixture(scope="module")
def recordings(room, tmp_path_factory):
    """A folder of two recordings of the same places, and one without images."""
    path = tmp_path_factory.mktemp("recordings")
    for name, seen in (("there", slice(None)), ("back", slice(None, None, -1)), ("dark", slice(0))):
        with BagWriter(path / name) as writer:
            writer.write_pose("/truth", 1, "map", room.query_poses[0].inverse())
            for number, (pose, pixels) in enumerate(zip(room.query_poses[seen], room.queries[seen], strict=True)):
                time_ns = (number + 1) * 100_000_000
                writer.write_pose("/truth", time_ns, "map", pose.inverse())
                writer.write_camera_info("/camera_info", time_ns, "camera", room.camera)
                writer.write_image("/image", time_ns, "camera", pixels)
    return path


def evaluate(recordings: Path, names: tuple[str, ...], room_folder: Path, output: Path, *more: str) -> int:
    bags = [recordings / name for name in names]
    arguments = ["evaluate-bag", *bags, "--map", room_folder, "--output", output, "--ground-truth-topic", "/truth"]
    arguments += ["--base-frame", "camera", "--set", "tracking.confirmations=1", "--require", "tried>=4", *more]
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    return done.value.code


@pytest.fixture(scope="module")
def evaluated(room_folder, recordings, tmp_path_factory):
    """The three by one process: where, and what was said."""
    output = tmp_path_factory.mktemp("evaluated")
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as error:
        assert evaluate(recordings, THREE, room_folder, output) == 2
    return output, out.getvalue(), error.getvalue()


def test_several_recordings_have_a_folder_each_and_a_table(evaluated):
    output, out, _ = evaluated
    table = (output / "recordings.md").read_text()
    assert table in out and [line.split()[1] for line in table.splitlines()[2:]] == ["there", "back", "all"]
    assert "| all       | 6 / 6 " in table
    assert all((output / name / "report.html").is_file() for name in ("there", "back"))


def test_what_is_required_is_required_of_each_recording(evaluated):
    _, _, error = evaluated
    assert all(f"FAILED: {name}: tried >= 4 was required, it is 3" in error for name in ("there", "back"))


def test_a_recording_that_cannot_be_evaluated_costs_only_itself(evaluated):
    output, _, error = evaluated
    assert "deviloc: 1 of 3 recordings could not be evaluated:" in error and "dark: no topic of images" in error
    assert (output / "back/summary.json").is_file() and not (output / "dark/summary.json").exists()


def written(output: Path) -> dict[str, bytes]:
    """Files by their path, without those of measured times."""
    files = {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}
    return {name: content for name, content in files.items() if "latency" not in name and "report" not in name}


def test_recordings_are_evaluated_the_same_to_the_bit(ray, evaluated, room_folder, recordings, tmp_path, monkeypatch):
    monkeypatch.setattr("deviloc_ros.commands.evaluate_bag.create_workers", lambda address: nullcontext(ray))
    assert evaluate(recordings, THREE, room_folder, tmp_path, "--ray", "local") == 2
    expected = written(evaluated[0])
    assert len(expected) == 13 and written(tmp_path) == expected


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--rerun", "a.rrd"], "--rerun is for one recording"),
        (["--ray", "local", "--real-time"], "--real-time plays a recording to a node on this machine"),
    ],
)
def test_what_does_not_go_with_several_recordings_is_refused(
    room_folder, recordings, tmp_path, capsys, monkeypatch, more, says
):
    monkeypatch.setattr("deviloc_ros.evaluation.recordings.rerun_recording.find_spec", lambda name: name)
    assert evaluate(recordings, THREE, room_folder, tmp_path / "runs", *more) == 2
    assert says in capsys.readouterr().err


def test_two_recordings_of_one_name_are_refused(room_folder, recordings, tmp_path, capsys):
    assert evaluate(recordings, ("there", "there"), room_folder, tmp_path / "runs") == 2
    assert f"{tmp_path}/runs/there would be of two recordings" in capsys.readouterr().err
