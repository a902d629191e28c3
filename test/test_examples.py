"""Examples and notebooks run."""

import importlib.util
import json
import subprocess
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import yaml

from deviloc_ros import Localized, Localizer, Map, build_map

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def cells_of(notebook: Path) -> list[str]:
    """The code of a notebook."""
    cells = json.loads(notebook.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def loaded(path: Path):
    """A Python file as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_notebooks_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    for notebook in sorted((EXAMPLES / "notebooks").glob("*.ipynb")):
        names = {}
        for cell in cells_of(notebook):
            exec(compile(cell, notebook.name, "exec"), names)
    assert len(names["estimated"]) >= 8 and json.loads(Path("notebook-data/run/summary.json").read_text())


def test_notebooks_are_kept_without_their_output():
    for notebook in (EXAMPLES / "notebooks").glob("*.ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)


def test_a_matcher_of_ones_own_takes_forty_lines_and_localizes(room, tmp_path):
    matcher = loaded(EXAMPLES / "custom_matcher.py").SiftMatcher()
    build_map(room.images, tmp_path / "sift.map", matcher=matcher, quiet=True)
    localizer = Localizer(Map.open(tmp_path / "sift.map"), matcher=matcher)
    found = localizer.localize(cv2.cvtColor(room.queries[0], cv2.COLOR_BGR2GRAY), room.images[0].camera)
    assert isinstance(found, Localized)
    assert np.linalg.norm(found.cam_from_world.inverse().translation - room.query_poses[0].inverse().translation) < 0.05


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: path.name)
def test_parameter_files_are_of_nodes(path):
    assert all("ros__parameters" in node for node in yaml.safe_load(path.read_text()).values())


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.sh")), ids=lambda path: path.name)
def test_shell_scripts_parse(path):
    subprocess.run(["bash", "-n", str(path)], check=True)
