"""Read released weights without executing anything, check what they hold, and say in errors what to do.

Files are the authors' checkpoints (`{"state_dict": ...}`, read with `weights_only`) or the safetensors made from them.
Keys are the authors', without the leading `model.`: `matcher.` is TopicFM-fast, `pts3d_infer.` DeViLoc's PIN.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from deviloc_ros.io.atomic import replace_on_success
from deviloc_ros.io.plain_files import expand_home
from deviloc_ros.upstream.releases import MATCHER, PIN, weights_folder

RANDOM = "random"
NAMES_SHOWN = 3
N = TypeVar("N", bound=nn.Module)

log = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """Raise when weights cannot be used; the message names the file, the keys and what to do."""


def weights_path(name: str, given: str = "") -> Path:
    """Return the file a config names, else the one fetched for the release `name`."""
    return expand_home(given) if given else weights_folder() / f"{name}.safetensors"


@cache
def expected_shapes() -> Mapping[str, tuple[int, ...]]:
    """Return the shape of every tensor of the released model, by key."""
    from deviloc_ros.upstream.pin import UpstreamPin
    from deviloc_ros.upstream.topicfm.network import TopicFM

    with torch.device("meta"):
        networks = {MATCHER: TopicFM(), PIN: UpstreamPin()}
    return {
        prefix + key: tuple(tensor.shape)
        for prefix, network in networks.items()
        for key, tensor in network.state_dict().items()
    }


def load_network(
    kind: type[N], given: str, part: str, draw: Callable[[N], None] = lambda network: None
) -> tuple[N, str]:
    """Load a network from the keys that start with `part`.

    Args:
        given: a file; empty means the fetched one; `random` means untrained, for measuring time.
        draw: draws random weights, where the network's own first ones are of no use.

    Returns:
        The network, and the SHA-256 of its weights, which tells two sets apart.

    Raises:
        CheckpointError: see `read_weights`; or the file lacks the part.
    """
    if given == RANDOM:
        log.warning("%s runs with random weights: they show what it costs, and are not made to localize", kind.__name__)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = kind()
            draw(network)
        return network, hash_tensors(network.state_dict())
    network, path = kind(), weights_path("deviloc", given)
    tensors = read_weights(path)
    mine = {key.removeprefix(part): tensor for key, tensor in tensors.items() if key.startswith(part)}
    if not mine:
        raise CheckpointError(
            f"{path}: holds TopicFM only ({len(tensors)} keys {MATCHER}*), and DeViLoc's {part}* is needed; "
            f"`deviloc lab fetch-weights deviloc` brings both, or name a file with --weights"
        )
    network.load_state_dict(mine)
    return network, hash_tensors(mine)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors by key, without a leading `model.`; complete, of the right shapes and finite.

    Raises:
        CheckpointError: no such file, a truncated or foreign one, or one whose keys are not the released ones.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such weights file; `deviloc lab fetch-weights {path.stem}` downloads the released "
            f"ones, or name a file with --weights"
        )
    tensors = {key.removeprefix("model."): tensor for key, tensor in read_tensors(path).items()}
    check_keys(path, tensors)
    return tensors


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read whatever tensors a file holds. Nothing in it is executed."""
    size = path.stat().st_size
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: no safetensors file, or truncated ({size} bytes): {error}") from error
    except Exception as error:  # torch.load raises whatever its zip reader and its unpickler throw
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "weights_only" in str(error).lower() and "Unsupported" in str(error):
            reason = "it holds Python objects besides tensors, which are not loaded"
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint ({size} bytes): {reason}; if it is truncated, fetch it again: "
            f"`deviloc lab fetch-weights deviloc`"
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: no checkpoint: expected a `state_dict` of tensors")
    return state


def check_keys(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError unless the keys are those of TopicFM-fast, or of it and the PIN, with their shapes."""
    parts = (MATCHER, PIN) if any(key.startswith(PIN) for key in tensors) else (MATCHER,)
    expected = {key: shape for key, shape in expected_shapes().items() if key.startswith(parts)}
    faults = [
        list_keys("missing", expected.keys() - tensors.keys()),
        list_keys("not known", tensors.keys() - expected.keys()),
        list_keys(
            "of another shape",
            (
                f"{key} {tuple(tensors[key].shape)} instead of {shape}"
                for key, shape in expected.items()
                if key in tensors and tuple(tensors[key].shape) != shape
            ),
        ),
    ]
    found = "; ".join(fault for fault in faults if fault)
    if found:
        raise CheckpointError(
            f"{path}: not the weights of TopicFM-fast and DeViLoc: {found}. Another branch of TopicFM (TopicFM, "
            f"TopicFM+) does not fit; `deviloc lab fetch-weights deviloc` brings the right file"
        )
    bad = [key for key, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise CheckpointError(f"{path}: {list_keys('not finite', bad)}; train or fetch the weights again")


def list_keys(what: str, keys: Iterable[str]) -> str:
    """Return `3 keys missing: a, b, c`, or nothing."""
    names = sorted(keys)
    if not names:
        return ""
    shown = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
    return f"{len(names)} {'key' if len(names) == 1 else 'keys'} {what}: {shown}"


def convert_checkpoint(source: Path, destination: Path, notes: Mapping[str, str]) -> None:
    """Write checked weights as safetensors, complete or not at all."""
    save_weights(read_weights(source), destination, notes)


def save_weights(tensors: Mapping[str, Tensor], destination: Path, notes: Mapping[str, str]) -> None:
    """Write tensors as safetensors; the file appears complete or not at all."""
    contiguous = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    with replace_on_success(destination) as partial:
        save_file(contiguous, partial, dict(notes))


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names and bytes."""
    state = hashlib.sha256()
    for key in sorted(tensors):
        state.update(key.encode())
        state.update(tensors[key].detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def git_blob_id(path: Path) -> str:
    """Return what git calls a file of this content: SHA-1 of a header and the bytes."""
    state = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()
