"""Say lengths in the unit of a map: metres, or an arbitrary unit, which images alone have."""

from __future__ import annotations

import enum


class Unit(enum.Enum):
    """Name the unit of a map's lengths; the value is what results in JSON say."""

    METRE = "m"
    ARBITRARY = "arbitrary"

    @property
    def symbol(self) -> str:
        """Return what stands behind a number, and in brackets at an axis."""
        return "m" if self is Unit.METRE else "arbitrary units"

    @property
    def fine_symbol(self) -> str:
        """Return what stands behind an error: cm, or the arbitrary unit."""
        return "cm" if self is Unit.METRE else "arbitrary units"

    @property
    def fine_per_unit(self) -> float:
        """Return the factor from a length to the unit of its error."""
        return 100.0 if self is Unit.METRE else 1.0

    def format(self, length: float, decimals: int = 2) -> str:
        """Format a length, as a distance between cameras."""
        return f"{length:.{decimals}f} {self.symbol}"

    def format_error(self, length: float, decimals: int = 2) -> str:
        """Format a length far below one: in centimetres, or with two more decimals of an arbitrary unit."""
        more = 0 if self is Unit.METRE else 2
        return f"{self.fine_per_unit * length:.{decimals + more}f} {self.fine_symbol}"

    def format_bound(self, length: float) -> str:
        """Format a bound of errors with the digits that it has."""
        return f"{self.fine_per_unit * length:g} {self.fine_symbol}"
