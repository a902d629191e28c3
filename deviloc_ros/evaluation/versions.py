"""What figures were made with: they are worth little without it."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

import deviloc_ros

UNKNOWN_COMMIT = "unknown"


def versions() -> dict[str, str]:
    """Versions and the device."""
    packages = {name: version(name) for name in ("numpy", "pycolmap", "torch")}
    return {"deviloc_ros": deviloc_ros.__version__, "python": platform.python_version(), **packages, "device": device()}


def device() -> str:
    """The GPU's name where there is one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def commit() -> str:
    """Of the checkout this package runs from, and whether its code was changed since."""
    here = Path(__file__).parent
    try:
        git(here, "ls-files", "--error-unmatch", Path(__file__).name)  # a checkout of something else may be around it
        head = git(here, "rev-parse", "--short", "HEAD")
        changed = git(here, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)docs")
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN_COMMIT
    return f"{head} with changes" if changed else head


def git(folder: Path, *arguments: str) -> str:
    """What git prints. Raises OSError or CalledProcessError: there is no git, or no checkout."""
    result = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return result.stdout.strip()
