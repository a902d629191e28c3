"""Reports as a browser draws them."""

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from deviloc_ros.evaluation.report.html import script_source

PROBE = """
const canvas = document.querySelector("canvas"), seen = [];
const finger = (kind, pointerId, clientX, clientY) =>
  canvas.dispatchEvent(new PointerEvent(kind, { pointerId, clientX, clientY }));
const key = name => canvas.dispatchEvent(new KeyboardEvent("keydown", { key: name, cancelable: true }));
const turned = (...actions) => { for (const act of actions) { act(); seen.push(canvas.toDataURL()); } };
function turn() {
  canvas.setPointerCapture = () => {};  // of fingers that are none
  turned(() => 0, () => key("ArrowLeft"), () => key("+"), () => key("0"),
    () => { finger("pointerdown", 1, 50, 50); finger("pointermove", 1, 90, 70); },
    () => { finger("pointerdown", 2, 150, 70); finger("pointermove", 2, 200, 70); },
    () => { finger("pointerup", 1); finger("pointerup", 2); finger("pointermove", 2, 10, 10); }, () => key("0"));
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer;
  return {
    views: seen.map(view => seen.indexOf(view)), colours: new Set(new Uint32Array(pixels)).size,
    width: canvas.clientWidth, height: canvas.clientHeight, named: canvas.getAttribute("aria-label") };
}
addEventListener("load", () => parent.postMessage(JSON.stringify({
  turnable: canvas && turn(),
  pictures: document.images.length,
  missing: [...document.images].filter(i => !i.complete || !i.naturalWidth).length,
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  smallest: Math.min(...[...document.querySelectorAll("p, td, figcaption, b, span, h2")]
    .filter(e => e.textContent.trim()).map(e => parseFloat(getComputedStyle(e).fontSize)))
}), "*"))"""
FRAME = """<body><pre id="found"></pre><script>addEventListener("message", e => {
  document.getElementById("found").textContent = "FOUND" + e.data + "DONE" })</script>
<iframe src="page.html" style="border:0;width:WIDTHpx;height:900px"></iframe></body>"""


class References(HTMLParser):
    """What a page refers to, and the alternative texts of its pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.pictures: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.found += [values[name] for name in ("src", "href", "srcset", "action") if values.get(name)]
        if tag == "img":
            self.pictures.append(values.get("alt", ""))


def assert_needs_nothing_but_itself(page: str, pictures: int) -> None:
    """It refers to nothing outside, and has more than so many pictures, each with an alternative text."""
    references = References(page)
    assert references.found and all(found.startswith("data:") for found in references.found)
    assert "url(" not in page and "@import" not in page
    assert len(references.pictures) > pictures and all(references.pictures)


def assert_a_browser_draws_it(page: str, folder: Path, width: int, pictures: int) -> dict[str, Any] | None:
    """All pictures, nothing wider than the screen, no small print, no error. Skips where there is no Chromium.

    Returns:
        What became of the figure that can be turned, if there is one; the first of equal `views` stands for them.
    """
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    # The page forbids itself all but its own pictures, style and script: anything else would be an error here.
    assert "default-src 'none'" in page and page.count("script-src 'sha256-") == 1
    page = page.replace("script-src ", f"script-src {script_source(PROBE)} ")
    (folder / "page.html").write_text(page.replace("</body>", f"<script>{PROBE}</script></body>"))
    (folder / "frame.html").write_text(FRAME.replace("WIDTH", str(width)))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={folder}/home"]
    flags += ["--virtual-time-budget=20000", f"--window-size={width},900", "--disable-background-networking"]
    done = subprocess.run(
        [browser, *flags, "--dump-dom", (folder / "frame.html").as_uri()], capture_output=True, text=True, timeout=300
    )
    assert "FOUND{" in done.stdout, done.stderr[-2000:]
    found = json.loads(done.stdout.partition("FOUND")[2].partition("DONE")[0])
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert found["pictures"] > pictures and found["missing"] == 0
    assert found["overflow"] <= 0 and found["smallest"] >= 12
    return found["turnable"]
