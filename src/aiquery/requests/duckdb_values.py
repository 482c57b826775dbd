"""Texts of DuckDB's own types, which Arrow carries as bytes.

DuckDB exports them so with the setting ``arrow_lossless_conversion``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_OFFSET_BITS = 24
_MAX_OFFSET_S = 57_599


def _format_hugeint(raw: bytes) -> str:
    return str(int.from_bytes(raw, "little", signed=True))


def _format_uhugeint(raw: bytes) -> str:
    return str(int.from_bytes(raw, "little"))


def _format_bit(raw: bytes) -> str:
    """Return the bits. The first byte is the number of padding bits."""
    padding = raw[0]
    bits = "".join(f"{byte:08b}" for byte in raw[1:])
    return bits[padding:]


def _format_time_with_zone(raw: bytes) -> str:
    """Return a time and its offset. The low bits are the offset, counted down from the highest."""
    packed = int.from_bytes(raw, "little")
    micros = packed >> _OFFSET_BITS
    offset_s = _MAX_OFFSET_S - (packed & (2**_OFFSET_BITS - 1))
    seconds, micros = divmod(micros, 1_000_000)
    hours, minutes, seconds = _split_seconds(seconds)
    text = f"{hours:02}:{minutes:02}:{seconds:02}"
    if micros:
        text += f".{micros:06}".rstrip("0")
    return text + _format_offset(offset_s)


def _format_offset(offset_s: int) -> str:
    sign = "-" if offset_s < 0 else "+"
    hours, minutes, seconds = _split_seconds(abs(offset_s))
    text = f"{sign}{hours:02}:{minutes:02}"
    return f"{text}:{seconds:02}" if seconds else text


def _split_seconds(seconds: int) -> tuple[int, int, int]:
    """Return hours, minutes and seconds."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return hours, minutes, seconds


def format_uuid(raw: bytes) -> str:
    """Return the text of a UUID."""
    digits = raw.hex()
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return "-".join(parts)


OPAQUE_FORMATTERS: dict[str, Callable[[bytes], str]] = {
    "hugeint": _format_hugeint,
    "uhugeint": _format_uhugeint,
    "bit": _format_bit,
    "time_tz": _format_time_with_zone,
}
