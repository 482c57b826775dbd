"""The text of a number as Java writes it."""

from __future__ import annotations

import struct
from decimal import Decimal

_LOWEST = -3
_HIGHEST = 7
"""Java writes a number below 10^-3, and one from 10^7, with an exponent."""

_SPECIAL = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def number_text(text: str) -> str:
    """Return a number as Java writes it, from DuckDB's text of it.

    >>> number_text("1e+20"), number_text("12345678.5"), number_text("0.00005"), number_text("1.5")
    ('1.0E20', '1.23456785E7', '5.0E-5', '1.5')
    """
    if text in _SPECIAL:
        return _SPECIAL[text]
    value = Decimal(text)
    if not value:
        return "-0.0" if text.startswith("-") else "0.0"
    exponent = value.adjusted()
    if _LOWEST <= exponent < _HIGHEST:
        shown = format(value, "f")
        return shown if "." in shown else f"{shown}.0"
    sign, digits, _ = value.as_tuple()
    written = "".join(map(str, digits)).rstrip("0")
    return f"{'-' if sign else ''}{written[:1]}.{written[1:] or '0'}E{exponent}"


def float_text(value: float) -> str:
    """Return a number of 32 bits as Java writes it: with the fewest digits that are the same number.

    >>> float_text(1.100000023841858)
    '1.1'
    """
    packed = struct.pack("f", value)
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if struct.pack("f", float(text)) == packed:
            return number_text(text)
    return number_text(repr(value))
