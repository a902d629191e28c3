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
    worker.hand(1)
    assert begun.wait(10)
    assert worker.hand(2) is None and worker.hand(3) == 2
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

    repeater = Repeater(0.01, call, errors.append)
    wait_until(lambda: len(calls) >= 5, limit_s=5)
    repeater.join()
    count = len(calls)
    time.sleep(0.05)
    assert len(calls) == count and [str(error) for error in errors] == ["once"]
