"""Reports as a browser draws them."""

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

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


def assert_a_browser_draws_it(page: str, folder: Path, width: int, pictures: int) -> None:
    """All pictures, nothing wider than the screen, no small print, no error. Skips where there is no Chromium."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    # The page forbids itself all but its own pictures and style: whatever it asked of the network would be an error.
    assert "default-src 'none'" in page
    page = page.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
    (folder / "page.html").write_text(page.replace("</body>", PROBE + "</body>"))
    (folder / "frame.html").write_text(FRAME.replace("WIDTH", str(width)))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={folder}/home"]
    flags += ["--virtual-time-budget=20000", f"--window-size={width},900", "--disable-background-networking"]
    done = subprocess.run(
        [browser, *flags, "--dump-dom", (folder / "frame.html").as_uri()], capture_output=True, text=True, timeout=300
    )
    assert "FOUND" in done.stdout, done.stderr[-2000:]
    found = json.loads(done.stdout.partition("FOUND")[2].partition("DONE")[0])
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert found["pictures"] > pictures and found["missing"] == 0
    assert found["overflow"] <= 0 and found["smallest"] >= 12
