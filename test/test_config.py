"""Every value is checked where it is set; a message names the parameter as users write it."""

from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deviloc_ros.config import (
    AggregationConfig,
    Config,
    LiftConfig,
    MatcherConfig,
    PoseConfig,
    RetrievalConfig,
    TrackingConfig,
)
from deviloc_ros.config_fields import from_dict, to_dict
from deviloc_ros.parameters.parameter_file import load_config

GROUPS = [f.name for f in fields(Config())]
PARAMETERS = [(group, f) for group in GROUPS for f in fields(getattr(Config(), group))]


def parameter_id(value):
    return value if isinstance(value, str) else value.name


def one(group, name, value):
    return from_dict(Config(), {group: {name: value}})


@pytest.mark.parametrize(("group", "field"), PARAMETERS, ids=parameter_id)
def test_every_parameter_is_described_and_its_default_allowed(group, field):
    assert is_dataclass(getattr(Config(), group))
    assert field.metadata["description"]
    assert getattr(one(group, field.name, field.default), group) == getattr(Config(), group)


@pytest.mark.parametrize(("group", "field"), PARAMETERS, ids=parameter_id)
def test_bounds_hold_on_both_sides(group, field):
    for bound, beyond in ((field.metadata["low"], -1), (field.metadata["high"], 1)):
        if bound is None:
            continue
        bound = type(field.default)(bound)
        assert getattr(getattr(one(group, field.name, bound), group), field.name) == bound
        with pytest.raises(ValueError, match=rf"{field.name} = .* is outside"):
            one(group, field.name, bound + beyond)


@pytest.mark.parametrize(("group", "field"), PARAMETERS, ids=parameter_id)
@pytest.mark.parametrize("value", [None, [1], {"a": 1}, True, float("nan")], ids=str)
def test_other_types_are_refused(group, field, value):
    if type(value) is type(field.default) and field.metadata["low"] is None:
        pytest.skip("a value of that type is allowed")
    with pytest.raises(ValueError, match=field.name):
        one(group, field.name, value)


def test_a_whole_number_may_stand_for_a_float_but_not_the_reverse():
    assert PoseConfig(max_reprojection_error_px=5).max_reprojection_error_px == 5.0
    with pytest.raises(ValueError, match=r"PoseConfig\.min_inliers must be int"):
        PoseConfig(min_inliers=5.0)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: MatcherConfig(name="sift"), "MatcherConfig.name"),
        (lambda: LiftConfig(method="depth"), "LiftConfig.method"),
        (lambda: LiftConfig(landmark_source="orb"), "LiftConfig.landmark_source"),
    ],
)
def test_choices_are_listed_when_missed(make, name):
    with pytest.raises(ValueError, match=rf"{name} = .* is not one of \w+"):
        make()


@pytest.mark.parametrize("make", [Config, MatcherConfig, LiftConfig, RetrievalConfig, AggregationConfig, PoseConfig])
def test_a_config_cannot_be_changed(make):
    config = make()
    with pytest.raises(FrozenInstanceError):
        setattr(config, fields(config)[0].name, 1)
    with pytest.raises((AttributeError, TypeError)):
        config.stale_name = 1  # slots: a name that is no field is an error, not a silent new attribute


def test_unknown_keys_are_named_in_full():
    with pytest.raises(ValueError, match=r"unknown parameter pose\.min_inlier;.*min_inliers"):
        one("pose", "min_inlier", 20)
    with pytest.raises(ValueError, match=r"unknown parameter poses;.*pose"):
        from_dict(Config(), {"poses": {}})
    with pytest.raises(ValueError, match=r"unknown parameter min_inliers; did you mean 'pose\.min_inliers'\?"):
        from_dict(Config(), {"min_inliers": 40})
    with pytest.raises(ValueError, match=r"^pose\.min_inliers must be int, got 'many'"):
        one("pose", "min_inliers", "many")
    with pytest.raises(ValueError, match="pose must be a mapping"):
        from_dict(Config(), {"pose": 3})


def test_from_dict_leaves_what_is_not_named():
    config = from_dict(Config(pose=PoseConfig(min_inliers=77)), {"pose": {"min_coverage": 0.3}})
    assert (config.pose.min_inliers, config.pose.min_coverage) == (77, 0.3)
    assert config.matcher == Config().matcher


@given(st.integers(4, 1000), st.floats(0.5, 50), st.sampled_from(["xfeat", "xfeat-lighterglue"]))
def test_yaml_gives_back_the_config(tmp_path_factory, inliers, error_px, matcher):
    config = from_dict(
        Config(),
        {"pose": {"min_inliers": inliers, "max_reprojection_error_px": error_px}, "matcher": {"name": matcher}},
    )
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    path.write_text(yaml.safe_dump(to_dict(config)))
    assert load_config(path, Config()) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pose: {min_inliers: many}", "min_inliers"),
        ("pose: {min_inliers: 3}", "min_inliers"),
        ("pose: [1, 2]", "pose must be a mapping"),
        ("pose: {min_inliers: 3", ""),
        ("just words", ""),
        ("- 1\n- 2", ""),
        ("!!python/object:os.system {}", ""),
        ("1: 2", "unknown parameter 1"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong_in_it(tmp_path, text, message):
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"(?s)robot\.yaml: .*{message}"):
        load_config(path, Config())


def test_an_empty_file_changes_nothing(tmp_path):
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load_config(tmp_path / "empty.yaml", Config()) == Config()


def test_the_section_of_tracking_is_read_on_its_own(tmp_path):
    path = tmp_path / "robot.yaml"
    path.write_text("tracking: {confirmations: 2}\npose: {min_inliers: 40}\n")
    assert load_config(path, Config()).pose.min_inliers == 40
    assert load_config(path, TrackingConfig(), "tracking").confirmations == 2
    path.write_text("tracking: {confirmation: 2}\n")
    with pytest.raises(
        ValueError,
        match=r"robot\.yaml: unknown parameter tracking\.confirmation; did you mean 'tracking\.confirmations'",
    ):
        load_config(path, TrackingConfig(), "tracking")
