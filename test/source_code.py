"""The package's source files, and what they import, for tests of the code itself."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "deviloc_ros"
SOURCES = sorted(PACKAGE.rglob("*.py"))
ROS_NAMES = re.compile(
    r"(rclpy|rcl_interfaces|builtin_interfaces|\w+_msgs|std_srvs|tf2_\w+|cv_bridge|tf_transformations|message_filters"
    r"|image_transport\w*|launch|launch_ros|ament_index_python|diagnostic_updater)"
)


def called(call):
    """Dotted name of what a call calls, as written."""
    return ast.unparse(call.func)


def imported(tree):
    """Top-level names of all absolute imports, wherever they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
