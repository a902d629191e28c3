"""Positions of a receiver in a recording count as in the node: those that are usable, from when they came."""

import numpy as np
import pycolmap
import pytest
from bags_of_others import CAMERA, IMAGE, TRUTH, stamp
from ros.stand_in import StandInLocalizer

from deviloc_ros.bags.bag_plan import index_bag
from deviloc_ros.bags.reader import TYPES, Recording
from deviloc_ros.bags.writer import BagWriter, make_header
from deviloc_ros.cli import parse
from deviloc_ros.commands.flags.recordings import read_plan
from deviloc_ros.config import TrackingConfig
from deviloc_ros.evaluation.recordings.bag_run import run_offline
from deviloc_ros.maps.georeference import EARTH, Georeference
from deviloc_ros.types import Area

GNSS = "/gnss/fix"
PLACE = Georeference(48.0, 11.0, 0.0, pycolmap.Rigid3d())  # x of the map is east
FLAGS = ("--odom-frame", "", "--extrinsic", "0 0 0 0 0 0 1")


def record(path, positions, images=6):
    """Images of one place, and a position before each: metres east of the map's origin, None: no fix."""
    with BagWriter(path) as bag:
        for number in range(images):
            time_ns = stamp(number)
            bag.write_camera_info("/camera/camera_info", time_ns, "camera", CAMERA)
            if number < len(positions):
                east = positions[number]
                place = EARTH.enu_to_ellipsoid(np.array([[east or 0.0, 0, 0]]), 48.0, 11.0, 0.0)[0]
                write_position(bag, time_ns, place, -1 if east is None else 0)
            bag.write_image(IMAGE, time_ns, "camera", np.full((48, 64, 3), 50, np.uint8))
    return path


def write_position(bag: BagWriter, time_ns: int, place, status: int) -> None:
    fields = {
        "header": make_header(time_ns, "gnss"),
        "status": TYPES.types["sensor_msgs/msg/NavSatStatus"](status=status, service=1),
        "latitude": float(place[0]),
        "longitude": float(place[1]),
        "altitude": 0.0,
        "position_covariance": np.diag([9.0, 9.0, 9.0]).ravel(),
        "position_covariance_type": 2,
    }
    bag._write(GNSS, time_ns, "sensor_msgs/msg/NavSatFix", **fields)


def evaluate(bag, *flags, georeference=PLACE):
    plan = read_plan(parse(["evaluate-bag", str(bag), "--map", "map", "--gnss-topic", GNSS, *FLAGS, *flags]))
    localizer = StandInLocalizer()
    localizer.map.georeference = georeference
    with Recording(bag) as recording:
        indexed = index_bag(recording, plan)
        return run_offline(indexed, plan, localizer, TrackingConfig())


def test_usable_positions_narrow_the_search_and_the_others_are_counted(tmp_path):
    estimates, about = evaluate(record(tmp_path / "bag", [4.0, None, 5.0]))
    assert about["gnss"] == {"taken": 2, "refused": {"no_fix": 1}, "complaint": ""}
    assert isinstance(estimates[0].prior, Area) and estimates[0].prior.point == pytest.approx([4, 0, 0], abs=1e-3)
    assert estimates[-1].map_from_base.translation == pytest.approx([5, 0, 0])  # where the image has it


def test_what_a_position_is_worth_can_be_set(tmp_path):
    bag = record(tmp_path / "bag", [4.0] * 3)
    radii = [evaluate(bag, *flags)[0][0].prior.radius_m for flags in ((), ("--set", "gnss.min_std_m=10.0"))]
    assert radii == pytest.approx([5 * 3 + 10, 5 * 10 + 10])
    assert evaluate(bag, "--set", "gnss.max_std_m=1.0")[1]["gnss"]["refused"] == {"bad_covariance": 3}


def test_a_map_without_a_place_is_said(tmp_path):
    _, about = evaluate(record(tmp_path / "bag", [4.0]), georeference=None)
    assert "no map is aligned to coordinates" in about["gnss"]["complaint"]


def test_a_topic_of_something_else_is_named(tmp_path):
    bag = record(tmp_path / "bag", [])
    with pytest.raises(ValueError, match=f"--gnss-topic {IMAGE} is of sensor_msgs/msg/Image"):
        evaluate(bag, "--gnss-topic", IMAGE)
    with pytest.raises(ValueError, match=f"no topic {TRUTH}"):
        evaluate(bag, "--gnss-topic", TRUTH)
