"""A device that computes as the CPU does and refuses to mix with it, so that tests of a GPU's path need no GPU.

Tensors on it are seen nowhere else: an operation that takes one and a tensor of the CPU raises, as CUDA's do, and
`numpy()` needs `cpu()` first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

NAME = "elsewhere"
MAY_MIX = {"aten::copy_"}
CPU = torch.device("cpu")


@cache
def register() -> torch.device:
    from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

    class Backend(_DummyBackendModule):
        @staticmethod
        def get_amp_supported_dtype() -> list[torch.dtype]:
            return [torch.float16, torch.bfloat16]

    _setup_privateuseone_for_python_backend(NAME, Backend())
    return torch.device(NAME, 0)


class Elsewhere(torch.Tensor):
    """A tensor of the device; `inner` holds its numbers on the CPU."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor):
        with torch.inference_mode(False):  # views of tensors that were made in it cannot be wrapped
            return torch.Tensor._make_wrapper_subclass(
                cls, inner.shape, inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=register()
            )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


def compute(operation, args: tuple, kwargs: dict):
    """Run an operation on what the tensors hold, and put what comes out where they are, or where a device says."""
    given = tree_flatten((args, kwargs))[0]
    here = [value for value in given if is_tensor(value) and not isinstance(value, Elsewhere)]
    is_elsewhere = any(isinstance(value, Elsewhere) for value in given)
    if is_elsewhere and any(tensor.dim() for tensor in here) and operation.name() not in MAY_MIX:
        raise RuntimeError(f"{operation}: tensors are on {NAME} and on the CPU")
    for device in (value for value in given if isinstance(value, torch.device)):
        is_elsewhere = device.type == NAME
    found = operation(*tree_map(take_out, args), **tree_map(take_out, kwargs))
    if operation._schema.is_mutable and isinstance(changed := kwargs.get("out", args[0]), Elsewhere):
        return changed
    return tree_map(lambda value: Elsewhere(value) if is_tensor(value) else value, found) if is_elsewhere else found


def is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def take_out(value: object) -> object:
    """What the CPU computes with in the place of a value."""
    return value.inner if isinstance(value, Elsewhere) else CPU if isinstance(value, torch.device) else value


class MadeThere(TorchDispatchMode):
    """Makes tensors on the device by operations that take no tensor which would tell."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


class MadeOfNumbers(TorchFunctionMode):
    """Makes tensors on the device of Python's numbers and arrays, which never come by an operation."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.new_tensor:
            function, kwargs = torch.tensor, {"dtype": args[0].dtype, "device": args[0].device} | kwargs
            args = args[1:]
        if function in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or CPU).type == NAME:
            return function(*args, **kwargs | {"device": CPU}).to(register())
        return function(*args, **kwargs)


@contextmanager
def other_device() -> Iterator[torch.device]:
    with MadeThere(), MadeOfNumbers():
        yield register()
