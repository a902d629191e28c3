"""docs/interface.md names tests, topics and files that exist."""

import re

from ros_helpers import ROOT

PAGE = (ROOT / "docs" / "interface.md").read_text()


def test_every_test_it_names_exists():
    known = {
        name
        for file in (ROOT / "test").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 30 and named <= known, named - known


def test_every_feature_that_others_have_has_a_row():
    rows = [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]
    assert rows == [number for number in range(1, 31) if number != 22]


def test_every_file_it_names_exists():
    for file in re.findall(r"`(config/[\w.]+)`", PAGE):
        assert (ROOT / file).is_file(), file
    for file in re.findall(r"`(\w+\.launch\.py)`", PAGE):
        assert (ROOT / "launch" / file).is_file(), file
