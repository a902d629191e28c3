"""Threads of the pool that hand out work of their own do it themselves: waiting for each other none would end."""

from concurrent.futures import ThreadPoolExecutor

from deviloc_ros.threads import count_threads, map_on_threads


def test_work_within_work_ends():
    def outer(number: int) -> list[int]:
        return map_on_threads(lambda inner: 10 * number + inner, range(5))

    expected = [[10 * number + inner for inner in range(5)] for number in range(4 * count_threads())]
    with ThreadPoolExecutor(1) as watched:
        assert watched.submit(map_on_threads, outer, range(len(expected))).result(timeout=60) == expected
