"""Say where files are kept that can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Return where files of a kind are kept: in $DEVILOC_CACHE, else in the user's cache."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("DEVILOC_CACHE") or Path(cache_home) / "deviloc_ros") / kind
