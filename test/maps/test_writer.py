"""Whoever writes a map may be killed at any moment: readers find the old map or the new one, never a part of either."""

import multiprocessing
import shutil
import signal
from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from small_maps import CONFIG, PARTS, reference_view, use_everything, work, write_map

from deviloc_ros.maps.edit import align_map, drop_views, merge_maps
from deviloc_ros.maps.manifest import read_manifest
from deviloc_ros.maps.store import Map, MapError
from deviloc_ros.maps.writer import MapWriter, find_unnamed_files

DEADLINE_S = 60
OPERATIONS = ("build", "update", "merge")


@pytest.fixture(scope="module")
def processes():
    """Processes forked from one that has imported what they need, so that each starts in milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["deviloc_ros.maps.edit", "faiss"])
    return context


@pytest.fixture
def old(tmp_path):
    write_map(tmp_path / "old.map", [reference_view(number) for number in range(3)])
    for part, number in zip(PARTS, (7, 9), strict=True):
        write_map(tmp_path / part, [reference_view(number), reference_view(number + 1)])
    return tmp_path / "old.map"


def identities(operation: str, old, tmp_path) -> set[str]:
    """Of the map before and after an operation that nothing disturbs."""
    shutil.copytree(old, tmp_path / "undisturbed.map")
    work(operation, tmp_path / "undisturbed.map")
    return {Map.open(old).identity, use_everything(tmp_path / "undisturbed.map").identity}


def run_until_killed(processes, *arguments, after_s: float = DEADLINE_S) -> bool:
    """Whether the process was killed, by itself or by us after that time."""
    process = processes.Process(target=work, args=arguments)
    process.start()
    process.join(after_s)
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def test_where_nothing_can_be_written_is_said_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(MapError, match=r"new.map: cannot be made, .*file is a file"):
        MapWriter(tmp_path / "file" / "new.map", CONFIG)
    MapWriter(tmp_path / "folders" / "to come" / "new.map", CONFIG)
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)  # whoever tests may be allowed everything
    with pytest.raises(MapError, match=r"no permission|nothing can be written"):
        MapWriter(tmp_path / "new.map", CONFIG)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_any_file_operation_the_map_is_the_old_or_the_new(operation, old, tmp_path, processes):
    allowed = identities(operation, old, tmp_path)
    seen, killed = set(), 0
    for event in np.random.default_rng(0).choice(np.arange(1, 33), 7, replace=False).tolist():
        shutil.copytree(old, tmp_path / "a.map")
        killed += run_until_killed(processes, operation, tmp_path / "a.map", event)
        seen.add(use_everything(tmp_path / "a.map").identity)
        work("build", tmp_path / "a.map")  # what was left behind does not matter to the next writer, who clears it away
        assert len(use_everything(tmp_path / "a.map")) == 2
        assert find_unnamed_files(tmp_path / "a.map", read_manifest(tmp_path / "a.map")) == []
        shutil.rmtree(tmp_path / "a.map")
    assert seen <= allowed and killed > 5


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_a_random_time_the_map_is_the_old_or_the_new(operation, old, tmp_path, processes):
    allowed = identities(operation, old, tmp_path)
    for after_s in np.random.default_rng(1).uniform(0.01, 0.2, 3):
        shutil.copytree(old, tmp_path / "a.map")
        run_until_killed(processes, operation, tmp_path / "a.map", after_s=after_s)
        assert use_everything(tmp_path / "a.map").identity in allowed
        shutil.rmtree(tmp_path / "a.map")


def test_a_first_build_that_is_killed_leaves_no_map_and_the_next_one_works(tmp_path, processes):
    assert run_until_killed(processes, "build", tmp_path / "a.map", 8)
    assert not (tmp_path / "a.map").exists() and (tmp_path / ".a.map.partial").exists()
    work("build", tmp_path / "a.map")
    assert len(use_everything(tmp_path / "a.map")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.map"]


def test_two_processes_do_not_write_one_map(old):
    with (
        MapWriter(old, CONFIG, overwrite=True),
        pytest.raises(MapError, match="another process is writing this map"),
        MapWriter(old, CONFIG, overwrite=True),
    ):
        pass
    work("update", old)
    assert len(use_everything(old)) == 5


def test_an_update_touches_only_what_is_new(old):
    def state() -> dict[str, tuple[int, int]]:
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (old / "views").iterdir()}

    before = state()
    work("update", old)
    after = state()
    assert len(after) == 5 and {name: after[name] for name in before} == before


def test_a_view_is_in_a_map_once(old):
    with pytest.raises(MapError, match=r"two views are named 'view 7\.png'"):
        write_map(old, [reference_view(7)] * 2, overwrite=True)
    assert len(use_everything(old)) == 3


def test_a_reader_is_told_that_the_map_was_replaced(old):
    reader = Map.open(old)
    work("build", old)
    with pytest.raises(MapError, match="was changed since it was opened; open it again"):
        reader.view(0)


def test_a_link_to_a_map_stays_a_link(old, tmp_path):
    (tmp_path / "link.map").symlink_to(old)
    work("build", tmp_path / "link.map")
    assert (tmp_path / "link.map").is_symlink() and len(use_everything(old)) == 2


@pytest.mark.parametrize("far", [np.nan, np.inf, 1e30])
def test_a_map_that_nobody_could_open_is_not_written(old, far):
    """What is there stays."""
    before = use_everything(old).identity
    view, landmarks = reference_view(7)
    nowhere = pycolmap.Rigid3d(view.cam_from_world.rotation, np.full(3, far))
    for folder, overwrite in ((old, True), (old.with_name("new.map"), False)):
        with pytest.raises(MapError, match=f"{folder}: .*view 7"):
            write_map(folder, [(replace(view, cam_from_world=nowhere), landmarks)], overwrite=overwrite)
    assert use_everything(old).identity == before
    assert sorted(path.name for path in old.parent.iterdir()) == sorted(["old.map", *PARTS])


CHANGES = {
    "drop": lambda folder, identity: drop_views(folder, ["view 0.png"], identity),
    "align": lambda folder, identity: align_map(folder, TURN, folder, {}, overwrite=True, identity=identity),
    "align elsewhere": lambda folder, identity: align_map(folder, TURN, folder / "../n.map", {}, identity=identity),
}
TURN = pycolmap.Sim3d(1.0, pycolmap.Rotation3d(np.array([0, 0, 1.0])), np.array([1.0, 2, 3]))


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_worked_out_for_a_map_does_not_change_what_another_process_made_of_it(old, change):
    before = Map.open(old).identity
    align_map(old, TURN, old, {}, overwrite=True)  # as another process may while this one finds out what to do
    meanwhile = Map.open(old).identity
    with pytest.raises(MapError, match="another process has changed this map in the meantime"):
        CHANGES[change](old, before)
    assert use_everything(old).identity == meanwhile and not (old.parent / "n.map").exists()
    CHANGES[change](old, meanwhile)


@pytest.mark.parametrize("operation", ["align", "merge"])
def test_views_that_came_while_a_writer_waited_are_not_lost(old, tmp_path, monkeypatch, operation):
    enter = MapWriter.__enter__

    def enter_late(writer):
        monkeypatch.setattr(MapWriter, "__enter__", enter)
        work("update", old)  # whoever was first
        return enter(writer)

    monkeypatch.setattr(MapWriter, "__enter__", enter_late)
    if operation == "align":
        align_map(old, TURN, old, {}, overwrite=True)
    else:
        merge_maps([old, tmp_path / PARTS[1]], old, overwrite=True)
    assert {f"view {number}.png" for number in (0, 1, 2, 7, 8)} <= {r.name for r in use_everything(old).records}
