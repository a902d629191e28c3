"""The page of a map: what it says of good, poor and tiny ones, and that it is legible on a phone and on a desk."""

import re

import numpy as np
import pytest
from pages import assert_a_browser_draws_it, assert_needs_nothing_but_itself
from small_maps import reference_view, write_map

from deviloc_ros.cli import main
from deviloc_ros.evaluation.maps.page import make_map_report
from deviloc_ros.evaluation.maps.quality import MapQuality, inspect_views
from deviloc_ros.evaluation.maps.self_localization import Tolerance
from deviloc_ros.localizer import Localizer
from deviloc_ros.maps.look_alikes import LookAlikes

STRICT = Tolerance(0.004, 2.0)


@pytest.fixture(scope="module")
def localizer(room_map) -> Localizer:
    return Localizer(room_map)


@pytest.fixture(scope="module")
def quality(localizer) -> MapQuality:
    return inspect_views(localizer, Tolerance(0.1, 2.0), quiet=True)


@pytest.fixture(scope="module")
def pages(localizer, quality) -> dict[str, str]:
    """Of one map, judged leniently and so strictly that there are hard places."""
    assert any(view.outcome.translation_m > STRICT.translation_m for view in quality.views)
    strict = MapQuality(quality.views, STRICT)
    return {
        "lenient": make_map_report(localizer, quality, [], []),
        "strict": make_map_report(localizer, strict, ["<b>torn</b>"], [LookAlikes("view <a>", "view b", 120, 10.0)]),
    }


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.S).split())


def test_every_view_is_looked_at_and_localized(quality, room_map):
    assert [view.name for view in quality.views] == [record.name for record in room_map.records]
    for number, view in enumerate(quality.views):
        assert view.outcome.localized and view.outcome.translation_m < 0.1 and view.inliers > 30
        assert view.landmarks == len(room_map.landmarks_of(number)) and np.median(view.reprojection_px) < 2
        assert view.neighbour != view.name and 0 < view.distance_m < 2
        assert {"match", "lift", "aggregate", "pose"} <= set(view.stages_ms)


def test_hard_views_are_the_lost_ones_then_those_farthest_off(quality):
    strict = MapQuality(quality.views, STRICT)
    errors = [view.outcome.translation_m for view in strict.hard]
    assert errors == sorted(errors, reverse=True) and min(errors) > STRICT.translation_m
    assert len(strict.hard) + sum(view.outcome.translation_m <= STRICT.translation_m for view in quality.views) == 7


def test_the_page_says_what_is_good_and_what_is_hard(pages, quality):
    assert "Each of the 7 views is localized from the others within 10 cm and 2 degrees" in text_of(pages["lenient"])
    strict, worst = text_of(pages["strict"]), MapQuality(quality.views, STRICT).hard[0]
    assert f"1 {worst.name}: off by" in strict and f"The nearest other view, {worst.neighbour}," in strict
    assert strict.index("hard places") < strict.index("What it covers") < strict.index("Places that will be hard")
    for word in ("landmarks per view", "reprojection error", "confidence", "Size and time", "MB a view", "ms match"):
        assert word in strict
    assert "<b>torn" not in pages["strict"] and "torn" in strict


@pytest.mark.parametrize("kind", ["lenient", "strict"])
def test_the_page_needs_nothing_but_itself(pages, kind):
    assert_needs_nothing_but_itself(pages[kind], pictures=5)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_all_of_it_without_an_error(pages, tmp_path, width):
    assert_a_browser_draws_it(pages["strict"], tmp_path, width, pictures=5)


@pytest.mark.parametrize(
    ("count", "verdict", "why"),
    [(1, "one view alone", "no reference view"), (3, "0 of 3 views are localized", "too few")],
)
def test_a_map_that_localizes_nothing_has_a_page(tmp_path, capsys, count, verdict, why):
    write_map(tmp_path / "a.map", [reference_view(number) for number in range(count)])
    with pytest.raises(SystemExit) as done:
        main(["map", "report", str(tmp_path / "a.map"), "--output", str(tmp_path / "report.html")])
    assert done.value.code == 0 and verdict in capsys.readouterr().out
    page = text_of((tmp_path / "report.html").read_text())
    assert verdict in page and f"no pose: {why}" in page and "median error none" in page
