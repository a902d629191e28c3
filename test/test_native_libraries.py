"""Native libraries of the wheels share one process, in whatever order a program imports them."""

import ast
import random
import subprocess
import sys

import pytest
from source_code import ROOT, SOURCES, imported

WRITE_PNGS = """
import importlib, io, sys
import numpy as np
importlib.import_module(sys.argv[1])
from PIL import Image
noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
for _ in range(20):
    Image.fromarray(noise).save(io.BytesIO(), "PNG")
"""
WITH_PYCOLMAP = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted(SOURCES)
    if "pycolmap" in imported(ast.parse(path.read_text()))
    and "/ros/" not in str(path)
    and path.name not in ("__main__.py", "__init__.py")
]
# the first was seen to abort
CHOSEN = ["deviloc_ros.evaluation.recordings.lens", *random.Random(0).sample(WITH_PYCOLMAP, 4)]


@pytest.mark.parametrize("module", CHOSEN)
def test_pngs_are_written_after_whatever_module_is_imported_first(module):
    """A handler of pycolmap's can hang in the abort that this guards against: hence the timeout."""
    command = [sys.executable, "-c", WRITE_PNGS, module]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-500:]
