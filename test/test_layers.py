"""Hold the drawing of the rooms: imports point one way, ROS stays at the edge, nothing heavy is imported early."""

import ast
import re
import subprocess
import sys

import pytest
from source_code import PACKAGE, ROOT, ROS_NAMES, SOURCES, imported, module_name

LAYERS = (
    {
        "config",
        "config_fields",
        "types",
        "camera",
        "geometry",
        "imaging",
        "masks",
        "sampling",
        "stopwatch",
        "status",
        "threads",
        "io",
    },
    {"messages", "workers", "matching", "lifting", "pose", "synthetic"},
    {"bags", "parameters"},
    {"sources"},
    {"maps"},
    {"sfm", "search"},
    {"localizer"},
    {"mapping", "tracking", "training", "upstream"},
    {"evaluation", "doctor"},
    {"demo", "view"},
    {"ros"},
    {"commands"},
    {"cli"},
)
FOUNDATION = LAYERS[0]
# Rooms of one layer that may import each other, and the doors of the wing `upstream`.
BESIDE = {
    **dict.fromkeys(FOUNDATION, FOUNDATION),
    "matching": {"upstream"},
    "lifting": {"upstream"},
    "pose": {"upstream"},
}
RUN_WITHOUT_ROS = """
import importlib, re, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if re.fullmatch(sys.argv[1], name.partition(".")[0]):
            raise ImportError(f"{name} is ROS")

sys.meta_path.insert(0, Blocked())
for name in sys.argv[2:]:
    importlib.import_module(name)
"""
LEVELS = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


def is_shell(path):
    return path.is_relative_to(PACKAGE / "ros")


def test_importing_the_package_imports_nothing_heavy():
    heavy = "torch", "numpy", "cv2", "pycolmap", "matplotlib"
    look = f"import deviloc_ros, sys; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, cwd=ROOT).stdout.strip() == "[]"


@pytest.mark.parametrize("path", [path for path in SOURCES if not is_shell(path)], ids=module_name)
def test_the_core_does_not_name_ros(path):
    assert [name for name in imported(ast.parse(path.read_text())) if ROS_NAMES.fullmatch(name)] == []


def rooms_imported(path):
    """First parts of the names of what a file imports of this package, below the package's own name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "deviloc_ros":
            parts = node.module.split(".")[1:2]
            yield from parts or (alias.name for alias in node.names)


def room_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", [path for path in SOURCES if not path.name.startswith("__")], ids=module_name)
def test_imports_point_downwards(path):
    """A room imports itself and rooms of lower layers only; the published method's wing stands beside the stages."""
    room = room_of(path)
    above = [other for other in rooms_imported(path) if other in LEVELS and LEVELS[other] >= LEVELS[room]]
    assert [other for other in above if other not in (room, *BESIDE.get(room, ()))] == []


def test_every_room_has_a_layer():
    assert {room_of(path) for path in SOURCES} - {"__init__", "__main__"} == set(LEVELS)


def test_the_page_for_developers_draws_these_layers():
    section = (ROOT / "docs/development.md").read_text().partition("## Layers")[2]
    drawing = re.search(r"(^    .*\n)+", section, re.MULTILINE)[0]
    assert [set(row.replace("<-", "").split()) for row in drawing.splitlines()] == list(LAYERS)


def test_no_modules_import_each_other_in_a_circle():
    names = {module_name(path): path for path in SOURCES}
    edges = {name: set(modules_imported(path)) & set(names) - {name} for name, path in names.items()}
    while leaves := {name for name, others in edges.items() if not others & set(edges)}:
        edges = {name: others for name, others in edges.items() if name not in leaves}
    assert sorted(edges) == []


def modules_imported(path):
    """Dotted names of what a file imports when it is imported itself."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_published_method_is_a_closed_wing():
    """Whoever reads the default method meets it only where a method is chosen by name."""
    doors = {"matching/__init__.py", "lifting/__init__.py", "pose/aggregation.py"}
    visitors = {str(path.relative_to(PACKAGE)) for path in SOURCES if "upstream" in set(rooms_imported(path))}
    assert {name for name in visitors if name.partition("/")[0] not in ("upstream", "commands")} == doors


def test_the_node_needs_neither_evaluation_nor_demo():
    """Its tools do."""
    node = [path for path in SOURCES if path.parent == PACKAGE / "ros" and path.name != "replay.py"]
    assert {room for path in node for room in rooms_imported(path)} & {"evaluation", "demo", "training"} == set()


def test_the_package_does_not_import_the_benchmarks_but_for_their_commands():
    importers = {room_of(path) for path in SOURCES if "benchmarks" in set(imported(ast.parse(path.read_text())))}
    assert importers <= {"commands"}


def test_the_core_imports_with_ros_out_of_reach():
    core = [module_name(path) for path in SOURCES if not is_shell(path) and path.name != "__main__.py"]
    result = subprocess.run(
        [sys.executable, "-c", RUN_WITHOUT_ROS, ROS_NAMES.pattern, *core], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 0, result.stderr
