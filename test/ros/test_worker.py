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


def test_the_worker_takes_the_newest_reads_no_more_than_one_ahead_and_survives_errors():
    begun, proceed, read, handled, errors = threading.Event(), threading.Event(), [], [], []

    def handle(item: str) -> None:
        begun.set()
        assert proceed.wait(10)
        handled.append(item)
        if item == "1":
            raise RuntimeError("one")

    worker = Worker(lambda item: (read.append(item), str(item))[1], handle, lambda _, error: errors.append(str(error)))
    worker.hand_over(1)
    assert begun.wait(10)
    worker.hand_over(2)
    wait_until(lambda: read == [1, 2])
    assert [worker.hand_over(item) for item in (3, 4)] == [None, 3]
    time.sleep(0.05)
    assert read == [1, 2]
    proceed.set()
    wait_until(lambda: handled == ["1", "2", "4"])
    worker.join()
    assert read == [1, 2, 4] and errors == ["one"]
    assert not {"reader", "localizer"} & {thread.name for thread in threading.enumerate()}


def test_an_item_that_cannot_be_read_is_told_and_the_next_is_read():
    errors, handled = [], []
    worker = Worker(lambda item: 1 // item, handled.append, lambda item, error: errors.append((item, type(error))))
    worker.hand_over(0)
    wait_until(lambda: errors)
    worker.hand_over(1)
    wait_until(lambda: handled)
    worker.join()
    assert errors == [(0, ZeroDivisionError)] and handled == [1]


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

    def read(item: int) -> int:
        if item == 0:
            raise error
        return item

    worker = Worker(read, handle, report)
    for state, item in zip(worker.states, (0, 1), strict=True):
        worker.hand_over(item)
        wait_until(lambda state=state: state().failures > 0)
        assert state().is_alive and not state().complaint and state().failures == (1 if second is None else 2)
        assert type(error).__name__ in str(state())
    failures = state().failures
    worker.hand_over(2)
    assert done.wait(10)
    worker.join()
    items, called = iter((1, 2)), []
    repeater = Repeater("repeater", 0.001, lambda: (called.append(1), handle(next(items, 2)))[0], report)
    wait_until(lambda: len(called) > 3)
    assert repeater.state().is_alive and repeater.state().failures == failures
    repeater.join()


def test_a_thread_that_has_ended_or_is_stuck_is_told_so(monkeypatch):
    monkeypatch.setattr("deviloc_ros.ros.worker.STUCK_AFTER_S", 0.0)
    begun, proceed = threading.Event(), threading.Event()
    worker = Worker(str, lambda item: (begun.set(), proceed.wait(10))[0], lambda item, error: None)
    reader, localizer = worker.states
    assert str(reader()) == str(localizer()) == "running"
    worker.hand_over(1)
    assert begun.wait(10)
    wait_until(lambda: "is stuck" in localizer().complaint)
    assert str(reader()) == "running"  # it waits, and that is no work
    proceed.set()
    wait_until(lambda: not localizer().complaint)
    worker.join()
    assert [state().complaint for state in worker.states] == [
        "thread 'reader' has ended",
        "thread 'localizer' has ended",
    ]
