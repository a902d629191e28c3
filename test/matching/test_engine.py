"""Networks in OpenVINO and ONNX Runtime are those of PyTorch, whatever is in the cache."""

import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from worlds import textured_image

from deviloc_ros.config import MatcherConfig
from deviloc_ros.matching import create_matcher, engine
from deviloc_ros.matching.engine import EngineError, Exportable, choose_providers, create_network

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Convolution(torch.nn.Module):
    """The least that has batch norms to fold and sides that vary."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU())

    def forward(self, image):
        return (self.layers(image),)


def convolution(seed=0):
    torch.manual_seed(seed)
    sides = {2: "height", 3: "width"}
    return Exportable("convolution", Convolution().eval(), torch.zeros(1, 1, 8, 8), sides, {"features": sides}, True)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEVILOC_CACHE", str(tmp_path))
    return tmp_path / "networks"


@pytest.fixture(params=["onnx", "openvino"])
def exported(request):
    """The engines that run an exported network."""
    pytest.importorskip("onnx")
    pytest.importorskip({"onnx": "onnxruntime"}.get(request.param, request.param))
    return request.param


def create(network, engine_name):
    return create_network(network, engine_name, CPU, half_precision=False)


def run(network, sizes=((16, 24), (8, 8), (16, 24))):
    with torch.inference_mode():
        return [network(torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1)))[0] for size in sizes]


def test_outputs_are_those_of_pytorch_at_every_size(exported):
    network = convolution()
    for ours, theirs in zip(run(create(network, exported)), run(network.module), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_threads_run_a_network_side_by_side(exported):
    network = create(convolution(), exported)
    images = torch.rand(32, 1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one_by_one = [network(image)[0] for image in images]
    with ThreadPoolExecutor(4) as threads:
        side_by_side = list(threads.map(lambda image: network(image)[0], images))
    assert all(torch.equal(a, b) for a, b in zip(one_by_one, side_by_side, strict=True))


def test_more_sizes_than_are_kept_run_on_several_threads_and_none_is_started_twice_at_once(exported, monkeypatch):
    sizes = [(8 * number, 16) for number in range(1, engine.SIZES_IN_MEMORY + 4)]
    network, started = create(convolution(), exported), []
    expected, start = run(network, sizes), network.start
    network.sessions.clear()

    def start_slowly(*session):
        started.append(session[-1])
        time.sleep(0.02)
        return start(*session)

    monkeypatch.setattr(network, "start", start_slowly)
    with ThreadPoolExecutor(4) as threads:
        for size, right in zip(sizes, expected, strict=True):
            found = threads.map(lambda _, size=size: run(network, [size])[0], range(4))
            assert all(torch.equal(one, right) for one in found)
        assert len(started) == len(sizes)
        orders = [sizes[number:] + sizes[:number] for number in range(4)]
        for order, found in zip(orders, threads.map(lambda order: run(network, order), orders), strict=True):
            assert all(torch.equal(one, expected[sizes.index(size)]) for size, one in zip(order, found, strict=True))


def test_a_network_is_exported_once(cache, exported, monkeypatch):
    first = run(create(convolution(), exported))
    monkeypatch.setattr(engine, "export", None)
    assert all(torch.equal(a, b) for a, b in zip(first, run(create(convolution(), exported)), strict=True))
    assert len(list(cache.iterdir())) == 1


def test_other_weights_are_another_file(cache, exported):
    run(create(convolution(0), exported)), run(create(convolution(1), exported))
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda content: content[:100], lambda content: b"", lambda content: b"x" + content])
def test_a_damaged_file_is_made_again(cache, exported, damage):
    network = convolution()
    run(create(network, exported))
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    torch.testing.assert_close(run(create(network, exported)), run(network.module), rtol=1e-5, atol=1e-5)
    assert [p.read_bytes() for p in cache.iterdir()] == [whole]


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, exported, monkeypatch):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("DEVILOC_CACHE", str(tmp_path / "a file"))
    network = convolution()
    torch.testing.assert_close(run(create(network, exported)), run(network.module), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("half_precision", [False, True])
def test_pytorch_takes_over_where_outputs_differ(exported, half_precision, monkeypatch, caplog):
    wrong, network = engine.export(convolution(1)), convolution(0)
    monkeypatch.setattr(engine, "load_or_export", lambda network: wrong)
    with caplog.at_level(logging.WARNING):
        outputs = run(create_network(network, exported, CPU, half_precision))
    torch.testing.assert_close(outputs, run(network.module))
    assert "features" in caplog.text


@pytest.mark.parametrize(
    ("installed", "chosen"),
    [
        ({"onnx", "onnxruntime", "openvino"}, "openvino"),
        ({"onnx", "onnxruntime"}, "onnx"),
        ({"onnx", "openvino"}, "openvino"),
        ({"onnxruntime", "openvino"}, "torch"),
        (set(), "torch"),
    ],
)
def test_auto_is_the_fastest_that_is_installed(installed, chosen, monkeypatch):
    monkeypatch.setattr(engine, "find_spec", lambda name: name if name in installed else None)
    assert engine.choose_engine(CPU) == chosen
    assert engine.choose_engine(CUDA) == "torch"


@pytest.mark.parametrize(("engine_name", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_an_engine_that_is_not_installed_is_named(engine_name, package, monkeypatch):
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=f"pip install {package}"):
        create(convolution(), engine_name)


def test_openvino_is_for_the_cpu():
    pytest.importorskip("openvino")
    with pytest.raises(EngineError, match="not on cuda"):
        create_network(convolution(), "openvino", CUDA)


def test_openvino_reports_nothing_to_its_makers(tmp_path):
    """Its import does, where the package that sends is installed."""
    pytest.importorskip("openvino")
    (tmp_path / "openvino_telemetry.py").write_text("raise SystemExit('imported')")
    script = "from deviloc_ros.matching.engine import has_bfloat16; has_bfloat16()"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {script}"]
    subprocess.run(command, check=True, timeout=120)


def test_auto_is_pytorch_on_other_devices():
    network = convolution()
    assert create_network(network, "auto", CUDA) is network.module


def test_providers_are_those_of_the_device_fastest_first():
    cpu, cuda, tensorrt = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
    assert choose_providers(CPU, [cuda, cpu]) == [cpu]
    assert choose_providers(CUDA, [cpu, cuda, tensorrt]) == [tensorrt, cuda]
    with pytest.raises(EngineError, match="no provider for cuda"):
        choose_providers(CUDA, [cpu])


def run_backbone(name, engine_name, half_precision=False):
    image = textured_image(np.random.default_rng(0), 200, 144)
    config = MatcherConfig(name, engine=engine_name, device="cpu", half_precision=half_precision)
    return create_matcher(config)._run_backbone(image, 1.3)[0]


@pytest.mark.parametrize("name", ["xfeat", "xfeat-lighterglue"])
@torch.inference_mode()
def test_engines_compute_the_same_of_an_image(name, exported):
    for ours, theirs in zip(run_backbone(name, exported), run_backbone(name, "torch"), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * float(theirs.abs().max()))


@torch.inference_mode()
def test_half_precision_hardly_turns_a_descriptor():
    pytest.importorskip("openvino")
    half, full = (run_backbone("xfeat", "openvino", half_precision=half)[0] for half in (True, False))
    assert torch.nn.functional.cosine_similarity(half, full, dim=0).min() > 0.98


@torch.inference_mode()
def test_exported_files_are_read_elsewhere_and_compute_what_pytorch_does(tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    from deviloc_ros.cli import run_command

    assert run_command(["export-onnx", str(tmp_path), "--matcher", "xfeat"]) == 0
    said = capsys.readouterr().out.splitlines()
    matcher = create_matcher(MatcherConfig("xfeat", engine="torch", device="cpu"))
    assert len(said) == len(matcher.describe_networks()) == len(list(tmp_path.iterdir()))
    for network, line in zip(matcher.describe_networks(), said, strict=True):
        session = onnxruntime.InferenceSession(tmp_path / f"{network.name}.onnx", providers=["CPUExecutionProvider"])
        given = torch.rand(network.example.shape, generator=torch.Generator().manual_seed(0))
        expected = network.module(given)
        ours = session.run(None, {"input": given.numpy()})
        for name, a, b in zip(network.outputs, ours, expected, strict=True):
            assert name in line
            torch.testing.assert_close(torch.from_numpy(a), b, rtol=1e-3, atol=1e-4)


def test_a_matcher_that_runs_in_pytorch_alone_says_so(tmp_path, capsys, monkeypatch):
    from deviloc_ros.cli import run_command

    monkeypatch.setattr("deviloc_ros.matching.create_matcher", lambda config: SimpleNamespace(describe_networks=list))
    assert run_command(["export-onnx", str(tmp_path), "--matcher", "topicfm"]) == 2
    assert "topicfm" in capsys.readouterr().err
