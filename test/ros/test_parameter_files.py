"""What a parameter file says to a node, held against what rclpy makes of the same file."""

import pytest

pytest.importorskip("rclpy")

from rclpy.node import Node

from deviloc_ros.ros.parameter_files import read_use_sim_time

PLACES = [
    "/**",
    "deviloc",
    "/deviloc",
    "amcl",
    "/robot1/deviloc",
    "/robot1/**",
    "/*",
    "/*/*",
    "/*/deviloc",
    "/**/deviloc",
    "robot1:\n  deviloc",
    "/**:\n  deviloc",
]


def said(*places_and_values: tuple[str, str]) -> str:
    """A parameter file; a place of several lines is nested."""
    parts = []
    for place, value in places_and_values:
        indent = "  " * (place.count("\n") + 1)
        parts.append(f"{place}:\n{indent}ros__parameters:\n{indent}  use_sim_time: {value}\n")
    return "".join(parts)


def rclpy_says(file, namespace: str) -> bool:
    arguments = ["--ros-args", "-r", f"__ns:={namespace}", "--params-file", str(file)]
    node = Node("deviloc", cli_args=arguments, start_parameter_services=False)
    value = node.get_parameter("use_sim_time").value
    node.destroy_node()
    return value


@pytest.mark.ros
@pytest.mark.parametrize("namespace", ["/", "/robot1", "/a/b"])
def test_places_mean_the_nodes_that_they_mean_to_rclpy(ros, tmp_path, namespace):
    node = f"{namespace.rstrip('/')}/deviloc"
    for number, place in enumerate(PLACES):
        file = tmp_path / f"{number}.yaml"
        file.write_text(said((place, "true")))
        assert read_use_sim_time(file, node) == rclpy_says(file, namespace), place


@pytest.mark.ros
@pytest.mark.parametrize(
    "content",
    [
        "",
        said(("/**", "false"), ("deviloc", "true")),
        said(("deviloc", "true"), ("/**", "false")),
        said(("/*", "yes"), ("/**", "off")),
        "/**:\n  ros__parameters:\n    map_path: a\n",
    ],
)
def test_of_several_places_the_last_counts(ros, tmp_path, content):
    file = tmp_path / "params.yaml"
    file.write_text(content)
    assert read_use_sim_time(file, "/deviloc") == rclpy_says(file, "/")


@pytest.mark.parametrize("value", ["1", "'true'", "maybe"])
def test_what_is_neither_true_nor_false_is_refused_with_the_file(tmp_path, value):
    file = tmp_path / "params.yaml"
    file.write_text(said(("/**", value)))
    with pytest.raises(ValueError, match=r"params\.yaml: use_sim_time must be true or false"):
        read_use_sim_time(file, "/deviloc")


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("/**: [")
    with pytest.raises(ValueError, match=r"params\.yaml"):
        read_use_sim_time(file, "/deviloc")
