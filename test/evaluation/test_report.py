"""The report: everything in one file, drawn and legible on a phone and on a desk, and nothing from the network."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from bags_of_others import TRUTH, drive
from ros.stand_in import StandInLocalizer

from deviloc_ros.bags.reader import Recording
from deviloc_ros.evaluation.bag_run import Plan, TruthSource, about_localizer, conclude, read, run_offline
from deviloc_ros.evaluation.folder import Run
from deviloc_ros.evaluation.report.gallery import gallery
from deviloc_ros.evaluation.report.maps import Surroundings, surroundings
from deviloc_ros.evaluation.report.page import comparison, report
from deviloc_ros.tracking import TrackingConfig

PROBE = """<script>addEventListener("load", () => parent.postMessage(JSON.stringify({
  pictures: document.images.length,
  missing: [...document.images].filter(i => !i.complete || !i.naturalWidth).length,
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  smallest: Math.min(...[...document.querySelectorAll("p, td, figcaption, b, span, h2")]
    .filter(e => e.textContent.trim()).map(e => parseFloat(getComputedStyle(e).fontSize)))
}), "*"))</script>"""
FRAME = """<body><pre id="found"></pre><script>addEventListener("message", e => {
  document.getElementById("found").textContent = "FOUND" + e.data + "DONE" })</script>
<iframe src="page.html" style="border:0;width:WIDTHpx;height:900px"></iframe></body>"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Run, str]:
    """A run with a stretch of lost images and a jump, and its page."""
    bag = drive(tmp_path_factory.mktemp("bag") / "bag", (*range(10, 20), 40, 41, 42, 43), lost=(5, 6))
    plan = Plan(truth=TruthSource(topic=TRUTH))
    localizer = StandInLocalizer()
    with Recording(bag) as recording:
        topics, contents = read(recording, plan)
        estimates = run_offline(recording, topics, contents, plan, localizer, TrackingConfig())
        about = {"mode": "offline", "sampling": plan.sampling, **about_localizer(localizer, TrackingConfig())}
        run = conclude(recording, contents, plan, estimates, about)
        pictures = list(gallery(recording, topics, contents, run.frames, localizer))
    return run, report(run, surroundings(localizer.map), pictures)


class References(HTMLParser):
    """What a page refers to, and the alternative texts of its pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.pictures: list[str] = []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.found += [values[name] for name in ("src", "href", "srcset", "action") if values.get(name)]
        if tag == "img":
            self.pictures.append(values.get("alt", ""))


def test_the_page_needs_nothing_but_itself(made):
    references = References()
    references.feed(made[1])
    assert references.found and all(found.startswith("data:") for found in references.found)
    assert "url(" not in made[1] and "@import" not in made[1]
    assert len(references.pictures) > 10 and all(references.pictures)


def test_the_page_says_first_what_matters_most(made):
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", made[1], flags=re.S)
    for word in ("wrong fixes", "median error", "95th percentile", "time to first fix", "longest gap", "latency"):
        assert word in text
    assert "None of these poses was wrong" in text and "Alignment: none" in text
    assert "too few keypoints in the image" in text and "The worst images" in text
    assert text.index("wrong fixes") < text.index("How far off")


def test_names_from_a_recording_cannot_become_markup(made):
    run = Run("<b>x</b>", made[0].summary | {"bag": "<script>alert(1)</script>"}, made[0].latency, made[0].frames)
    assert "<script>" not in report(run, surroundings(StandInLocalizer().map), []) and "<b>x" not in comparison(
        [run, run]
    )


def test_a_run_without_truth_or_poses_still_has_a_page(made):
    frames = [f for f in made[0].frames if not f.localized]
    bare = made[0].summary | {"with_ground_truth": 0, "wrong_fixes": None, "recall": None, "localized": 0}
    run = Run("bare", bare | {"translation_m": None, "time_to_first_fix_s": None}, None, frames)
    page = report(run, Surroundings(np.zeros((0, 3)), []), [])
    assert "no ground truth" in page and "never" in page and "How far off" not in page


def test_two_runs_stand_side_by_side(made, tmp_path):
    page = comparison([Run(name, made[0].summary, made[0].latency, made[0].frames) for name in ("before", "after")])
    assert page.count("before") > 1 and page.index("before") < page.index("after")


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_all_of_it_without_an_error(made, tmp_path, width):
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    # The page forbids itself all but its own pictures and style: whatever it asked of the network would be an error.
    assert "default-src 'none'" in made[1]
    page = made[1].replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
    (tmp_path / "page.html").write_text(page.replace("</body>", PROBE + "</body>"))
    (tmp_path / "frame.html").write_text(FRAME.replace("WIDTH", str(width)))
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path}/home",
    ]
    flags += ["--virtual-time-budget=20000", f"--window-size={width},900", "--disable-background-networking"]
    done = subprocess.run(
        [browser, *flags, "--dump-dom", (tmp_path / "frame.html").as_uri()], capture_output=True, text=True, timeout=300
    )
    assert "FOUND" in done.stdout, done.stderr[-2000:]
    found = json.loads(done.stdout.partition("FOUND")[2].partition("DONE")[0])
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert found["pictures"] > 10 and found["missing"] == 0
    assert found["overflow"] <= 0 and found["smallest"] >= 12
