"""Download files only when a user asks for them, and use them only if they are what was asked for."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from deviloc_ros.upstream.checkpoints import convert_checkpoint, git_blob_id
from deviloc_ros.upstream.releases import Release

TIMEOUT_S = 30.0
BLOCK = 1 << 18


class DownloadError(ValueError):
    """Raise when a download failed; the message says from where and what to do."""


def fetch_release(release: Release, folder: Path, url: str = "", file: Path | None = None) -> Path:
    """Download (or take) a released checkpoint, check it, and keep it as safetensors; return the file made.

    Args:
        url: another place to load it from. file: one downloaded before.

    Raises:
        DownloadError: no connection, or the content is not the released file's.
        CheckpointError: it is, and still its keys are not those expected.
    """
    destination = folder / f"{release.name}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{release.name}.{os.getpid()}.ckpt"
    try:
        source = file or download_file(url or release.url, partial)
        check_blob(release, source)
        convert_checkpoint(source, destination, {"origin": release.origin, "git_blob": release.blob})
    finally:
        partial.unlink(missing_ok=True)
    return destination


def check_blob(release: Release, path: Path) -> None:
    """Raise DownloadError unless the file is byte for byte the released one."""
    if not path.is_file():
        raise DownloadError(f"{path}: no such file")
    found = git_blob_id(path)
    if found != release.blob:
        raise DownloadError(
            f"{path}: {path.stat().st_size} bytes with git blob id {found}, the released {release.name} weights have "
            f"{release.blob}; the file is damaged or another version. Weights of your own are used with --weights FILE"
        )


def download_file(url: str, path: Path) -> Path:
    """Write what `url` gives to `path`, showing progress; raise DownloadError."""
    if not url.startswith(("https://", "http://")):
        raise DownloadError(f"{url}: not a web address")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response, path.open("wb") as out:
            total = int(response.headers.get("Content-Length") or 0)
            with tqdm(total=total or None, unit="B", unit_scale=True, desc=url.rsplit("/", 1)[-1]) as bar:
                while block := response.read(BLOCK):
                    out.write(block)
                    bar.update(len(block))
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise DownloadError(
            f"{url}: {error}; try again, or download it on another machine and use --from FILE"
        ) from error
    if total and path.stat().st_size != total:
        raise DownloadError(f"{url}: broke off after {path.stat().st_size} of {total} bytes; try again")
    return path
