"""docs/interface.md names topics, services and files that exist."""

import re

from ros_helpers import ROOT

PAGE = (ROOT / "docs" / "interface.md").read_text()


def test_every_file_it_names_exists():
    for file in re.findall(r"`(config/[\w.]+)`", PAGE):
        assert (ROOT / file).is_file(), file
    for file in re.findall(r"`(\w+\.launch\.py)`", PAGE):
        assert (ROOT / "launch" / file).is_file(), file


def test_every_topic_and_service_of_the_node_has_a_row():
    """The names that the node's modules give to what it offers, as they are written there."""
    sources = "".join(path.read_text() for path in sorted((ROOT / "deviloc_ros" / "ros").glob("*.py")))
    named = set(re.findall(r'"(~/\w+)"', sources))
    rows = set(re.findall(r"^\| `(~/\w+)`", PAGE, re.MULTILINE))
    assert named and named <= rows, named - rows
