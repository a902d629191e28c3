"""Threads of the pool that hand out work of their own do it themselves: waiting for each other none would end."""

import subprocess
import sys

WORK_WITHIN_WORK = """
from deviloc_ros import threads
threads.count_threads = lambda: 2
def outer(number):
    return threads.map_on_threads(lambda inner: 10 * number + inner, range(5))
found = threads.map_on_threads(outer, range(8))
assert found == [[10 * number + inner for inner in range(5)] for number in range(8)], found
"""


def test_work_within_work_ends():
    subprocess.run([sys.executable, "-c", WORK_WITHIN_WORK], check=True, timeout=120)
