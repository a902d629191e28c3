"""Opening a map is light: it takes neither PyTorch nor a file beside the manifest."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from small_maps import reference_view, write_map

from deviloc_ros.maps.manifest import MANIFEST, manifest_to_dict
from deviloc_ros.maps.store import Map

VIEWS = 1000
HEAVY = ("torch", "scipy", "faiss", "cv2", "kornia", "matplotlib")
MAX_RESIDENT_KB = 200_000

OPEN = """
import json, re, sys
from pathlib import Path
from deviloc_ros.maps.store import Map

views = len(Map.open(sys.argv[1]))
status = Path("/proc/self/status")
peak = re.search(r"VmHWM:\\s*(\\d+)", status.read_text()) if status.exists() else None
print(json.dumps([views, sorted(sys.modules), int(peak[1]) if peak else None]))
"""
COMMAND = """
import json, sys
from deviloc_ros.cli import main

try:
    main(sys.argv[1:])
finally:
    print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def large_map(tmp_path_factory):
    """The manifest of a thousand views, all of one file."""
    folder = tmp_path_factory.mktemp("large") / "large.map"
    write_map(folder, [reference_view(0)])
    manifest = Map.open(folder).manifest
    views = [replace(manifest.views[0], name=f"view {number}") for number in range(VIEWS)]
    (folder / MANIFEST).write_text(json.dumps(manifest_to_dict(replace(manifest, views=views))))
    return folder


def printed(code: str, *words) -> list:
    """The last line, as JSON, of a Python process of its own."""
    result = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def heavy(modules: list[str]) -> list[str]:
    return [name for name in HEAVY if name in modules]


def test_a_large_map_opens_without_pytorch_in_little_memory(large_map):
    views, modules, peak_kb = printed(OPEN, large_map)
    assert views == VIEWS and heavy(modules) == []
    assert peak_kb is None or peak_kb < MAX_RESIDENT_KB


@pytest.mark.parametrize("words", [("--help",), ("map", "info")], ids=" ".join)
def test_commands_that_compute_nothing_import_little(large_map, words):
    assert heavy(printed(COMMAND, *words, *([large_map] if words[0] == "map" else []))) == []
