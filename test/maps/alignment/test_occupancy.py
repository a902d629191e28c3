"""Floor plans as Nav2 keeps them: where a cell lies, and what is wrong with a file."""

import re

import cv2
import numpy as np
import pytest
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st

from deviloc_ros.maps.alignment.occupancy import OccupancyGrid, read_occupancy
from deviloc_ros.sources.base import SourceError

PIXELS = np.full((20, 30), 254, np.uint8)
PIXELS[0, 0] = 0
PIXELS[5, 5] = 205
GOOD = {"image": "floor.pgm", "resolution": 0.05, "origin": [-1.0, 2.0, 0.0], "negate": 0}


def write(folder, pixels=PIXELS, **change):
    cv2.imwrite(str(folder / "floor.pgm"), pixels)
    lines = [f"{key}: {value}" for key, value in (GOOD | change).items() if value is not None]
    (folder / "floor.yaml").write_text("\n".join(lines))
    return folder / "floor.yaml"


def test_cells_lie_where_nav2_has_them(tmp_path):
    grid = read_occupancy(write(tmp_path))
    assert grid.occupied.sum() == 1 and grid.occupied[0, 0] and grid.free.sum() == 20 * 30 - 2
    # The lower left cell's corner is the origin; the first row of the image is the highest.
    np.testing.assert_allclose(grid.to_points(np.array([[0, 19]])), [[-0.975, 2.025]])
    np.testing.assert_allclose(grid.to_points(np.array([[0, 0]])), [[-0.975, 2.975]])


@given(st.floats(-100, 100), st.floats(-100, 100), st.floats(-6, 6), st.floats(0.01, 1.0))
def test_there_and_back_is_the_same(x, y, yaw, resolution):
    grid = OccupancyGrid(PIXELS, PIXELS < 9, PIXELS > 250, resolution, (x, y, yaw))
    cells = np.array([[0.0, 0.0], [29.0, 19.0], [3.25, 7.5]])
    np.testing.assert_allclose(grid.to_cells(grid.to_points(cells)), cells, atol=1e-6)


def test_a_picture_may_be_negative(tmp_path):
    grid = read_occupancy(write(tmp_path, 255 - PIXELS, negate=1))
    assert grid.occupied.sum() == 1 and grid.occupied[0, 0]


@pytest.mark.parametrize("mode", ["trinary", "scale", None])
def test_the_mode_of_a_plan_says_what_its_pixels_mean(tmp_path, mode):
    grid = read_occupancy(write(tmp_path, mode=mode))
    raw = np.zeros_like(PIXELS)
    raw[0, 0], raw[5, 5] = 100, 255
    same = read_occupancy(write(tmp_path, raw, mode="raw"))
    np.testing.assert_array_equal(grid.occupied, same.occupied)
    np.testing.assert_array_equal(grid.free, same.free)


def test_the_inside_of_walls_is_far_from_what_can_be_seen():
    pixels = np.full((40, 40), 254, np.uint8)
    pixels[10:31, 10:31] = 0
    distances = OccupancyGrid(pixels, pixels < 9, pixels > 250, 0.1, (0, 0, 0)).measure_wall_distances()
    assert distances[10, 20] == 0 and distances[20, 20] == pytest.approx(1.0) and distances[5, 20] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image": None}, "field 'image' is missing"),
        ({"resolution": None}, "field 'resolution' is missing"),
        ({"origin": None}, "field 'origin' is missing"),
        ({"image": "nowhere.pgm"}, "nowhere.pgm"),
        ({"resolution": 0}, "field 'resolution' is 0"),
        ({"resolution": ".nan"}, "field 'resolution' has 'nan'"),
        ({"resolution": "wide"}, "field 'resolution' has 'wide'"),
        ({"resolution": "true"}, "field 'resolution' has 'True'"),
        ({"resolution": "1.0e-6"}, "field 'resolution' is 1e-06 m: expected 0.001 to 10 m"),
        ({"origin": "[1, 2, {}]"}, "field 'origin' has '{}'"),
        *(({"origin": value}, "expected [X, Y, YAW]") for value in ("[1, 2]", "[1, 2, 3, 4]", "1 2 3", "{x: 1}", "5")),
        *(({"negate": value}, "field 'negate' is") for value in ("'0'", "'false'", "2", "[0]", "nope")),
        *(({"mode": value}, "field 'mode' is") for value in ("Trinary", "3", "[raw]")),
        ({"origin": "[1, 2, 90]"}, "field 'origin' is"),
        ({"occupied_thresh": 0.1}, "thresholds"),
        ({"negate": 1, "occupied_thresh": 0.999}, "no cell is occupied"),
        ({"origin": "{a"}, "floor.yaml"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, says):
    with pytest.raises(SourceError, match=re.escape(says)):
        read_occupancy(write(tmp_path, **change))
    with pytest.raises(SourceError, match="nowhere"):
        read_occupancy(tmp_path / "nowhere.yaml")


@given(st.text(st.characters(codec="utf-8"), max_size=80))
@examples(200)
def test_any_text_is_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "floor.yaml"
    path.write_bytes(text.encode())
    with pytest.raises(SourceError, match=r"floor\.yaml"):
        read_occupancy(path)
