"""Pages of the repository: their links lead somewhere, their commands are ones of the command line."""

import re
import shlex
from pathlib import Path

import pytest

from deviloc_ros.cli import parse

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "deviloc_ros/**/*.md", "underlay/*.md")
    for page in ROOT.glob(pattern)
)
CODE = re.compile(r"^```(?:sh)?\n(.*?)^```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^    (.+)$", re.MULTILINE)
COMMAND = re.compile(r"^(?:deviloc|python -m deviloc_ros|ros2 run deviloc_ros deviloc) (?!\S*\.)")


def name_of(page):
    return str(page.relative_to(ROOT))


def prose(page):
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page):
    """What GitHub makes of its headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"\]\(.*?\)|[`*\[\]]", "", heading).lower().strip() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def broken_links(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http:", "https:")):
            continue
        file, _, anchor = target.partition("#")
        to = (page.parent / file).resolve() if file else page
        if not to.exists() or (anchor and to.suffix == ".md" and anchor not in anchors(to)):
            yield target


def commands(page):
    """The commands of ours in blocks of code, with lines that go on joined."""
    text = page.read_text()
    blocks = "\n".join([*CODE.findall(text), *INDENTED.findall(text)])
    for line in re.sub(r"\\\n\s*", " ", blocks).splitlines():
        if COMMAND.match(line) and "…" not in line:
            yield line.partition("  #")[0].strip()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    assert list(broken_links(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_ones_of_the_command_line(page):
    for line in commands(page):
        words = shlex.split(COMMAND.sub("", line))
        parse([word for word in words if word not in ("&&", "&")])


def test_commands_are_found():
    assert len(list(commands(ROOT / "README.md"))) >= 4


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            links = re.findall(r"\]\(([^)#\s]+\.md)(?:#[^)]*)?\)", prose(page))
            waiting += [(page.parent / link).resolve() for link in links if not link.startswith("http")]
    assert {page for page in PAGES if "weights" not in page.parts and "underlay" not in page.parts} <= reached


def test_the_api_page_is_current():
    from benchmarks.api import page

    assert (ROOT / "docs/api.md").read_text() == page(), "run `python -m benchmarks.api > docs/api.md`"


def test_pre_commit_and_workflow_call_what_the_makefile_calls():
    lint = re.search(r"^lint:.*?\n\n", (ROOT / "Makefile").read_text(), re.DOTALL | re.MULTILINE)[0]
    hooks = re.findall(r"entry: \.venv/bin/python -m (.+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert hooks and all(hook.split()[0] in lint for hook in hooks)
    assert "make lint test" in (ROOT / ".github/workflows/ci.yaml").read_text()
