"""Write the page docs/research/node.md: what was measured, on what, and how."""

from __future__ import annotations

import os
from dataclasses import dataclass

from deviloc_ros.evaluation.metrics import WRONG_FIX_DEG, WRONG_FIX_M

Row = tuple[str, str]

INTRODUCTION = """\
# The node on real images

Written by `python -m deviloc_ros bench node --data DATA --output FILE` in one run: {cores} CPU cores, the network on
{device}, load average {load} before the start (other work on the machine makes times longer), node parameters at their
defaults.

A program simulates the robot. Over DDS it sends the images of 7-Scenes Red Kitchen, seq-02, as JPEG with their
calibration, and odometry with about 1 % of drift as TF, to the node in a separate process, and records what the node
publishes. Images are sent at their recorded rate and stamped with the time they are sent. The map is made of every 12th
frame of seq-01 (50 views, kitchen-12). A fix is wrong if it is off by more than {wrong_m} m or {wrong_deg:.0f} degrees.
After a jump, a pose needs several images that agree (`tracking.confirmations`); odometry does not see the jumps.
"""


@dataclass(frozen=True, slots=True)
class PageTable:
    """Hold what was measured, under a heading."""

    heading: str
    rows: list[Row]

    def __str__(self) -> str:
        lines = [f"## {self.heading}", "", "| measured | value |", "|---|---|"]
        return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in self.rows)])


def make_page(tables: list[PageTable], device: str, load: float) -> str:
    """Make the whole page; `device` is torch's name of it, `load` the machine's load average before the run."""
    introduction = INTRODUCTION.format(
        cores=os.cpu_count(), device=device, load=f"{load:.1f}", wrong_m=WRONG_FIX_M, wrong_deg=WRONG_FIX_DEG
    )
    return "\n\n".join([introduction.rstrip(), *map(str, tables)]) + "\n"
