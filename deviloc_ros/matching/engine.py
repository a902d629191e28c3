"""Run a network with PyTorch, or exported to ONNX with OpenVINO or ONNX Runtime."""

from __future__ import annotations

import hashlib
import io
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from threading import Lock, local
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deviloc_ros.io.atomic import replace_on_success
from deviloc_ros.io.cache import cache_folder
from deviloc_ros.threads import count_threads

OPSET = 17
FORMAT = 1  # of the exported files; to be increased when the export changes
# Root mean square difference relative to the outputs. Rounding gives 1e-5, TensorFloat-32 less than TOLERANCE, bfloat16
# 0.014 in the median of a hundred images and at most 0.045. Single numbers differ by more.
TOLERANCE, HALF_TOLERANCE = 1e-3, 0.15
SIZES_IN_MEMORY = 4  # image sizes a session is kept for: two levels of two cameras
PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}

Network = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
"""Computes the outputs for one input tensor."""
Session = Callable[[NDArray], Sequence[NDArray]]
"""Computes the outputs for one input array."""
StartSession = Callable[[bytes, "Exportable", tuple[int, ...]], Session]
"""Starts a session of an exported network for inputs of a shape; axes that vary are -1."""

log = logging.getLogger(__name__)


class EngineError(ValueError):
    """Raise when a network cannot be run as the config asks."""


@dataclass(frozen=True, slots=True, eq=False)
class Exportable:
    """Hold a network with one input, and what is needed to export it.

    varying: names of the input's axes that vary in length. outputs: the varying axes of each output, by its name.
    fixed_by_size: whether to start a session for each input size, which is faster and pays for few sizes.
    """

    name: str
    module: nn.Module
    example: torch.Tensor
    varying: dict[int, str]
    outputs: dict[str, dict[int, str]]
    fixed_by_size: bool = False


def create_network(network: Exportable, engine: str, device: torch.device, half_precision: bool = True) -> Network:
    """Return the function that runs a network on inputs on a device.

    Args:
        engine: one of config.ENGINES.
        half_precision: OpenVINO may compute in bfloat16.

    Raises:
        EngineError: the engine is not installed, or does not support the device.
    """
    if engine == "auto":
        engine = choose_engine(device)
    if engine == "torch":
        return network.module
    check_exports(engine)
    if engine == "openvino":
        if device.type != "cpu":
            raise EngineError(f"matcher.engine openvino: it runs on the CPU here, not on {device}")
        half = half_precision and has_bfloat16()
        return ExportedNetwork(network, OpenVinoSessions(half), "OpenVINO", HALF_TOLERANCE if half else TOLERANCE)
    import onnxruntime

    providers = choose_providers(device, onnxruntime.get_available_providers())
    return ExportedNetwork(network, OnnxSessions(providers), "ONNX Runtime", TOLERANCE)


def choose_engine(device: torch.device) -> str:
    """Return the fastest installed engine for a device."""
    if device.type == "cpu":
        for engine in ("openvino", "onnx"):
            if is_installed(engine):
                return engine
    return "torch"


def is_installed(engine: str) -> bool:
    """Return whether an engine and the exporter are installed."""
    runtime = {"onnx": "onnxruntime"}.get(engine, engine)
    return find_spec(runtime) is not None and find_spec("onnx") is not None


def check_exports(engine: str = "onnx") -> None:
    """Raise EngineError unless an engine and the exporter are installed."""
    if not is_installed(engine):
        runtime = {"onnx": "onnxruntime"}.get(engine, engine)
        raise EngineError(f"networks are exported and run with `pip install {runtime} onnx`")


def choose_providers(device: torch.device, available: Sequence[str]) -> list[str]:
    """Return ONNX Runtime's providers for a device, the fastest first. Raises EngineError if there is none."""
    providers = [name for name in PROVIDERS.get(device.type, ()) if name in available]
    if not providers:
        raise EngineError(
            f"matcher.engine onnx: ONNX Runtime has no provider for {device}, only {', '.join(available)}"
        )
    return providers


@dataclass(eq=False)
class ExportedNetwork:
    """Run an exported network. If its first outputs differ from PyTorch's, PyTorch runs it from then on.

    tolerance: the largest accepted root mean square difference, relative to the outputs.
    """

    network: Exportable
    start: StartSession
    engine: str
    tolerance: float
    sessions: dict[tuple[int, ...], Session] = field(default_factory=dict)
    agrees: bool | None = None
    starting: Lock = field(default_factory=Lock)

    def __call__(self, tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self.agrees is False:
            return self.network.module(tensor)
        values = self._session(tensor)(tensor.cpu().numpy())
        outputs = tuple(torch.from_numpy(value).to(tensor.device) for value in values)
        if self.agrees is None:
            self.agrees = self._compare(outputs, self.network.module(tensor))
        return outputs if self.agrees else self.network.module(tensor)

    @cached_property
    def content(self) -> bytes:
        """Return the exported network, from the cache if possible."""
        return load_or_export(self.network)

    def _session(self, tensor: torch.Tensor) -> Session:
        varies = () if self.network.fixed_by_size else self.network.varying
        shape = tuple(-1 if axis in varies else length for axis, length in enumerate(tensor.shape))
        with self.starting:  # several threads may extract features at a time
            session = self.sessions.get(shape)
            if session is None:
                if len(self.sessions) >= SIZES_IN_MEMORY:
                    self.sessions.pop(next(iter(self.sessions)))  # the oldest
                session = self.sessions[shape] = self.start(self.content, self.network, shape)
        return session

    def _compare(self, outputs: tuple[torch.Tensor, ...], expected: tuple[torch.Tensor, ...]) -> bool:
        for name, ours, theirs in zip(self.network.outputs, outputs, expected, strict=True):
            error, size = float((ours - theirs).norm()), float(theirs.norm())
            if not error <= self.tolerance * size:
                log.warning(
                    "%s: %s's %s is off PyTorch's by %.2g, which is of size %.2g: PyTorch runs it",
                    self.network.name, self.engine, name, error, size,
                )  # fmt: skip
                return False
        return True


@dataclass(frozen=True, slots=True)
class OnnxSessions:
    """Start sessions of ONNX Runtime whose threads do not spin while they wait."""

    providers: list[str]

    def __call__(self, content: bytes, network: Exportable, shape: tuple[int, ...]) -> Session:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = count_threads()
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        for axis, name in network.varying.items():
            if shape[axis] >= 0:
                options.add_free_dimension_override_by_name(name, shape[axis])
        session = onnxruntime.InferenceSession(content, options, providers=self.providers)
        return lambda array: session.run(None, {"input": array})


@dataclass(frozen=True, slots=True)
class OpenVinoSessions:
    """Start sessions of OpenVINO on the CPU; half: in bfloat16."""

    half: bool

    def __call__(self, content: bytes, network: Exportable, shape: tuple[int, ...]) -> Session:
        core = import_openvino().Core()
        model = core.read_model(content)
        model.reshape(list(shape))
        properties = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.half else "f32",
            "INFERENCE_NUM_THREADS": count_threads(),
            "ENABLE_CPU_PINNING": False,  # other threads need the cores as well
            "PERFORMANCE_HINT": "LATENCY",
        }
        compiled, names, of_thread = core.compile_model(model, "CPU", properties), list(network.outputs), local()

        def run(array: NDArray) -> list[NDArray]:
            if not hasattr(of_thread, "request"):  # a busy request refuses other threads
                of_thread.request = compiled.create_infer_request()
            outputs = of_thread.request.infer({0: np.ascontiguousarray(array)}, share_inputs=True)
            return [outputs[name] for name in names]

        return run


def has_bfloat16() -> bool:
    """Return whether the CPU has bfloat16 instructions; emulated they save no time."""
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which would report the import over the network."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # so an import finds nothing
    import openvino

    return openvino


def load_or_export(network: Exportable) -> bytes:
    """Return the network as an ONNX model from the cache, or export it into the cache; replace a damaged file."""
    name = f"{network.name}-{identify(network)}"
    for path in sorted(cache_folder("networks").glob(f"{name}-*.onnx")):
        content = path.read_bytes()
        if path.stem == f"{name}-{shorten_hash(content)}":
            return content
        log.warning("%s: damaged, so it is written again", path)
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
    """Return the beginning of a SHA-256, long enough to notice damage."""
    return hashlib.sha256(content).hexdigest()[:16]


@torch.inference_mode()
def export(network: Exportable) -> bytes:
    """Return the network as an ONNX model."""
    buffer: Any = io.BytesIO()
    arguments: dict[str, Any] = {"dynamo": False, "opset_version": OPSET}  # dynamo would need more packages
    with warnings.catch_warnings():
        # about the deprecated exporter, and about shapes that tracing takes for constants
        warnings.simplefilter("ignore")
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
    """Return a hash of everything that the exported file depends on."""
    state = hashlib.sha256(f"{FORMAT} {OPSET} {torch.__version__} {network.module} {network.outputs}".encode())
    for name, tensor in network.module.state_dict().items():
        state.update(name.encode())
        state.update(tensor.cpu().contiguous().numpy().tobytes())
    return state.hexdigest()[:16]
