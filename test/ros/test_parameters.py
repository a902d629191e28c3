"""Every field of the config dataclasses is a ROS parameter: declared, described, checked before it is applied."""

import re

import pytest
import yaml
from ros_helpers import ROOT

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter
from ros.stand_in import StandInLocalizer

from deviloc_ros.parameters.node_config import RENAMED, NodeConfig
from deviloc_ros.ros.node import DevilocNode
from deviloc_ros.ros.parameters import (
    Parameters,
    all_fields,
    all_parameters,
    change_parameters,
    find_part,
    make_parameters_page,
)

pytestmark = pytest.mark.ros

# Of amcl, slam_toolbox and robot_localization, where they have no unit either: known names are worth more.
NAMED_BY_OTHERS = {"transform_tolerance", "transform_timeout", "save_pose_rate"}
NAMES = [name for name, _, _ in all_parameters(Parameters())]


@pytest.fixture
def node(ros):
    node = DevilocNode(lambda parameters: [StandInLocalizer(parameters.localizer)])
    yield node
    node.close()
    node.destroy_node()


def start_with(**values) -> None:
    overrides = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
    DevilocNode(parameter_overrides=overrides).destroy_node()


def set_parameter(node: DevilocNode, name: str, value) -> tuple[bool, str]:
    (result,) = node.set_parameters([Parameter(name, value=value)])
    return result.successful, result.reason


def test_every_field_is_declared_with_its_default_and_its_description(node):
    for name, _, default in all_parameters(Parameters()):
        if default == ():  # a list without entries has no type: it is not set
            assert node.get_parameter_or(name).value is None
        else:
            assert node.get_parameter(name).value == default, name
        assert node.describe_parameter(name).description, name


def test_ranges_and_rules_are_described(node):
    described = node.describe_parameter("pose.max_reprojection_error_px").floating_point_range[0]
    assert (described.from_value, described.to_value) == (0.5, 50.0)
    assert node.describe_parameter("retrieval.references").integer_range[0].to_value == 200
    assert "map_to_odom, map_to_base, none" in node.describe_parameter("tf_mode").additional_constraints
    assert "unconfigured" in node.describe_parameter("image_topic").additional_constraints


def test_dotted_names_find_their_config():
    assert [find_part(name) for name in ("map_path", "tracking.smoothing_s", "pose.min_inliers")] == [
        "node",
        "tracking",
        "localizer",
    ]
    values = change_parameters(Parameters(), {"tf_mode": "none", "tracking.smoothing_s": 1.0, "pose.min_inliers": 40})
    assert (values.node.tf_mode, values.tracking.smoothing_s, values.localizer.pose.min_inliers) == ("none", 1.0, 40)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"tf_mode": "sideways"}, "tf_mode"),
        ({"pose__min_inliers": 1}, "pose.min_inliers"),
        ({"max_rate_hz": 5}, "max_rate_hz must be float; write 5.0, not 5"),
        ({"transform_timeout": 1}, "transform_timeout must be float; write 1.0, not 1"),
        ({"max_rate_hz": "fast"}, "max_rate_hz must be float, got 'fast'"),
        ({"max_rate_hz": float("nan")}, "max_rate_hz"),
        ({"two_d_mode": "yes"}, "two_d_mode must be bool"),
        ({"odom_frame": ""}, "odom_frame"),
        ({"base_frame": "map"}, "must differ"),
        ({"map_frame": "/map"}, "slash"),
        ({"base_from_camera": "1 2 3"}, "base_from_camera"),
        ({"map_pth": "typo"}, "unknown parameter map_pth; did you mean 'map_path'?"),
        ({"matcher__name": "xfeat"}, r"unknown parameter matcher.name \(the map settles it: it is build-map's\)"),
        ({"cameras": "front"}, "cameras must be a list of names"),
        ({"cameras": ["front", "front"]}, "'front' is named twice"),
        ({"cameras": ["front", "to the left"]}, "'to the left' is not a camera name"),
        ({"cameras": ["front", "pose"]}, "'pose' begins the names of other parameters"),
        (
            {"cameras": ["front", "left"], "lfet__image_topic": "a"},
            "unknown parameter lfet.image_topic; cameras: front, left",
        ),
        ({"cameras": ["front"], "front__image_topc": "a"}, "did you mean 'front.image_topic'?"),
        ({"front__image_topic": "a"}, "unknown parameter front.image_topic; cameras: none is named"),
        (
            {"cameras": ["front", "left"], "left__image_topic": "front/image"},
            "front and left have the same image_topic, front/image",
        ),
        (
            {"cameras": ["front"], "image_topic": "a"},
            "image_topic is of a single camera: with cameras, set front.image_topic",
        ),
        ({"cameras": ["front"], "front__base_from_camera": "1 2 3"}, "base_from_camera: '1 2 3' is not seven numbers"),
        (
            {"cameras": ["front"], "front__image_transport": "pigeon"},
            r"front\.image_transport = .pigeon. is not one of",
        ),
        ({"max_image_age": 1.0}, r"unknown parameter max_image_age \(it is max_image_age_s now\)"),
    ],
)
def test_a_node_does_not_start_with_an_impossible_parameter(ros, values, says):
    with pytest.raises(ValueError, match=says):
        start_with(**values)


def test_use_sim_time_and_qos_overrides_are_no_unknown_parameters(ros):
    start_with(use_sim_time=True, **{"qos_overrides./image__subscription__reliability": "reliable"})


def test_each_camera_has_the_parameters_that_a_single_one_has(ros):
    values = {"cameras": ["front", "left"], "left.image_topic": "/left/rect", "front.rectified": True}
    node = DevilocNode(
        lambda parameters: [StandInLocalizer(parameters.localizer)],
        parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
    )
    cameras = node._values.cameras
    assert list(cameras) == ["front", "left"] and cameras["front"].rectified
    assert [camera.image_topic for camera in cameras.values()] == ["front/image", "/left/rect"]
    assert cameras["left"].camera_info_topic == "left/camera_info"
    assert set_parameter(node, "left.image_transport", "compressed")[0]
    assert node._values.cameras["left"].subscribed_topic == "/left/rect/compressed"
    assert "named when the node starts" in set_parameter(node, "cameras", ["front"])[1]
    node.destroy_node()


def test_a_single_camera_is_the_case_of_one():
    (name, camera), *_ = Parameters().cameras.items()
    assert name == "" and camera is not None and camera.image_topic == "image"


def test_a_change_is_checked_before_it_is_applied(node):
    for name, value in {
        "pose.min_inliers": 1,
        "max_rate_hz": -1.0,
        "tf_mode": "x",
        "tracking.smoothing_s": 99.0,
    }.items():
        successful, reason = set_parameter(node, name, value)
        assert not successful and name.rsplit(".", maxsplit=1)[-1] in reason
        assert node.get_parameter(name).value != value


def test_values_that_only_fit_together_are_set_together(node):
    assert not set_parameter(node, "odom_frame", "")[0]
    result = node.set_parameters_atomically([Parameter("odom_frame", value=""), Parameter("tf_mode", value="none")])
    assert result.successful


def test_live_parameters_change_at_once_and_others_only_while_unconfigured(node):
    assert set_parameter(node, "base_frame", "base_footprint")[0]
    node.trigger_configure()
    assert set_parameter(node, "pose.min_inliers", 55)[0]
    assert node._session._follower.localizer.config.pose.min_inliers == 55
    successful, reason = set_parameter(node, "base_frame", "base_link")
    assert not successful and "unconfigured" in reason
    assert set_parameter(node, "base_frame", "base_footprint")[0]  # as it is
    node.trigger_cleanup()
    assert set_parameter(node, "base_frame", "base_link")[0]


def test_the_shipped_parameter_file_holds_parameters_at_their_defaults():
    (section,) = yaml.safe_load((ROOT / "config" / "deviloc.yaml").read_text()).values()
    defaults = {name: value for name, _, value in all_parameters(Parameters())}
    for name, value in flat(section["ros__parameters"]).items():
        assert value == defaults[name] and type(value) is type(defaults[name]), name


def flat(tree: dict, prefix: str = "") -> dict:
    values = {}
    for key, value in tree.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return values


def test_the_documented_parameters_are_current():
    documented = (ROOT / "docs" / "parameters.md").read_text()
    assert documented == make_parameters_page(), "run `python -m deviloc_ros.ros.parameters > docs/parameters.md`"


def test_units_are_in_the_names_but_for_names_that_users_know_from_elsewhere():
    described = {name: f.metadata["description"] for name, f, _ in all_fields(Parameters())}
    assert {name for name, text in described.items() if re.search(r"\[(s|Hz)\b", text)} == NAMED_BY_OTHERS
    assert set(RENAMED.values()) <= set(NAMES) and not set(RENAMED) & set(NAMES)


def test_no_parameter_has_two_meanings():
    assert len(set(NAMES)) == len(NAMES)
    assert NodeConfig().uses_odometry and not NodeConfig(tf_mode="map_to_base").uses_odometry
