"""Read the authors' preprocessed `.npy` files, which are pickled dictionaries, without executing a pickle.

The instructions are read by `pickletools` and interpreted here. Only containers, numbers, texts, arrays of numbers and
records of named values can be made; whatever else a file asks for is an error, and is never imported or called.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

ARRAY_MODULES = (
    "numpy",
    "numpy.core.multiarray",
    "numpy._core.multiarray",
    "numpy._core.numeric",
    "numpy.core.numeric",
)
RECORDS = (("argparse", "Namespace"), ("types", "SimpleNamespace"))


class PublishedFileError(ValueError):
    """Raise when a file is not what the authors publish; the message names it."""


class Record(dict):
    """Hold the values of a namespace by name."""


class Mark:
    """Mark where a tuple, list or dictionary starts on the stack."""


class UnfilledArray:
    """Stand for an array before its state is known."""

    value: Any = None


class DtypeShell:
    """Stand for a dtype before its byte order is known."""

    def __init__(self, name: str) -> None:
        if name[:1] not in "?biufcSUOV" or name[:1] == "V":
            raise ValueError(f"arrays of {name!r}")
        self.value = np.dtype(name)


def read_published(path: Path) -> Any:
    """Read the object that `numpy.save` stored; raise PublishedFileError naming the file."""
    if not path.is_file():
        raise PublishedFileError(
            f"{path}: no such file; the authors' preprocessed data belongs there (docs/published-method.md)"
        )
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(file)
            if not dtype.hasobject or shape != ():
                raise ValueError(f"an array of {dtype} {shape} instead of one dictionary")
            array = Interpreter().run(file)
        return array.reshape(-1)[0]
    except (ValueError, IndexError, KeyError, TypeError, EOFError, AttributeError) as error:
        raise PublishedFileError(f"{path}: not a file of the published kind, or truncated: {error}") from error


class Interpreter:
    """Interpret the subset of pickle's machine that data needs."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.operations: dict[str, Callable[[Any], None]] = {
            name.removeprefix("op_").upper(): getattr(self, name) for name in dir(self) if name.startswith("op_")
        }

    def run(self, file: Any) -> Any:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name in ("PROTO", "FRAME"):
                continue
            if opcode.name == "STOP":
                return unwrap(self.stack.pop())
            if opcode.name in LITERALS:
                self.stack.append(argument)
            elif opcode.name in CONSTANTS:
                self.stack.append(CONSTANTS[opcode.name]())
            elif opcode.name in self.operations:
                self.operations[opcode.name](argument)
            else:
                raise ValueError(f"instruction {opcode.name} is not for data")
        raise EOFError("the file ends early")

    def since_mark(self) -> list[Any]:
        start = max(n for n, value in enumerate(self.stack) if isinstance(value, Mark))
        values = [unwrap(value) for value in self.stack[start + 1 :]]
        del self.stack[start:]
        return values

    def pop(self, count: int) -> list[Any]:
        values = [unwrap(value) for value in self.stack[-count:]]
        del self.stack[-count:]
        return values

    def op_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_binput(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    op_long_binput = op_put = op_binput

    def op_binget(self, number: int) -> None:
        self.stack.append(self.memo[number])

    op_long_binget = op_get = op_binget

    def op_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.since_mark()))

    def op_tuple1(self, _: Any) -> None:
        self.stack.append(tuple(self.pop(1)))

    def op_tuple2(self, _: Any) -> None:
        self.stack.append(tuple(self.pop(2)))

    def op_tuple3(self, _: Any) -> None:
        self.stack.append(tuple(self.pop(3)))

    def op_append(self, _: Any) -> None:
        (value,) = self.pop(1)
        self.stack[-1].append(value)

    def op_appends(self, _: Any) -> None:
        values = self.since_mark()
        self.stack[-1].extend(values)

    def op_setitem(self, _: Any) -> None:
        key, value = self.pop(2)
        self.stack[-1][key] = value

    def op_setitems(self, _: Any) -> None:
        values = self.since_mark()
        self.stack[-1].update(zip(values[::2], values[1::2], strict=True))

    def op_global(self, name: str) -> None:
        module, _, attribute = name.partition(" ")
        self.stack.append(check_known(module, attribute))

    def op_stack_global(self, _: Any) -> None:
        self.stack.append(check_known(*self.pop(2)))

    def op_reduce(self, _: Any) -> None:
        maker, arguments = self.pop(2)
        if maker not in MAKERS:
            raise ValueError("it calls something that is not data")
        self.stack.append(MAKERS[maker](*arguments))

    op_newobj = op_reduce

    def op_build(self, _: Any) -> None:
        (state,) = self.pop(1)
        target = self.stack[-1]
        if isinstance(target, UnfilledArray):
            target.value = array_from_state(state)
        elif isinstance(target, DtypeShell):
            target.value = target.value.newbyteorder(state[1]) if state[1] in "<>" else target.value
        elif isinstance(target, Record):
            target.update(state)
        else:
            raise ValueError("it sets the state of something that is not data")


LITERALS = {
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "SHORT_BINSTRING", "BINSTRING",
}  # fmt: skip
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "MARK": Mark,
}


def check_known(module: str, attribute: str) -> str:
    """Return the name of something that data is made of; raise ValueError for anything else."""
    if (module, attribute) in RECORDS:
        return "record"
    if module in ARRAY_MODULES and attribute in ("ndarray", "dtype", "_reconstruct", "scalar"):
        return attribute
    if (module, attribute) == ("_codecs", "encode"):
        return "encode"
    raise ValueError(f"it asks for {module}.{attribute}, which is not data")


def array_from_state(state: tuple) -> np.ndarray:
    """Return an array from what it pickles of itself: version, shape, dtype, column order, content."""
    _, shape, dtype, by_column, content = state
    order: Literal["C", "F"] = "F" if by_column else "C"
    if dtype.hasobject:
        array = np.empty(int(np.prod(shape)), object)
        array[:] = content
        return array.reshape(shape, order=order)
    return np.frombuffer(content, dtype).reshape(shape, order=order)


def unwrap(value: Any) -> Any:
    """Return what a shell stands for, once it is on the stack for use."""
    return value.value if isinstance(value, (UnfilledArray, DtypeShell)) and value.value is not None else value


MAKERS: dict[str, Callable[..., Any]] = {
    "record": lambda **values: Record(values),
    "_reconstruct": lambda *_: UnfilledArray(),
    "dtype": lambda name, *_: DtypeShell(name),
    "scalar": lambda dtype, content: np.frombuffer(content, dtype)[0],
    "encode": lambda text, encoding="latin1": text.encode(encoding),
}
