"""The benchmark of a map that grows: what it disturbs, and that it says what it did."""

from pathlib import Path

import numpy as np
import pytest
from worlds import SMALL, rigid_of

from deviloc_ros.cli import run_command
from deviloc_ros.evaluation.protocols.living_map import DISTURBED_M, format_cases, load_drive, move_contribution
from deviloc_ros.evaluation.protocols.scenes import load_protocol
from deviloc_ros.geometry import rotation_distance_deg, translation_distance_m
from deviloc_ros.sources.contributions import Contribution


def test_a_disturbed_camera_stands_elsewhere_and_looks_the_same_way():
    entry = Contribution("1", Path(), SMALL, rigid_of((0.3, 0.2, 0.1), (1, 2, 3)), np.eye(6), 9, "")
    moved = move_contribution(entry, np.array([1.0, 2.0, 2.0]))
    assert translation_distance_m(entry.cam_from_world, moved.cam_from_world) == pytest.approx(DISTURBED_M)
    assert rotation_distance_deg(entry.cam_from_world, moved.cam_from_world) == pytest.approx(0, abs=1e-6)


def test_the_drive_shares_no_image_with_map_or_queries(data):
    (fold,) = load_protocol("kitchen-72", data).folds
    drive = load_drive(data)
    others = {image.name for image in (*fold.map_images, *fold.queries)}
    assert len(drive) == 50 and not others & {image.name for image in drive}


def test_the_table_says_what_was_kept_added_and_refused():
    recall = {"1cm_1deg": 0.5, "2cm_2deg": 1.0}
    run = {"map": {"views": 9}, "localized": 4, "queries": 5, "wrong_fixes": 0, "median_translation_m": 0.01}
    run |= {"recall": recall, "median_inliers": 77.0}
    case = {"lift": "pin", "kept": 3, "added": 2, "disturbed_refused": ["1", "2", "3"], "disturbed_added": 0}
    said = format_cases({"images_followed": 50, "cases": [case | {"before": run, "after": run}]})
    assert "| before | pin  | 9     | 4 / 5     | 0     | 1.00 cm | 0.50     | 1.00     | 77      |" in said
    assert said.endswith("of 50 images 3 were kept and 2 added; disturbed by 20 cm 3 are refused by name, 0 added")


def test_it_is_run_by_itself(capsys):
    assert run_command(["evaluate", "living-map", "kitchen-72"]) == 2
    assert "run it separately" in capsys.readouterr().err
