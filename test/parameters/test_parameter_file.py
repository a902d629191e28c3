"""One config of three layouts: nested, dotted, and as a node is started with; what is misspelt is an error in each."""

import logging
from argparse import Namespace
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deviloc_ros.commands.flags.config_check import check_config
from deviloc_ros.config import Config, TrackingConfig
from deviloc_ros.parameters.layouts import read_parameters
from deviloc_ros.parameters.node_config import OF_NODE
from deviloc_ros.parameters.parameter_file import FLAGS, load_config

ROOT = Path(__file__).resolve().parents[2]
OF_ROBOT = """
/**:
  ros__parameters:
    use_sim_time: true
    qos_overrides./image.subscription.reliability: reliable
    cameras: [front]
    front.image_topic: /front
    front: {mask_path: mask.png}
    two_d_mode: true
    odom_frame: odom
    tracking.confirmations: 2
    pose: {min_inliers: 20}
deviloc:
  ros__parameters:
    pose.min_inliers: 40
amcl:
  ros__parameters: {alpha1: 0.2}
"""


def write(tmp_path, text):
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "pose: {min_inliers: 40}\ntracking: {confirmations: 2}",
        "pose.min_inliers: 40\ntracking.confirmations: 2",
        "pose.min_inliers: 40\npose: {}\ntracking: {confirmations: 2}",
        OF_ROBOT,
        OF_ROBOT.replace("deviloc:", "/robot1/deviloc:"),
        "renamed:\n  ros__parameters: {pose.min_inliers: 40, tracking.confirmations: 2}",
    ],
)
def test_three_layouts_say_the_same(tmp_path, text):
    path = write(tmp_path, text)
    config = load_config(path, Config())
    assert (config.pose.min_inliers, load_config(path, TrackingConfig(), "tracking").confirmations) == (40, 2)
    assert config.retrieval == Config().retrieval


def test_the_file_that_the_node_is_shipped_with_is_read():
    assert load_config(ROOT / "config" / "deviloc.yaml", Config()) == Config()
    shipped = yaml.safe_load((ROOT / "config" / "deviloc.yaml").read_text())["/**"]["ros__parameters"]
    assert read_parameters(ROOT / "config" / "deviloc.yaml") == (shipped, True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pose.min_inlier: 40", "unknown parameter pose.min_inlier; did you mean 'pose.min_inliers'"),
        ("poses.min_inliers: 40", "unknown parameter poses.min_inliers; did you mean 'pose.min_inliers'"),
        ("pose: 3\npose.min_inliers: 4", "pose.min_inliers: pose is the value"),
        (
            "image_topic: /camera",
            "image_topic is a parameter of the node only; commands that use it have --image-topic",
        ),
        ("tracking: {confirmation: 2}", "did you mean 'tracking.confirmations'"),
        ("/**:\n  pose: {min_inliers: 40}", "`ros__parameters:` must be below"),
        ("/**:\n  ros__parameters: {map_pth: a}", "unknown parameter map_pth; did you mean 'map_path'"),
        ("/**:\n  ros__parameters: {max_image_age: 1.0}", "it is max_image_age_s now"),
        ("/**:\n  ros__parameters: {cameras: [a], a.image_topi: b}", "unknown parameter a.image_topi; did you mean"),
        ("/**:\n  ros__parameters: {pose.min_inliers: few}", "pose.min_inliers must be int, got 'few'"),
        (OF_ROBOT.replace("/**:", "devilok:").replace("deviloc:", "b:"), "none for the node deviloc; did you mean"),
        (
            OF_ROBOT.replace("\ndeviloc:", "\n/two/deviloc:").replace("/**:", "/one/deviloc:"),
            "several robots, /one, /two",
        ),
    ],
)
def test_what_is_misspelt_is_an_error_in_each(tmp_path, text, says):
    with pytest.raises(ValueError, match=r"robot\.yaml: ") as error:
        load_config(write(tmp_path, text), Config())
    assert says in str(error.value)


def test_what_a_flag_would_say_is_missed_with_a_word(tmp_path, caplog):
    given = Namespace(config=write(tmp_path, OF_ROBOT), two_d=False, odom_frame="odom", image_topic=[])
    with caplog.at_level(logging.WARNING):
        check_config(given)
    (said,) = caplog.messages
    assert said.endswith("here give the flags: cameras (--image-topic), two_d_mode (--two-d)")
    caplog.clear()
    for options in (Namespace(config=given.config), Namespace(**(vars(given) | {"two_d": True, "image_topic": ["a"]}))):
        check_config(options)
    assert caplog.messages == []
    assert set(FLAGS) <= set(OF_NODE)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-3, 3) | st.floats(width=16) | st.text("ab/.é", max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["cameras", "pose", "front", "/", "deviloc", "/**", "ros__parameters", "a.b"]), inner
            )
        ),
        max_leaves=8,
    )
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_yaml_is_read_or_refused_in_words(tmp_path, content):
    path = write(tmp_path, yaml.safe_dump({"cameras": content} if not isinstance(content, dict) else content))
    try:
        load_config(path, Config())
    except ValueError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("place", ["/", "//", "/*", "**/"])
def test_a_namespace_of_no_letters_is_any(tmp_path, place):
    text = f"'{place}': {{deviloc: {{ros__parameters: {{pose.min_inliers: 40}}}}}}"
    assert load_config(write(tmp_path, text), Config()).pose.min_inliers == 40


def test_a_node_of_which_nothing_is_said_is_as_it_is(tmp_path):
    assert load_config(write(tmp_path, "deviloc:\n  ros__parameters:\n"), Config()) == Config()


def test_a_namespace_that_begins_like_the_node_is_a_robot_of_its_own(tmp_path):
    text = "".join(f"/deviloc_{name}/deviloc:\n  ros__parameters: {{pose.min_inliers: 40}}\n" for name in "ab")
    with pytest.raises(ValueError, match="several robots, /deviloc_a, /deviloc_b"):
        load_config(str(write(tmp_path, text)), Config())
