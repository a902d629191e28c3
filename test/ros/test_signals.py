"""A signal ends the process quietly, also where what it ends is not ready for that yet."""

import subprocess
import sys

PROGRAM = """
import os, signal, threading
from deviloc_ros.ros.signals import call_on_signal, take_signals

take_signals()
done, refusals = threading.Event(), iter(range(3))

def end():
    if next(refusals, None) is not None:
        raise RuntimeError("coming up")
    done.set()

call_on_signal(end)
os.kill(os.getpid(), signal.SIGTERM)
print("ended" if done.wait(30) else "not ended")
"""


def test_an_end_that_is_refused_is_asked_for_again():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "ended\n", "")
