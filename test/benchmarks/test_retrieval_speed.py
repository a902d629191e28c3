"""The benchmark of the search for views that look alike."""

import json

import pytest

from deviloc_ros.cli import main
from deviloc_ros.maps.retrieval import index as view_index


def test_few_views_are_searched_and_scored(tmp_path, monkeypatch):
    monkeypatch.setattr(view_index, "CODE_BYTES", 8)
    words = ("bench", "retrieval", "--views", "1000", "--dimensions", "64", "--queries", "20")
    with pytest.raises(SystemExit) as exit:
        main([*words, "--folder", str(tmp_path), "--json", str(tmp_path / "a.json")])
    assert exit.value.code == 0 and [path.name for path in tmp_path.iterdir()] == ["a.json"]
    figures = json.loads((tmp_path / "a.json").read_text())
    assert figures["views"] == 1000 and figures["recall_at_10"] > 0.95
    assert figures["descriptors_gb"] == pytest.approx(1000 * 64 * 2 / 1e9) and figures["peak_gb"] > 0


def test_too_few_views_for_an_index_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "retrieval", "--views", "9"])
    assert "--views 9" in capsys.readouterr().err
