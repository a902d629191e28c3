"""Numbers from the authors' code in ../shared/reference, and a checkpoint in the released layout made by their rule."""

import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"


def case(name: str) -> dict[str, np.ndarray]:
    """`in/`, `mid/` and `out/` arrays of one case. Skips the test where there are none."""
    if not REFERENCE.is_dir():
        pytest.skip(f"no reference numbers in {REFERENCE}")
    with np.load(REFERENCE / f"{name}.npz") as arrays:
        return dict(arrays)


@cache
def released_tensors() -> dict[str, torch.Tensor]:
    """The tensors the numbers were computed with, under the keys of the released file; the rule is in its README."""
    stored = case("weights_small")
    tensors = {}
    for line in (REFERENCE / "state_dict_keys.txt").read_text().splitlines():
        name = line.split()[0]
        key = name.removeprefix("model.")
        if f"array/{key}" in stored:
            value = stored[f"array/{key}"]
        else:
            draw = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(tuple(stored[f"shape/{key}"]))
            value = draw.astype(np.float32) * stored[f"scale/{key}"]
        tensors[name] = torch.from_numpy(np.array(value))
    return tensors


@pytest.fixture(scope="session")
def released_checkpoint(tmp_path_factory) -> Path:
    """A file laid out as `deviloc_weights.ckpt`."""
    path = tmp_path_factory.mktemp("weights") / "deviloc_weights.ckpt"
    torch.save({"state_dict": released_tensors()}, path)
    return path
