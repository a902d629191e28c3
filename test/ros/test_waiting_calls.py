"""Service calls that wait."""

import threading

import pytest

pytest.importorskip("rclpy")

from rclpy.executors import SingleThreadedExecutor

from deviloc_ros.ros.waiting_calls import WaitingCalls

pytestmark = pytest.mark.ros

FOREVER_S = 600.0


@pytest.fixture
def executor(ros_node):
    executor = SingleThreadedExecutor()
    executor.add_node(ros_node)
    yield executor
    executor.shutdown()


def test_an_answer_reaches_all_who_wait_and_nobody_later(ros_node, executor):
    calls = WaitingCalls(ros_node)
    first, second = (executor.create_task(calls.wait, FOREVER_S, str) for _ in range(2))
    while len(calls._waiting) != 2:
        executor.spin_once(timeout_sec=0.02)
    threading.Thread(target=calls.answer, args=("here",)).start()
    executor.spin_until_future_complete(first, 20)
    executor.spin_until_future_complete(second, 20)
    assert first.result() == second.result() == "here" and not calls
    late = executor.create_task(calls.wait, 0.1, lambda: "too late")
    executor.spin_until_future_complete(late, 20)
    assert late.result() == "too late" and not calls


def test_each_waits_for_as_long_as_it_was_told(ros_node, executor):
    calls = WaitingCalls(ros_node)
    patient = executor.create_task(calls.wait, FOREVER_S, lambda: "its time is up")
    hasty = executor.create_task(calls.wait, 0.1, lambda: "too late")
    executor.spin_until_future_complete(hasty, 20)
    assert hasty.result() == "too late" and not patient.done() and calls
    calls.answer("here")
    executor.spin_until_future_complete(patient, 20)
    assert patient.result() == "here"


def test_an_answer_that_comes_before_anyone_waits_for_it_is_not_lost(ros_node, executor, monkeypatch):
    calls = WaitingCalls(ros_node)
    create_timer = ros_node.create_timer

    def slowly(*args, **options):
        calls.answer("here")
        return create_timer(*args, **options)

    monkeypatch.setattr(ros_node, "create_timer", slowly)
    asked = executor.create_task(calls.wait, FOREVER_S, str)
    executor.spin_until_future_complete(asked, 20)
    assert asked.result() == "here"
