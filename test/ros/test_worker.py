"""The one-slot mailbox and its thread."""

import threading
import time

import pytest
from ros_helpers import wait_until

pytest.importorskip("rclpy")

from deviloc_ros.ros.worker import Mailbox, Repeater, Worker


def test_a_newer_item_replaces_the_older():
    mailbox = Mailbox()
    assert [mailbox.put(1), mailbox.put(2), mailbox.put(3)] == [None, 1, 2]
    assert mailbox.take() == 3


def test_a_closed_mailbox_gives_nothing():
    mailbox = Mailbox()
    mailbox.put(1)
    mailbox.close()
    assert mailbox.take() is None


def test_the_worker_takes_the_newest_and_survives_errors():
    begun, proceed, seen, errors, done = threading.Event(), threading.Event(), [], [], threading.Event()

    def handle(item: int) -> None:
        seen.append(item)
        begun.set()
        proceed.wait(10)
        if item == 1:
            raise RuntimeError("one")
        done.set()

    worker = Worker(handle, lambda _, error: errors.append(error))
    worker.hand_over(1)
    assert begun.wait(10)
    assert worker.hand_over(2) is None and worker.hand_over(3) == 2
    proceed.set()
    assert done.wait(10)
    worker.join()
    assert seen == [1, 3] and [str(error) for error in errors] == ["one"]
    assert not any(thread.name == "localizer" for thread in threading.enumerate())


def test_a_repeater_goes_on_after_an_error_and_ends_when_joined():
    calls, errors = [], []

    def call() -> None:
        calls.append(time.monotonic())
        if len(calls) == 2:
            raise ValueError("once")

    repeater = Repeater("repeater", 0.01, call, errors.append)
    wait_until(lambda: len(calls) >= 5, limit_s=5)
    repeater.join()
    count = len(calls)
    time.sleep(0.05)
    assert len(calls) == count and [str(error) for error in errors] == ["once"]


KINDS = [
    RuntimeError("work"),
    KeyError("work"),
    SystemExit(1),
    KeyboardInterrupt(),
    MemoryError(),
    RecursionError("work"),
]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("error", [*KINDS, Unspeakable()], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("second", [None, *KINDS, Unspeakable()], ids=lambda error: type(error).__name__)
def test_whatever_the_work_and_its_error_handler_raise_the_threads_go_on(error, second):
    done = threading.Event()

    def handle(item: int) -> None:
        if item == 1:
            raise error
        done.set()

    def report(*_) -> None:
        if second is not None:
            raise second

    worker = Worker(handle, report)
    worker.hand_over(1)
    wait_until(lambda: worker.state().failures > 0)
    worker.hand_over(2)
    assert done.wait(10)
    state = worker.state()
    assert state.is_alive and not state.complaint and state.failures == (1 if second is None else 2)
    assert type(error).__name__ in str(state)
    worker.join()
    items, called = iter((1, 2)), []
    repeater = Repeater("repeater", 0.001, lambda: (called.append(1), handle(next(items, 2)))[0], report)
    wait_until(lambda: len(called) > 3)
    assert repeater.state().is_alive and repeater.state().failures == state.failures
    repeater.join()


def test_a_thread_that_has_ended_or_is_stuck_is_told_so(monkeypatch):
    monkeypatch.setattr("deviloc_ros.ros.worker.STUCK_AFTER_S", 0.0)
    begun, proceed = threading.Event(), threading.Event()
    worker = Worker(lambda item: (begun.set(), proceed.wait(10))[0], lambda item, error: None)
    assert str(worker.state()) == "running"
    worker.hand_over(1)
    assert begun.wait(10)
    wait_until(lambda: "is stuck" in worker.state().complaint)
    proceed.set()
    wait_until(lambda: not worker.state().complaint)
    worker.join()
    assert worker.state().complaint == "thread 'localizer' has ended"
