"""Fixtures that every test may use."""

import os
from pathlib import Path

# One of several processes takes one core: said before NumPy is imported, whose BLAS reads it then.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
import torch
from fuzzing import FUZZ_FACTOR
from hypothesis import settings
from ros_helpers import ros, ros_domain, ros_node

# The same examples in each run, and none fails for being slow on a busy machine. FUZZ_FACTOR=100 tries more of them.
settings.register_profile("deviloc_ros", deadline=None, derandomize=True, max_examples=60 * FUZZ_FACTOR)
settings.load_profile("deviloc_ros")

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)

__all__ = ["cuda", "data", "ros", "ros_domain", "ros_node"]

pytest_plugins = ["rooms", "reference"]


@pytest.fixture(scope="session")
def cuda() -> torch.device:
    """The GPU, where there is one."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda")


@pytest.fixture(scope="session")
def data() -> Path:
    """The example data: $DEVILOC_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("DEVILOC_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not (folder / "7scenes").is_dir():
        pytest.skip(f"no example data in {folder}; DEVILOC_DATA names another folder")
    return folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `long`, unless -m asks for it."""
    if "long" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
