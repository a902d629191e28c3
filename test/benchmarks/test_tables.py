"""Tables of docs/: each has markers, commands that exist, and is rewritten without a word around it being touched."""

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks.map_sources import RECIPES, Recipe, fill_commands, measure_recipes
from benchmarks.tables import measure
from benchmarks.tables.measure import Bench, format_command
from benchmarks.tables.page import find_pages, rewrite_table
from benchmarks.tables.registry import TABLES, DocsTable
from benchmarks.tables.write import write_table
from deviloc_ros.cli import main, parse
from deviloc_ros.config import LANDMARK_SOURCES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = """\
# A page
Before.
<!-- table robustness -->
old
<!-- end of table robustness -->
After.
<!-- table gpu -->
Waiting.
<!-- end of table gpu -->
"""


def summary(protocol="kitchen-12", lift="pin", source="sift", recall=1.0):
    return {
        "protocol": protocol,
        "matcher": "xfeat",
        "lift": lift,
        "landmark_source": source,
        "references": 5,
        "retrieval": "true-pose",
        "queries": 2,
        "localized": 2,
        "wrong_fixes": 0,
        "median_translation_m": 0.003,
        "median_translation_interval_m": (0.002, 0.004),
        "median_rotation_deg": 0.1,
        "recall": {"1cm_1deg": 0.97, "2cm_2deg": recall, "5cm_5deg": 1.0, "10cm_5deg": 1.0},
        "nees": [3.0, 5.0],
        "median_inliers": 100.0,
        "latency_ms": {"p50": 300.0, "p95": 400.0, "stages": {}},
    }


LIFTS = ("landmarks-only", "interpolate", "pin")
EVERYTHING = [summary(protocol, lift) for protocol in ("kitchen-12", "kitchen-36", "kitchen-72") for lift in LIFTS]
DISTURBED = [summary(lift=f"{lift}, {share} of landmarks, 0% noise") for share in ("100%", "50%") for lift in LIFTS]
SCORE = {
    "median": 0.01,
    "within_2pct": 0.5,
    "within_2pct_sure_truth": 0.6,
    "within_2pct_confident_half": 0.75,
    "calibration_error": 0.05,
}
DIAGRAM = {"confidence": [0.2, 0.8], "right": [0.3, 0.7], "count": [5, 5]}
CELL = {"scene": "kitchen", "landmarks": 64, "pin": SCORE, "interpolation": {**SCORE, "within_2pct": 0.25}}
UNKNOWN = {
    "queries": 2,
    "outcomes": {"few_inliers": 2},
    "inliers": [3, 9],
    "inlier_ratio": [0, 0.1],
    "coverage": [0, 1],
}
POSES = {"localized": 9, "wrong": 2, "median_error_m": 0.893, "median_std_m": 0.072}
NO_POSES = {"localized": 0, "wrong": 0, "median_error_m": None, "median_std_m": None}
RETRIEVAL_SPEED = {
    "views": 1000,
    "dimensions": 64,
    "descriptors_gb": 0.1,
    "build_s": 2.0,
    "peak_gb": 0.5,
    "index_mb": 1.0,
    "open_s": 0.1,
    "ms_p50": 1.0,
    "ms_p95": 2.0,
    "recall_at_10": 0.99,
}
RESULTS = {
    "ablate kitchen-12": DISTURBED,
    "bench offsets": [{"variant": "as released", "median_px": 1.5, "by_motion": [1.0, 2.0, 3.0, 4.0]}],
    "evaluate-pin": {"cells": [{**CELL, "reliability": DIAGRAM}]},
    "bench retrieval": RETRIEVAL_SPEED,
    "bench map-sources": [
        {"source": "drift", "cpu_s": 60.0, "peak_gb": 0.8, **summary(), "map": {"views": 50}},
        {"source": "the same", **summary(), "map": {"views": 50}},
    ],
    "bench wrong-focal": [
        {"protocol": "street", "factor": 1.05, "unchecked": POSES, "checked": NO_POSES, "fitted": (0.94, 0.95, 0.96)}
        | {"queries": 13, "miscalibrated": 9},
        {"protocol": "street", "factor": 2.0, "unchecked": NO_POSES, "checked": NO_POSES, "fitted": None}
        | {"queries": 13, "miscalibrated": 0},
    ],
    "bench unknown": [{"images": "other places", **UNKNOWN}],
    **{f"--landmark-source {source}": [summary("kitchen-36", source=source)] for source in LANDMARK_SOURCES},
}
CELLS = {  # something that each kind of table has to say
    "localization": ("| kitchen-12 | xfeat", "| ms p50 |"),
    "aims": (
        "| kitchen-12 | xfeat   | 1cm 1deg     | 0.98 or more    | 0.97 ",
        "| 0.30 cm (0.20 to 0.40) | no  |",
        "| yes |",
    ),
    "covariance": ("| kitchen-72 | xfeat | pin | 2 | 0.75 |",),
    "uncertain-depths": ("| kitchen-36 | interpolate    | 2 / 2, 0, 0.30 cm (0.20 to 0.40), 0.97, ",),
    "keypoints": ("| kitchen-12 | xfeat   | 2048      | 2 / 2     | 0     | 0.30 cm (0.20 to 0.40) ",),
    "landmarks": ("| kitchen-36 | xfeat   | sift      | 2 / 2 ", "| both      | 2 / 2 "),
    "robustness": ("| 50% of landmarks, 0% noise ",),
    "wrong-focal": ("| 9 / 13    | 2     | 89.3 cm      | 7.2 cm ", "| 0.950 (0.940 to 0.960) "),
    "unknown-places": ("| other places | 2 ", "| 3 to 9 "),
    "map-sources": ("| drift    | 2 / 2 ", "| 1.2          | 0.80 GB"),
    "holdout": ("0.0100 / 0.500", "| 33% "),
}


def result_of(command):
    return next((result for words, result in RESULTS.items() if words in command), EVERYTHING)


@pytest.fixture
def docs(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(PAGE)
    return tmp_path / "docs"


@pytest.fixture
def ran(monkeypatch):
    """The commands that were run. None really is: each writes a result at once, those of kitchen-72 fail."""
    commands = []

    def run(words, **_):
        commands.append(" ".join(words[3:]))
        if "kitchen-72" not in words:  # a word, not a part: tests run in folders with numbers
            Path(words[words.index("--json") + 1]).write_text(json.dumps(result_of(commands[-1])))
            return subprocess.CompletedProcess(words, 0)
        return subprocess.CompletedProcess(words, 3)

    monkeypatch.setattr(measure.subprocess, "run", run)
    monkeypatch.setattr(measure.versions, "describe_commit", lambda: "abc1234")
    return commands


def status_of(*arguments) -> int:
    with pytest.raises(SystemExit) as exit:
        main(["bench", "tables", *map(str, arguments)])
    return exit.value.code


def test_every_table_has_its_markers_and_every_marker_its_table():
    assert set(find_pages(DOCS)) == {table.name for table in TABLES}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_page_names_the_commands_that_the_registry_runs(table):
    _, _, rest = find_pages(DOCS)[table.name].read_text().partition(f"<!-- table {table.name} -->")
    block = rest.partition("<!-- end of")[0]
    assert all(f"    {format_command(command)}\n" in block for command in table.commands)
    assert (f"]({table.name}.svg)" in block) == (table.draw is not None) or "Made with" not in block


@pytest.mark.parametrize("command", sorted({c for table in TABLES for c in table.commands}))
def test_every_command_is_one_of_the_command_line(command, tmp_path):
    words = Bench(tmp_path, tmp_path, every=2).fill_command(command)
    options = parse([*words, "--json", str(tmp_path / "x.json")])
    assert options.json == tmp_path / "x.json"
    assert "{data}" not in command or options.data == tmp_path
    assert "{every}" not in command or options.every == 2


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_can_be_rendered_and_drawn(table, docs, monkeypatch):
    monkeypatch.setattr("benchmarks.tables.write.rewrite_table", lambda path, name, block: blocks.append(block))
    blocks = []
    made = {"versions": {"python": "3.11", "device": "CPU"}, "cores": 2, "commit": "abc1234", "load": 0.1}
    measured = [measure.Measurement(c, 1, result_of(c), **made, date="2026-01-01", minutes=1.0) for c in table.commands]
    write_table(table, docs / "page.md", measured)
    assert "Made with CPU, 2 cores, load average 0.1 before; python 3.11; commit abc1234, 2026-01-01." in blocks[0]
    assert all(cell in blocks[0] for cell in CELLS.get(table.name, ()))
    assert (docs / f"{table.name}.svg").is_file() == (table.draw is not None)


def test_runs_that_differ_by_the_load_alone_are_named_once():
    made = {"versions": {"device": "CPU", "python": "3.11"}, "cores": 2, "minutes": 1.0, "date": "2026-01-01"}
    runs = [("abc", 2.5), ("abc", 0.1), ("abc", 1.0), ("def", 0.5)]
    measured = [measure.Measurement("c", 1, None, commit=commit, load=load, **made) for commit, load in runs]
    assert measure.describe_origin(measured) == (
        "CPU, 2 cores, load average 0.1 to 2.5 before; python 3.11; commit abc, 2026-01-01; and with "
        "CPU, 2 cores, load average 0.5 before; python 3.11; commit def, 2026-01-01"
    )


def test_only_what_is_between_the_markers_changes(docs):
    rewrite_table(docs / "page.md", "robustness", "new\n")
    text = (docs / "page.md").read_text()
    assert text == PAGE.replace("old", "\nnew\n")
    rewrite_table(docs / "page.md", "robustness", "new")
    assert (docs / "page.md").read_text() == text and list(docs.iterdir()) == [docs / "page.md"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nothing\n", "no page with marked tables"),
        ("<!-- table a -->\n", "'a' are not one of each"),
        ("<!-- end of table a -->\n<!-- table a -->\n", "'a' are not one of each"),
        ("<!-- table a -->\n<!-- end of table b -->\n", "'a' are not one of each"),
        ("<!-- table a -->\n<!-- end of table a -->\n" * 2, "'a' is in"),
    ],
)
def test_markers_that_do_not_fit_are_named(docs, text, says):
    (docs / "page.md").write_text(text)
    with pytest.raises(ValueError, match=says):
        find_pages(docs)
    with pytest.raises(ValueError, match="no markers of table 'c'"):
        rewrite_table(docs / "page.md", "c", "new")


def test_a_table_is_measured_written_and_kept(docs, ran, tmp_path):
    flags = ("--docs", docs, "--cache", tmp_path / "cache", "--data", tmp_path / "my data")
    assert status_of("robustness", *flags) == 0
    assert len(ran) == 1 and ran[0].startswith(f"ablate kitchen-12 --robustness --data {tmp_path}/my data --json ")
    written = (docs / "page.md").read_text()
    assert "    python -m deviloc_ros ablate kitchen-12 --robustness\n" in written and "commit abc1234" in written
    assert "Before.\n<!-- table" in written and "-->\nAfter.\n" in written and "Waiting." in written
    assert status_of("robustness", *flags, "--resume") == 0 and len(ran) == 1
    assert status_of("robustness", *flags) == 0 and len(ran) == 2


def test_what_an_older_version_left_is_not_shown(docs, ran, tmp_path, capsys):
    flags = ("--docs", docs, "--cache", tmp_path / "cache")
    assert status_of("robustness", *flags) == 0
    (kept,) = (tmp_path / "cache").glob("*.json")
    kept.write_text(kept.read_text().replace("median_translation_m", "median_m"))
    written = (docs / "page.md").read_text()
    assert status_of("robustness", *flags, "--resume") == 1
    assert "has no 'median_translation_m': run them anew, without --resume" in capsys.readouterr().err
    assert (docs / "page.md").read_text() == written


def test_a_quick_look_changes_no_page(docs, ran, tmp_path, capsys):
    assert status_of("robustness", "--docs", docs, "--cache", tmp_path / "cache", "--every", 5) == 0
    assert "--every 5" in ran[0] and "every 5th query" in capsys.readouterr().out
    assert (docs / "page.md").read_text() == PAGE and not list(docs.glob("*.svg"))


def test_one_run_serves_two_tables_and_one_that_fails_stops_no_other(docs, ran, tmp_path, monkeypatch, capsys):
    tables = (
        DocsTable("fails", ("evaluate kitchen-72",), lambda results: "never"),
        DocsTable("first", ("evaluate kitchen-12",), lambda results: "one"),
        DocsTable("second", ("evaluate kitchen-12", "evaluate-pin"), lambda results: "two"),
        DocsTable("elsewhere", ("evaluate all",), lambda results: "never", needs_cuda=True),
    )
    monkeypatch.setattr("benchmarks.tables.registry.TABLES", tables)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    marked = "".join(f"<!-- table {t.name} -->\n<!-- end of table {t.name} -->\n" for t in tables)
    (docs / "page.md").write_text(marked)
    assert status_of("--docs", docs, "--cache", tmp_path / "cache") == 1
    assert [command.split()[:2] for command in ran] == [
        ["evaluate", "kitchen-72"],
        ["evaluate", "kitchen-12"],
        ["evaluate-pin", "--json"],
    ]
    output, errors = capsys.readouterr()
    assert "`python -m deviloc_ros evaluate kitchen-72` ended with status 3" in errors
    assert "it needs a CUDA device" in output
    text = (docs / "page.md").read_text()
    assert "one" in text and "two" in text and "never" not in text


def test_names_are_listed_and_unknown_ones_refused(docs, ran, tmp_path, capsys):
    flags = ("--docs", docs, "--cache", tmp_path / "cache")
    assert status_of("robustness", "--list", *flags) == 0
    assert "ablate kitchen-12 --robustness  [not run here]" in capsys.readouterr().out
    assert status_of("nonsense", *flags) == 2 and "there are localization" in capsys.readouterr().err
    assert status_of("ablation", *flags) == 2 and "<!-- table ablation -->" in capsys.readouterr().err
    assert ran == []


def test_commands_of_every_recipe_are_ones_of_the_command_line(tmp_path):
    made = set()
    for recipe in RECIPES:
        words = fill_commands(recipe, tmp_path)
        options = [parse(command) for command in words]
        made |= {str(one.output) for one in options if getattr(one, "output", None)}
        assert recipe.map in made and not any("{" in word for command in words for word in command)


def test_a_recipe_that_fails_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"`map info nothing.map` ended with status"):
        measure_recipes(tmp_path, 1, (Recipe("none", "nothing.map", ("map info nothing.map",)),))
