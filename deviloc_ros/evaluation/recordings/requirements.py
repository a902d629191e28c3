"""Check requirements such as `wrong_fixes<=0` on the figures of a run, for use in CI."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from typing import Any

COMPARISONS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt}
GRAMMAR = re.compile(r"\s*([\w.]+)\s*(<=|>=|==|<|>)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Requirement:
    """Hold the dotted name of a figure in summary.json or latency.json, and its required value."""

    name: str
    comparison: str
    limit: float

    def find_failure(self, summary: dict[str, Any]) -> str:
        """Say how the requirement fails; empty if it holds.

        Raises:
            ValueError: the summary has no figure of this name.
        """
        value = find_figure(summary, self.name)
        if value is not None and COMPARISONS[self.comparison](value, self.limit):
            return ""
        shown = "there is none" if value is None else f"it is {value:g}"
        return f"{self.name} {self.comparison} {self.limit:g} was required, {shown}"


def parse_requirement(text: str) -> Requirement:
    """Parse a requirement. Raises ValueError for an invalid one."""
    match = GRAMMAR.fullmatch(text)
    try:
        name, comparison, limit = match.groups() if match else ("", "", "nan")
        value = float(limit)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise ValueError(f"--require {text!r}: expected NAME<=NUMBER (or >=, ==, <, >), as wrong_fixes<=0")
    return Requirement(name, comparison, value)


def find_figure(summary: dict[str, Any], name: str) -> float | None:
    """Return the figure with a dotted name; None if the run has no value for it.

    Raises:
        ValueError: no such figure; the message lists those that there are.
    """
    value: Any = summary
    for part in name.split("."):
        if value is None:
            return None
        if name.partition(".")[0] == "outcomes" and isinstance(value, dict) and value is not summary:
            return value.get(part, 0)  # of what became of no image there are none
        if not isinstance(value, dict) or part not in value:
            raise ValueError(f"no figure {name!r} in the summary; there are {', '.join(list_figures(summary))}")
        value = value[part]
    if value is None or isinstance(value, (int, float)):
        return value
    raise ValueError(f"{name!r} is not one figure; there are {', '.join(list_figures(summary))}")


def list_figures(summary: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted names of all numbers in a summary."""
    names = []
    for key, value in summary.items():
        if isinstance(value, dict):
            names += list_figures(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)):
            names.append(prefix + key)
    return names


def find_failures(requirements: list[Requirement], summary: dict[str, Any]) -> list[str]:
    """Return a line for each requirement that a run does not meet."""
    return [failure for requirement in requirements if (failure := requirement.find_failure(summary))]
