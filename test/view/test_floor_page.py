"""The page on which a map is laid over a floor plan: what a browser makes of taps is what the command makes of them."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from floor_worlds import L_SHAPE, draw_lines, walls_of, write_room_map
from pages import assert_a_browser_draws_it, assert_needs_nothing_but_itself

from deviloc_ros.evaluation.report.html import script_source
from deviloc_ros.maps.alignment.floor_plan import PairsFile, PointPair, align_to_grid, fit_pairs, read_pairs
from deviloc_ros.maps.alignment.occupancy import read_occupancy
from deviloc_ros.maps.store import Map
from deviloc_ros.view.floor import make_floor_page

TAPS = """
const at = (name, x, y) => {
  const { canvas } = canvases[name], box = canvas.getBoundingClientRect();
  canvas.setPointerCapture = () => {};  // of a finger that is none
  for (const kind of ["pointerdown", "pointerup"]) {
    canvas.dispatchEvent(new PointerEvent(kind, { pointerId: 1, clientX: box.left + x, clientY: box.top + y }));
  }
};
addEventListener("load", () => {
  for (const [x, y] of [[60, 70], [200, 80], [150, 250]]) { at("map", x, y); at("grid", 300 - y, x); }
  at("map", 5, 5);
  document.getElementById("undo").click();
  const found = document.createElement("pre"), said = document.getElementById("verdict").textContent;
  found.textContent = `FOUND${document.getElementById("text").value}SAID${said}DONE`;
  document.body.append(found);
});"""


@pytest.fixture(scope="module")
def placed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    plan = draw_lines(walls_of(L_SHAPE), folder / "floor.yaml", yaw=0.3)
    return Map.open(write_room_map(folder / "l.map", L_SHAPE)), read_occupancy(plan)


def test_the_page_needs_nothing_but_itself(placed):
    page = make_floor_page(*placed, "map align l.map --pairs pairs.json")
    assert "data:" in page and "http" not in page.replace("http-equiv", "")
    assert "no pairs yet; the floor was found" in page and "map align l.map" in page
    with pytest.raises(AssertionError):  # its only picture is drawn by its script
        assert_needs_nothing_but_itself(page, 1)


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_it(placed, tmp_path, width):
    reference_map, grid = placed
    found = align_to_grid(reference_map, grid, by_walls=True)
    assert_a_browser_draws_it(make_floor_page(*placed, "map align", None, found), tmp_path, width, -1)


@pytest.mark.slow
def test_taps_become_the_pairs_that_the_command_takes(placed, tmp_path):
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    page = make_floor_page(*placed, "map align").replace("script-src ", f"script-src {script_source(TAPS)} ")
    (tmp_path / "page.html").write_text(page.replace("</body>", f"<script>{TAPS}</script></body>"))
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}/home",
        "--window-size=390,1600",
    ]
    flags += ["--virtual-time-budget=10000", "--dump-dom", (tmp_path / "page.html").as_uri()]
    done = subprocess.run([browser, *flags], capture_output=True, text=True, timeout=300)
    text, _, said = done.stdout.rpartition("FOUND")[2].partition("DONE")[0].partition("SAID")
    (tmp_path / "pairs.json").write_text(text)
    pairs = read_pairs(tmp_path / "pairs.json")
    assert pairs.map_id == placed[0].identity and len(pairs.pairs) == 3
    fit, words = fit_pairs(pairs.pairs)
    off = words.partition("off by ")[2].partition(" (")[0]
    assert f"3 pairs, off by {off} (root mean square), scale {fit.scale:.4f}" in said


def test_pairs_that_were_clicked_are_there_again(placed):
    reference_map, grid = placed
    pairs = PairsFile(reference_map.identity, align_to_grid(*placed, by_walls=True).plan_from_map, [])
    pairs.pairs.append(PointPair(np.array([1.25, 2.5]), np.array([3.0, 4.0])))
    page = make_floor_page(reference_map, grid, "map align", pairs)
    assert json.dumps([{"plan": [1.25, 2.5], "grid": [3.0, 4.0]}], separators=(",", ":")).replace('"', "&quot;") in page
