"""Format lengths in the unit of a map: metres, or an arbitrary unit for maps from images alone."""

from __future__ import annotations

import enum


class Unit(enum.Enum):
    """Name the unit of a map's lengths; the values are used in JSON."""

    METRE = "m"
    ARBITRARY = "arbitrary"

    @property
    def symbol(self) -> str:
        """Return the symbol of the unit."""
        return "m" if self is Unit.METRE else "arbitrary units"

    @property
    def fine_symbol(self) -> str:
        """Return the symbol for errors: cm, or the arbitrary unit."""
        return "cm" if self is Unit.METRE else "arbitrary units"

    @property
    def fine_per_unit(self) -> float:
        """Return the factor from lengths to the unit of errors."""
        return 100.0 if self is Unit.METRE else 1.0

    def format(self, length: float, decimals: int = 2) -> str:
        """Format a length, as a distance between cameras."""
        return f"{length:.{decimals}f} {self.symbol}"

    def format_error(self, length: float, decimals: int = 2) -> str:
        """Format a small length: in centimetres, or with two more decimals in an arbitrary unit."""
        more = 0 if self is Unit.METRE else 2
        return f"{self.fine_per_unit * length:.{decimals + more}f} {self.fine_symbol}"

    def format_bound(self, length: float) -> str:
        """Format a bound of errors with all of its digits."""
        return f"{self.fine_per_unit * length:g} {self.fine_symbol}"
