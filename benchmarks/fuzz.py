"""Fuzz the file readers with mutated bytes, guided by coverage.

    pip install atheris
    python -m benchmarks.fuzz --output FOLDER [--minutes 1] [READER ...]

Each reader runs in a process of its own for the given minutes. It may raise only what the command line reports in one
line (ValueError, OSError), and must not hang. Inputs that broke it are kept below FOLDER, and the next run of that
reader starts with them. Several files of one reader are one input, separated by PARTING.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np

PARTING = b"\n=====\n"
MAX_BYTES, SLOWEST_S = 4096, 20
CAMERA = "1 PINHOLE 8 6 8 8 3.5 2.5"
CRASHES = ("crash-*", "timeout-*", "oom-*")


@dataclass(frozen=True, slots=True)
class FuzzedReader:
    """Hold a reader: module:function; the files it reads, with seeds; which path below the folder it is given.

    also: further arguments that are paths below the folder.
    """

    function: str
    files: dict[str, str | bytes]
    given: str = ""
    also: tuple[str, ...] = ()

    @property
    def seed(self) -> bytes:
        """Return the seeds of its files as one input."""
        return PARTING.join(text.encode() if isinstance(text, str) else text for text in self.files.values())

    def split(self, data: bytes) -> dict[str, bytes]:
        """Return what each file holds by an input; what it does not say is empty."""
        parts = data.split(PARTING)
        return {name: parts[number] if number < len(parts) else b"" for number, name in enumerate(self.files)}


def encode_picture() -> bytes:
    """Return a small PNG."""
    return cv2.imencode(".png", np.arange(48, dtype=np.uint8).reshape(6, 8) * 5)[1].tobytes()


TRANSFORMS = {
    "fl_x": 8.0,
    "fl_y": 8.0,
    "cx": 4.0,
    "cy": 3.0,
    "w": 8,
    "h": 6,
    "k1": 0.01,
    "frames": [{"file_path": "a.png", "transform_matrix": np.eye(4).tolist()}],
}
LENS = {"model": "PINHOLE", "width": 8, "height": 6, "params": [8, 8, 4, 3]}
HERE = {"rotation_xyzw": [0, 0, 0, 1], "translation_m": [0, 0, 0]}
CONTRIBUTION = {"camera": LENS, **HERE, "covariance": np.eye(6).tolist(), "inliers": 90, "map_id": "0"}
PAIRS = {"map_id": "0", "plan_from_map": HERE, "pairs": [{"plan": [0, 0], "grid": [1, 1]}]}
MANIFEST = {
    "config": {"pose": {"min_inliers": 40}},
    "cameras": [LENS],
    "views": [{"name": "a", "file": "views/a.safetensors", "sha256": "0", "camera": 0, "session": "day", **HERE}],
    "landmarks": {"file": "l.safetensors", "sha256": "0"},
    "retrieval": {"file": "r.safetensors", "sha256": "0"},
    "provenance": {},
}
READERS = {
    "transforms": FuzzedReader(
        "deviloc_ros.sources.nerfstudio:read_transforms",
        {"transforms.json": json.dumps(TRANSFORMS)},
        "transforms.json",
    ),
    "rig": FuzzedReader(
        "deviloc_ros.sources.rigs:read_rig",
        {"rig.json": json.dumps({"cameras": [{"name": "a", "camera": LENS, "rig_from_cam": HERE}]})},
        "rig.json",
    ),
    "kapture": FuzzedReader(
        "deviloc_ros.sources.kapture:read_kapture",
        {
            "sensors/sensors.txt": "# kapture format: 1.1\ncam, name, camera, PINHOLE, 8, 6, 8, 8, 4, 3\n",
            "sensors/trajectories.txt": "0, cam, 1, 0, 0, 0, 0, 0, 0\n",
            "sensors/records_camera.txt": "0, cam, a.png\n",
            "sensors/rigs.txt": "rig, cam, 1, 0, 0, 0, 0, 0, 0\n",
        },
    ),
    "kitti": FuzzedReader(
        "deviloc_ros.sources.kitti:read_kitti",
        {
            "image_0/000000.png": encode_picture(),
            "calib.txt": "P0: 8 0 4 0 0 8 3 0 0 0 1 0\nP2: 8 0 4 1 0 8 3 0 0 0 1 0\n",
            "poses.txt": "1 0 0 0 0 1 0 0 0 0 1 0\n",
            "times.txt": "0.0\n",
        },
    ),
    "tum": FuzzedReader(
        "deviloc_ros.sources.tum_rgbd:read_tum_sequence",
        {
            "freiburg1/rgb.txt": "# t file\n1.0 a.png\n",
            "freiburg1/groundtruth.txt": "0.9 0 0 0 0 0 0 1\n1.1 0 0 1 0 0 0 1\n",
        },
        "freiburg1",
    ),
    "colmap-text": FuzzedReader(
        "deviloc_ros.sources.colmap:read_model",
        {
            "cameras.txt": f"{CAMERA}\n",
            "images.txt": "1 1 0 0 0 0 0 0 1 a.png\n3 2 1\n",
            "points3D.txt": "1 0 0 4 0 0 0 0.5 1 0\n",
        },
        also=("",),
    ),
    "trajectory": FuzzedReader(
        "deviloc_ros.io.tum_trajectory:read_tum",
        {"poses.csv": "#timestamp,p_x,p_y,p_z,q_w,q_x,q_y,q_z\n1403636579763555584,0,0,0,1,0,0,0\n1.5 0 0 0 0 0 0 1\n"},
        "poses.csv",
    ),
    "parameters": FuzzedReader(
        "deviloc_ros.parameters.layouts:read_parameters",
        {"p.yaml": "/**:\n  ros__parameters:\n    pose.min_inliers: 40\n    pose: {min_coverage: 1e-2}\n"},
        "p.yaml",
    ),
    "survey": FuzzedReader(
        "deviloc_ros.maps.alignment.fiducial_markers:read_survey",
        {
            "tags.yaml": "dictionary: 4X4_50\nsize_m: 0.1\ntags:\n"
            "  1: {position: [0, 0, 1], orientation: [0, 0, 0, 1]}\n"
        },
        "tags.yaml",
    ),
    "occupancy": FuzzedReader(
        "deviloc_ros.maps.alignment.occupancy:read_occupancy",
        {
            "floor.yaml": "image: floor.png\nresolution: 0.05\norigin: [0, 0, 0]\nnegate: 0\n"
            "occupied_thresh: 0.65\nfree_thresh: 0.2\n",
            "floor.png": encode_picture(),
        },
        "floor.yaml",
    ),
    "positions": FuzzedReader(
        "deviloc_ros.maps.alignment.known_positions:read_positions", {"p.txt": "a.png 1 2 3\nb.png 4 5 6\n"}, "p.txt"
    ),
    "coordinates": FuzzedReader(
        "deviloc_ros.maps.alignment.known_positions:read_geographic_positions",
        {"p.txt": "a.png 48.1 11.6 500\nb.png 48.1001 11.6 500\n"},
        "p.txt",
    ),
    "pairs": FuzzedReader(
        "deviloc_ros.maps.alignment.floor_plan:read_pairs",
        {"pairs.json": json.dumps(PAIRS)},
        "pairs.json",
    ),
    "picture": FuzzedReader("deviloc_ros.imaging:read_gray", {"b.png": encode_picture()}, "b.png"),
    "contributions": FuzzedReader(
        "deviloc_ros.sources.contributions:read_contributions", {"1.json": json.dumps(CONTRIBUTION), "1.jpg": ""}
    ),
    "query-list": FuzzedReader(
        "deviloc_ros.sources.query_lists:read_query_list", {"q.txt": "a.png PINHOLE 8 6 8 8 4 3\n"}, "q.txt"
    ),
    "named-poses": FuzzedReader(
        "deviloc_ros.evaluation.pose_files:read_pose_file",
        {"p.txt": "a.png 1 0 0 0 0 0 0\nb.png 1 0 0 0 1 0 0\n"},
        "p.txt",
    ),
    "camera-file": FuzzedReader(
        "deviloc_ros.sources.camera_files:read_camera_file",
        {
            "c.yaml": "image_width: 8\nimage_height: 6\ncamera_matrix: {data: [8, 0, 4, 0, 8, 3, 0, 0, 1]}\n"
            "distortion_model: plumb_bob\ndistortion_coefficients: {data: [0, 0, 0, 0, 0]}\n"
        },
        "c.yaml",
    ),
    "mount-file": FuzzedReader(
        "deviloc_ros.sources.camera_files:read_mount_file",
        {"s.yaml": "T_BS:\n  rows: 4\n  cols: 4\n  data: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]\n"},
        "s.yaml",
    ),
    "kalibr": FuzzedReader(
        "deviloc_ros.sources.camera_files:read_camera_file",
        {
            "c.yaml": "cam0:\n  camera_model: pinhole\n  intrinsics: [8, 8, 4, 3]\n  resolution: [8, 6]\n"
            "  distortion_model: radtan\n  distortion_coeffs: [0, 0, 0, 0]\n"
        },
        "c.yaml",
    ),
    "results": FuzzedReader(
        "deviloc_ros.evaluation.pose_files:read_pose_file",
        {"r.json": json.dumps([{"image": "a.png", "world_from_cam": HERE}, {"image": "b.png"}])},
        "r.json",
    ),
    "robotcar-camera": FuzzedReader(
        "deviloc_ros.evaluation.datasets.layouts:read_robotcar_camera", {"c.txt": "fx 8\nfy 8\ncx 4\ncy 3\n"}, "c.txt"
    ),
    "manifest": FuzzedReader("benchmarks.fuzz:open_signed_manifest", {"manifest.json": json.dumps(MANIFEST)}),
}


def open_signed_manifest(folder: Path) -> object:
    """Open a map whose manifest states the right hash, whatever else it holds."""
    from deviloc_ros.maps.manifest import FORMAT, MANIFEST, VERSION, hash_manifest, read_manifest

    path = folder / MANIFEST
    content = json.loads(path.read_bytes())
    if isinstance(content, dict):
        content |= {"format": FORMAT, "version": VERSION}
        path.write_text(json.dumps(content | {"sha256": hash_manifest(content)}))
    return read_manifest(folder)


def load_reader(reader: FuzzedReader) -> Callable[..., Any]:
    """Return the function of a reader."""
    module, _, name = reader.function.partition(":")
    return getattr(import_module(module), name)


def fuzz_reader(name: str, libfuzzer_arguments: list[str]) -> None:
    """Run one reader in this process until it falls or its time is over; does not return."""
    import atheris  # an own package of those who fuzz

    reader = READERS[name]
    with atheris.instrument_imports(include=["deviloc_ros"]):
        read = load_reader(reader)
    folder = Path(tempfile.mkdtemp())
    (folder / "a.png").write_bytes(encode_picture())
    for file in reader.files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)

    def try_bytes(data: bytes) -> None:
        for file, content in reader.split(data).items():
            (folder / file).write_bytes(content)
        with suppress(ValueError, OSError):
            read(folder / reader.given, *(folder / path for path in reader.also))

    atheris.Setup([sys.argv[0], *libfuzzer_arguments], try_bytes)
    atheris.Fuzz()


def run_readers(names: list[str], output: Path, minutes: float) -> list[str]:
    """Fuzz readers one after the other, each in its process; return a line for each."""
    said = []
    for name in names:
        corpus, fallen = output / name / "corpus", output / name / "fallen"
        for folder in (corpus, fallen):
            folder.mkdir(parents=True, exist_ok=True)
        (corpus / "seed").write_bytes(READERS[name].seed)
        arguments = [
            str(corpus),
            str(fallen),
            f"-artifact_prefix={fallen}/",
            f"-max_total_time={round(60 * minutes)}",
            f"-max_len={MAX_BYTES}",
            f"-timeout={SLOWEST_S}",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
        ]
        with (output / f"{name}.log").open("wb") as log:
            command = [sys.executable, "-m", "benchmarks.fuzz", "--one", name, *arguments]
            status = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        lines = (output / f"{name}.log").read_text(errors="replace").splitlines()
        tried = [line for line in lines if "executed_units" in line]
        found = [path.name for pattern in CRASHES for path in sorted(fallen.glob(pattern))]
        said.append(
            f"{name:18} {tried[0].split()[-1] if tried else '?':>9} inputs, status {status}, {found or 'none fell'}"
        )
        print(said[-1], flush=True)
    return said


def main() -> int:
    """Fuzz the readers, and return 1 if one fell."""
    if sys.argv[1:2] == ["--one"]:
        fuzz_reader(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"{', '.join(READERS)}; default: all")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="inputs that it fell over")
    parser.add_argument("--minutes", type=float, default=1.0, metavar="N", help="for each; default: %(default)s")
    options = parser.parse_args()
    if unknown := set(options.readers) - set(READERS):
        parser.error(f"unknown readers: {', '.join(sorted(unknown))}")
    said = run_readers(options.readers or list(READERS), options.output, options.minutes)
    return int(any("none fell" not in line for line in said))


if __name__ == "__main__":
    sys.exit(main())
