"""Errors drawn from their covariance look consistent; ones too large for it do not."""

import numpy as np
import pytest
from scipy.stats import chi2
from worlds import rigid_of

from deviloc_ros.evaluation.covariance import draw_nees, format_table, measure_consistency
from deviloc_ros.evaluation.metrics import normalised_error_squared
from deviloc_ros.types import Evidence, Localized

NEES = chi2(6).rvs(2000, random_state=0).tolist()


def test_the_error_is_that_of_the_camera_in_the_world():
    truth = rigid_of([0.4, -0.2, 0.1], [1.0, 2.0, 3.0])
    off = rigid_of([0, 0, 0.02], [0, 0, 0]) * truth.inverse()
    off.translation = truth.inverse().translation + np.array([0.3, 0.0, 0.0])
    result = Localized(off.inverse(), np.diag([0.1**2] * 3 + [0.01**2] * 3), Evidence())
    assert normalised_error_squared(result, truth) == pytest.approx(3**2 + 2**2)


def test_a_covariance_that_is_right_looks_so():
    figures = measure_consistency(NEES)
    assert figures["median_nees_ratio"] == pytest.approx(1.0, abs=0.06)
    assert figures["inside_99"] == pytest.approx(0.99, abs=0.006)


def test_one_that_is_too_small_shows():
    figures = measure_consistency([4 * value for value in NEES])
    assert figures["median_nees_ratio"] > 3.5 and figures["inside_99"] < 0.7
    assert np.isnan(measure_consistency([])["inside_99"])


def test_the_table_pools_all_runs_and_the_picture_is_a_small_file(tmp_path):
    runs = {("kitchen-12", "xfeat", "interpolate"): NEES[:50], ("kitchen-36", "xfeat", "interpolate"): NEES[50:100]}
    lines = format_table(runs).splitlines()
    assert len(lines) == 5 and lines[-1].startswith("| all |") and "| 100 |" in lines[-1]
    draw_nees(tmp_path / "nees.svg", runs)
    content = (tmp_path / "nees.svg").read_text()
    assert "kitchen-36, xfeat" in content and len(content) < 200_000
    draw_nees(tmp_path / "again.svg", runs)
    assert (tmp_path / "again.svg").read_text() == content
