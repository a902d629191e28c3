"""Declare parameters as fields of dataclasses, check their values, and change them by their dotted names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from deviloc_ros.io.suggestions import suggest

C = TypeVar("C")


def param(
    default: Any,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    read_only: bool = False,
) -> Any:
    """Declare a dataclass field with its description and bounds.

    Args:
        read_only: the value takes effect only when a node configures.
    """
    metadata = {"description": description, "low": low, "high": high, "choices": choices, "read_only": read_only}
    return field(default=default, metadata=metadata)


class CheckedConfig:
    """Refuse values of the wrong type or outside their bounds; a mixin for config dataclasses.

    Configs are frozen but have no slots: with both, setting a misspelt name raises a confusing error about `super`.
    """

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            if f.metadata:
                check_value(f"{type(self).__name__}.{f.name}", f, getattr(self, f.name))


def check_value(name: str, f: Any, value: Any) -> None:
    """Raise ValueError naming the parameter if `value` breaks the field's type, bounds or choices."""
    kind = type(f.default)
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError(f"{name} must be {kind.__name__}, got {value!r}")
    low, high, choices = f.metadata["low"], f.metadata["high"], f.metadata["choices"]
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        raise ValueError(f"{name} = {value!r} is outside [{low}, {high}]")
    if choices and value not in choices:
        raise ValueError(f"{name} = {value!r} is not one of {', '.join(choices)}")


def change_config(config: C, **sections: dict[str, Any]) -> C:
    """Return `config` with fields of its sections replaced: `change_config(config, pose={"min_inliers": 12})`.

    Raises:
        ValueError: an unknown section or parameter, a wrong type or a value out of bounds.
    """
    return from_dict(config, sections)


def to_dict(config: Any) -> dict[str, Any]:
    """Return nested plain values, as written to YAML and JSON."""
    return asdict(config)


def from_dict(config: C, values: dict[str, Any], prefix: str = "") -> C:
    """Return `config` with the given nested values replaced.

    Raises:
        ValueError: an unknown key, a wrong type or a value out of bounds; the message has the dotted name.
    """
    if not isinstance(values, dict):
        raise ValueError(f"expected parameters by name, got {values!r}")
    known = {f.name: f for f in fields(config)}  # type: ignore[arg-type]
    changes = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in known:
            unknown = next(flatten_names({name: value}))
            raise make_unknown_error(unknown, suggest_known(config, prefix, unknown))
        current = getattr(config, key)
        if is_dataclass(current):
            if not isinstance(value, dict):
                raise ValueError(f"parameter {name} must be a mapping, got {value!r}")
            value = from_dict(current, value, f"{name}.")
        elif known[key].metadata:
            check_value(name, known[key], value)
        changes[key] = value
    return replace(config, **changes)  # type: ignore[type-var]


def make_unknown_error(name: str, hint: str = "") -> ValueError:
    """Return the error for a dotted name that is not a parameter."""
    return ValueError(f"unknown parameter {name}{hint}")


def suggest_known(config: Any, prefix: str, name: str) -> str:
    """Return a hint with the parameter of a config whose name is most like this one, or else with all of them.

    Args:
        prefix: the dotted name of the config, ending in a dot.
    """
    similar = suggest(name, [dotted for dotted, _, _ in walk_fields(config, prefix)])
    return similar or f"; known here: {', '.join(f.name for f in fields(config))}"


def flatten_names(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all values in nested dicts."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from flatten_names(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def walk_fields(config: Any, prefix: str = "", skip: tuple[str, ...] = ()) -> Iterator[tuple[str, Any, Any]]:
    """Yield dotted name, dataclass field and value of every parameter in a tree of configs."""
    for f in fields(config):
        value = getattr(config, f.name)
        if prefix + f.name in skip:
            continue
        if is_dataclass(value):
            yield from walk_fields(value, f"{prefix}{f.name}.", skip)
        else:
            yield prefix + f.name, f, value
