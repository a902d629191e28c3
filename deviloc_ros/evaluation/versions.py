"""Collect the versions and the device with which figures were made."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

import deviloc_ros

UNKNOWN_COMMIT = "unknown"


def collect_versions() -> dict[str, str]:
    """Return the versions of libraries, and the device."""
    packages = {name: version(name) for name in ("numpy", "pycolmap", "torch")}
    return {
        "deviloc_ros": deviloc_ros.__version__,
        "python": platform.python_version(),
        **packages,
        "device": device_name(),
    }


def device_name() -> str:
    """Return the GPU's name where there is one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def describe_commit() -> str:
    """Return the commit of the checkout this package runs from, and whether its code was changed since."""
    here = Path(__file__).parent
    try:
        run_git(
            here, "ls-files", "--error-unmatch", Path(__file__).name
        )  # a checkout of something else may be around it
        head = run_git(here, "rev-parse", "--short", "HEAD")
        changed = run_git(here, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)docs")
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN_COMMIT
    return f"{head} with changes" if changed else head


def run_git(folder: Path, *arguments: str) -> str:
    """Return what git prints; raise OSError or CalledProcessError if there is no git, or no checkout."""
    result = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return result.stdout.strip()
