"""Run a network by PyTorch, or by ONNX Runtime from a file that PyTorch writes once."""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from deviloc_ros.io.atomic import replace_on_success
from deviloc_ros.io.cache import cache_folder
from deviloc_ros.threads import count_threads

if TYPE_CHECKING:
    import onnxruntime

OPSET = 17
FORMAT = 1  # of the exported files; another one where the way of exporting changes
TOLERANCE = 1e-3  # of the largest output; rounding differs by 1e-5, half the precision of TensorFloat-32 by less
SIZES_IN_MEMORY = 4  # image sizes a session is kept for: two levels of two cameras
PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}

Network = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]

log = logging.getLogger(__name__)


class EngineError(ValueError):
    """Raise when a network cannot be run as the config asks."""


@dataclass(frozen=True, slots=True, eq=False)
class Exportable:
    """Hold a network of one input, and what an export has to know of it."""

    name: str
    module: nn.Module
    example: torch.Tensor
    varying: dict[int, str]
    outputs: dict[str, dict[int, str]]
    fixed_by_size: bool = False


def create_network(network: Exportable, engine: str, device: torch.device) -> Network:
    """Return what runs the network on inputs of a device.

    Raises:
        EngineError: `engine` is onnx, and ONNX Runtime is not installed or not built for the device.
    """
    if engine == "torch" or (engine == "auto" and (device.type != "cpu" or not is_installed())):
        return network.module
    check_exports()
    import onnxruntime

    providers = choose_providers(device, onnxruntime.get_available_providers())
    return OnnxNetwork(network, providers)


def is_installed() -> bool:
    """Return whether networks can be exported and run."""
    return find_spec("onnxruntime") is not None and find_spec("onnx") is not None


def check_exports() -> None:
    """Raise EngineError unless networks can be exported and run."""
    if not is_installed():
        raise EngineError("networks are exported and run with `pip install onnxruntime onnx`")


def choose_providers(device: torch.device, available: Sequence[str]) -> list[str]:
    """Return those of ONNX Runtime's providers that run on a device, the fastest first. Raises EngineError: none."""
    providers = [name for name in PROVIDERS.get(device.type, ()) if name in available]
    if not providers:
        raise EngineError(
            f"matcher.engine onnx: ONNX Runtime has no provider for {device}, only {', '.join(available)}"
        )
    return providers


@dataclass(eq=False)
class OnnxNetwork:
    """Run a network in ONNX Runtime. Its first outputs are compared with PyTorch's; if they differ, PyTorch runs it."""

    network: Exportable
    providers: list[str]
    sessions: dict[tuple[int, ...], onnxruntime.InferenceSession] = field(default_factory=dict)
    agrees: bool | None = None

    def __call__(self, tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self.agrees is False:
            return self.network.module(tensor)
        values = self._session(tensor).run(None, {"input": tensor.cpu().numpy()})
        outputs = tuple(torch.from_numpy(value).to(tensor.device) for value in values)
        if self.agrees is None:
            self.agrees = self._compare(outputs, self.network.module(tensor))
        return outputs if self.agrees else self.network.module(tensor)

    @cached_property
    def read_content(self) -> bytes:
        """Return the exported network, from the cache if it is there."""
        return load_or_export(self.network)

    def _session(self, tensor: torch.Tensor) -> onnxruntime.InferenceSession:
        size = tuple(tensor.shape[axis] for axis in self.network.varying) if self.network.fixed_by_size else ()
        if size not in self.sessions:
            if len(self.sessions) >= SIZES_IN_MEMORY:
                self.sessions.pop(next(iter(self.sessions)))  # the oldest
            lengths = dict(zip(self.network.varying.values(), size, strict=bool(size)))
            self.sessions[size] = create_session(self.read_content, self.providers, lengths)
        return self.sessions[size]

    def _compare(self, outputs: tuple[torch.Tensor, ...], expected: tuple[torch.Tensor, ...]) -> bool:
        for name, ours, theirs in zip(self.network.outputs, outputs, expected, strict=True):
            error, largest = (ours - theirs).abs().max(), theirs.abs().max()
            if not error <= TOLERANCE * largest:
                log.warning(
                    "%s: ONNX Runtime's %s is off PyTorch's by %.2g, of at most %.2g: PyTorch runs it",
                    self.network.name, name, error, largest,
                )  # fmt: skip
                return False
        return True


def create_session(content: bytes, providers: list[str], lengths: dict[str, int]) -> onnxruntime.InferenceSession:
    """Return a session whose threads sleep while they wait; `lengths` of axes that never change."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count_threads()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    for name, length in lengths.items():
        options.add_free_dimension_override_by_name(name, length)
    return onnxruntime.InferenceSession(content, options, providers=providers)


def load_or_export(network: Exportable) -> bytes:
    """Return the network as an ONNX model, from the cache or else exported into it. A damaged file is replaced."""
    name = f"{network.name}-{identify(network)}"
    for path in sorted(cache_folder("networks").glob(f"{name}-*.onnx")):
        content = path.read_bytes()
        if path.stem == f"{name}-{shorten_hash(content)}":
            return content
        log.warning("%s: damaged, it is made again", path)
        path.unlink(missing_ok=True)
    content = export(network)
    path = cache_folder("networks") / f"{name}-{shorten_hash(content)}.onnx"
    try:
        with replace_on_success(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        log.info("%s: not kept, the network is exported anew at each start: %s", path, error)
    return content


def shorten_hash(content: bytes) -> str:
    """Return enough of a SHA-256 to notice damage."""
    return hashlib.sha256(content).hexdigest()[:16]


@torch.inference_mode()
def export(network: Exportable) -> bytes:
    """Return the network as an ONNX model."""
    buffer: Any = io.BytesIO()
    arguments: dict[str, Any] = {"dynamo": False, "opset_version": OPSET}  # dynamo's way needs more packages
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the way's age, and of shapes that a trace takes for constants
        torch.onnx.export(
            network.module,
            (network.example,),
            buffer,
            input_names=["input"],
            output_names=list(network.outputs),
            dynamic_axes={"input": network.varying, **network.outputs},
            **arguments,
        )
    return buffer.getvalue()


def identify(network: Exportable) -> str:
    """Return a hash of what the exported file depends on."""
    state = hashlib.sha256(f"{FORMAT} {OPSET} {torch.__version__} {network.module} {network.outputs}".encode())
    for name, tensor in network.module.state_dict().items():
        state.update(name.encode())
        state.update(tensor.cpu().contiguous().numpy().tobytes())
    return state.hexdigest()[:16]
