"""Name the weights that the authors published, and where they are kept once they were fetched."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MATCHER, PIN = "matcher.", "pts3d_infer."  # what the keys of each network begin with


@dataclass(frozen=True, slots=True)
class Release:
    """Hold a file its authors publish; `blob` is its git blob id, `parts` are prefixes of the keys in it."""

    name: str
    url: str
    blob: str
    parts: tuple[str, ...]
    origin: str


RELEASES = {
    "deviloc": Release(
        "deviloc",
        "https://raw.githubusercontent.com/TruongKhang/DeViLoc/c9e990b36fd81f59726baefff80808a59ef94245/"
        "pretrained/deviloc_weights.ckpt",
        "ccfba914a2ec0ec4e2af9284e1f0e2132f543607",
        (MATCHER, PIN),
        "DeViLoc (Giang, Song, Jo, CVPR 2024), github.com/TruongKhang/DeViLoc, Apache-2.0",
    ),
    "topicfm": Release(
        "topicfm",
        "https://raw.githubusercontent.com/TruongKhang/TopicFM/b1b1a5630ad68b402f928a570a5f9d15055ebff3/"
        "pretrained/topicfm_fast.ckpt",
        "ff027e60ef291e8559674ccf3ba47ce13972652b",
        (MATCHER,),
        "TopicFM-fast (Giang, Song, Jo, AAAI 2023), github.com/TruongKhang/TopicFM, Apache-2.0",
    ),
}


def weights_folder() -> Path:
    """Return where `fetch-weights` puts files: $DEVILOC_WEIGHTS, else the user's cache."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("DEVILOC_WEIGHTS") or Path(cache_home) / "deviloc_ros")
