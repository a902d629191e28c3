"""Find the photographs in a folder, which of them cannot be read, and which lens took each."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from deviloc_ros.io.encoded_images import AVIF_SUFFIXES, HEIC_SUFFIXES, can_decode

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
RECORDINGS = (".mcap", ".db3", ".bag")
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
TO_INSTALL = {  # photographs that are read where a library is installed
    **dict.fromkeys(HEIC_SUFFIXES, "install pillow-heif, or convert it to JPEG"),
    **dict.fromkeys(AVIF_SUFFIXES, "install a newer pillow, or convert it to JPEG"),
}
UNREAD = {  # photographs that are not read, and what to do
    ".jxl": "convert it to JPEG",
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"), "develop it to JPEG or PNG"),
    **dict.fromkeys((".gif", ".jp2", ".exr", ".hdr"), "convert it to PNG"),
}
LENS_TAGS = {  # of EXIF's second directory
    0xA433: "lens make",
    0xA434: "lens model",
    0x920A: "focal length",
    0xA405: "focal length of 35 mm film",
    0xA404: "digital zoom",
}
CAMERA_TAGS = {0x010F: "make", 0x0110: "model"}
EXIF_DIRECTORY = 0x8769


def find_photographs(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """Return the photographs below a folder in order of their names, and those not read with the reasons."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() or is_broken_link(path))
    unread = {path: why for path in files if (why := explain_unread(path))}
    known = (*SUFFIXES, *TO_INSTALL)
    return [path for path in files if path.suffix.lower() in known and path not in unread], unread


def explain_no_photographs(path: Path) -> str:
    """Say what a file or folder without photographs is, and what to do with it; empty if unknown."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    if any(file.name == "metadata.yaml" or file.suffix in RECORDINGS for file in files):
        return "; it is a recording: build-map --bag maps it, evaluate-bag localizes its images"
    if videos := [file for file in files if file.suffix.lower() in VIDEOS]:
        return f"; take frames out of the video: ffmpeg -i {videos[0]} -vf fps=2 FOLDER/%06d.jpg"
    return ""


def is_broken_link(path: Path) -> bool:
    """Return whether a path is a link that leads nowhere."""
    return path.is_symlink() and not path.exists()


def explain_unread(path: Path) -> str:
    """Say why a photograph of this kind is not read, and what to do; empty if it is read or not a photograph."""
    suffix = path.suffix.lower()
    if is_broken_link(path) and suffix in (*SUFFIXES, *TO_INSTALL, *UNREAD):
        return "a link to a file that is not there"
    advice = TO_INSTALL[suffix] if suffix in TO_INSTALL and not can_decode(suffix) else UNREAD.get(suffix)
    return f"{path.suffix} is not read: {advice}" if advice else ""


def read_lens(path: Path) -> str:
    """Return what identifies the lens in EXIF, empty if nothing: a phone has several lenses with images of one size."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            lens = exif.get_ifd(EXIF_DIRECTORY)
    except Exception:  # of any kind, since Pillow follows offsets that the file states; reading its pixels says why
        return ""
    said = [f"{name} {exif[tag]}" for tag, name in CAMERA_TAGS.items() if exif.get(tag)]
    said += [f"{name} {lens[tag]}" for tag, name in LENS_TAGS.items() if lens.get(tag)]
    return ", ".join(said)


def camera_group(path: Path, per: str) -> str:
    """Return a key that images of one camera share; `per` is "lens", "folder" or "image"."""
    if per == "image":
        return str(path)
    return str(path.parent) if per == "folder" else read_lens(path)
