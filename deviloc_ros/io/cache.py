"""Locate the cache, for files that can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Return the folder for files of a kind, in $DEVILOC_CACHE or else in the user's cache."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("DEVILOC_CACHE") or Path(cache_home) / "deviloc_ros") / kind
