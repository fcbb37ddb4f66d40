"""Parses durations such as `10s` and `1h30m`, in a configurable syntax. Pure."""

import re
from fractions import Fraction
from math import ceil

UNITS_MS = {
    "ns": Fraction(1, 1_000_000),
    "us": Fraction(1, 1_000),
    # The micro sign and the Greek letter mu: both are accepted, as in Go.
    "\u00b5s": Fraction(1, 1_000),
    "\u03bcs": Fraction(1, 1_000),
    "ms": Fraction(1),
    "s": Fraction(1_000),
    "m": Fraction(60_000),
    "h": Fraction(3_600_000),
    "d": Fraction(86_400_000),
}


class DurationSyntax:
    """A syntax of durations, which are numbers with units."""

    def __init__(
        self,
        *units: str,
        number: str,
        bare_unit: str | None = None,
        descending: bool = False,
        max_parts: int | None = None,
    ) -> None:
        """
        Args:
            units: keys of `UNITS_MS`.
            number: regular expression for a number. The expression may limit the
                number of digits, and may allow a fraction.
            bare_unit: the unit of a number without a unit; None: refuse such a number.
            descending: whether units must come in descending order, each at most once.
            max_parts: the maximum number of pairs of number and unit; None: no maximum.
        """
        # `ms` must be tried before `m`.
        longest_first = sorted(units, key=len, reverse=True)
        self._part = re.compile(rf"({number})({'|'.join(longest_first)})")
        self._number = re.compile(number)
        self._bare_unit = bare_unit
        self._descending = descending
        self._max_parts = max_parts

    def parse_ms(self, text: str) -> int | None:
        """Return the milliseconds, rounded up; None if `text` is not valid."""
        if self._bare_unit is not None and self._number.fullmatch(text):
            text += self._bare_unit
        total_ms, sizes, position = Fraction(0), list[Fraction](), 0
        while position < len(text) and len(sizes) != self._max_parts:
            part = self._part.match(text, position)
            if part is None:
                return None
            sizes.append(UNITS_MS[part[2]])
            total_ms += Fraction(part[1]) * sizes[-1]
            position = part.end()
        if not sizes or position < len(text):
            return None
        if self._descending and sizes != sorted(set(sizes), reverse=True):
            return None
        return ceil(total_ms)
