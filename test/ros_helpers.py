"""What tests with real ROS nodes share: a domain of their own, and waiting with a limit.

Imported by conftest.py, so `ros_domain`, `ros` and `ros_node` are fixtures everywhere under test/. Nothing is imported
from ROS until one of them is used.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FASTDDS_PROFILES = ROOT / "config" / "fastdds.xml"
# Joining a running publisher has been seen to take 3.3 s on an idle machine.
DISCOVERY_LIMIT_S = 20.0
DOMAIN_IDS = range(20, 100)  # above 101 the ports meet the ephemeral ones of Linux


@contextmanager
def free_domain_id() -> Iterator[int]:
    """A ROS_DOMAIN_ID that no other test has now, of those the one that was left longest ago.

    A node that was killed is heard of in its domain for 20 s more.
    """
    for path in sorted(map(domain_lock, DOMAIN_IDS), key=last_used_s):
        with open(path, "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            try:
                yield int(path.stem.rsplit("_", 1)[1])
            finally:
                os.utime(path)
            return
    raise RuntimeError(f"all ROS domains in {DOMAIN_IDS} are taken by other tests")


def domain_lock(domain_id: int) -> Path:
    """The file that is locked while a domain is used."""
    return Path(tempfile.gettempdir()) / f"deviloc_ros_test_domain_{domain_id}.lock"


def last_used_s(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Environment for this process and its children: a domain of one's own, on this machine only."""
    pytest.importorskip("rclpy")
    with free_domain_id() as domain_id:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(FASTDDS_PROFILES))
        yield domain_id


@pytest.fixture
def ros(ros_domain: int) -> Iterator[None]:
    """rclpy's default context, initialised for one test."""
    import rclpy

    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def ros_node(ros: None) -> Iterator:
    """A plain node; nobody spins it but the test."""
    import rclpy

    node = rclpy.create_node("test_node")
    yield node
    node.destroy_node()


def spin_until(nodes, condition: Callable[[], bool], limit_s: float = DISCOVERY_LIMIT_S) -> None:
    """Spin one node or a list of them until the condition holds; fail the test if it does not within the limit."""
    from rclpy.executors import SingleThreadedExecutor

    nodes = nodes if isinstance(nodes, list) else [nodes]
    executor = SingleThreadedExecutor()
    for node in nodes:
        executor.add_node(node)
    deadline_s = time.monotonic() + limit_s
    try:
        while not condition():
            if time.monotonic() > deadline_s:
                pytest.fail(f"not within {limit_s:.0f} s: {getattr(condition, '__name__', condition)}")
            executor.spin_once(timeout_sec=0.02)
    finally:
        for node in nodes:
            executor.remove_node(node)
        executor.shutdown()


def wait_until(condition: Callable[[], bool], limit_s: float = DISCOVERY_LIMIT_S) -> None:
    """Poll a condition that something else makes true (a process, a spinning thread)."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline_s:
            pytest.fail(f"not within {limit_s:.0f} s: {getattr(condition, '__name__', condition)}")
        time.sleep(0.01)


@contextmanager
def python_process(*arguments: str) -> Iterator[subprocess.Popen]:
    """A child `python ...` with this process's environment; ended, and its output shown, when the block ends."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=output, stderr=subprocess.STDOUT, env=dict(os.environ), cwd=ROOT
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            output.seek(0)
            print(output.read())
