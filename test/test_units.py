"""No metres and no centimetres are said of a map whose unit is arbitrary."""

import json
import re

import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import status_of

from deviloc_ros.io.units import Unit
from deviloc_ros.maps.edit import align_map
from deviloc_ros.maps.provenance import ARBITRARY_SCALE

METRES = re.compile(r"\d ?(?:cm|m)\b|\[c?m\]")
lengths = st.floats(1e-3, 1e3)


@given(lengths)
def test_a_length_is_said_in_its_unit(length):
    for unit in Unit:
        said = (unit.format(length), unit.format_error(length), unit.format_bound(length))
        assert all(bool(METRES.search(words)) == (unit is Unit.METRE) for words in said)
        number, error, bound = (float(words.split()[0]) for words in said)
        scale = 100 if unit is Unit.METRE else 1
        assert number == pytest.approx(length, abs=0.005001) and bound == pytest.approx(scale * length, rel=1e-5)
        assert error == pytest.approx(scale * length, abs=scale * 5.001e-5)


@pytest.fixture(scope="module", params=Unit)
def answers(room, room_folder, tmp_path_factory, request):
    """A map of that unit, and what commands write and print of it."""
    import cv2

    folder = tmp_path_factory.mktemp(request.param.value)
    scale = "metres, as measured" if request.param is Unit.METRE else ARBITRARY_SCALE
    align_map(room_folder, pycolmap.Sim3d(), folder / "a.map", {"scale": scale})
    cv2.imwrite(str(folder / "here.png"), room.queries[0])
    return request.param, folder


def test_localize_says_the_unit(answers, capsys):
    unit, folder = answers
    flags = ("--json", folder / "a.json", "--pictures", folder / "pictures")
    assert status_of("localize", folder / "a.map", folder / "here.png", *flags) == 0
    (record,) = json.loads((folder / "a.json").read_text())
    assert record["unit"] == unit.value and "translation_m" in record["world_from_cam"]
    for words in (capsys.readouterr().out, (folder / "pictures" / "map.svg").read_text()):
        assert bool(METRES.search(words)) == (unit is Unit.METRE)
        assert ("arbitrary unit" in words) == (unit is Unit.ARBITRARY)


def test_the_report_of_a_map_says_the_unit(answers, capsys):
    unit, folder = answers
    strict = ("--within-m", "0.004")  # so that there are hard places
    assert status_of("map", "report", folder / "a.map", *strict, "--output", folder / "a.html") == 0
    page = re.sub(r"<path[^>]*>|<style.*?</style>|data:[^\"]+", "", (folder / "a.html").read_text())
    assert "Places that will be hard" in page and "The nearest other view" in page
    for words in (capsys.readouterr().out, page):
        assert bool(METRES.search(words)) == (unit is Unit.METRE)
        assert ("arbitrary unit" in words) == (unit is Unit.ARBITRARY)
