"""Codes and checksums of texts and bytes, and the names of types."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import zlib

_SOUNDEX = {**dict.fromkeys("BFPV", "1"), **dict.fromkeys("CGJKQSXZ", "2"), **dict.fromkeys("DT", "3"), "L": "4",
            **dict.fromkeys("MN", "5"), "R": "6"}  # fmt: skip
_TYPES = {
    "BIGINT": "bigint", "INTEGER": "int", "SMALLINT": "smallint", "TINYINT": "tinyint", "DOUBLE": "double",
    "FLOAT": "float", "VARCHAR": "string", "BLOB": "binary", "BOOLEAN": "boolean", "DATE": "date",
    "TIMESTAMP WITH TIME ZONE": "timestamp", "TIMESTAMP": "timestamp_ntz", "JSON": "variant", "VARIANT": "variant",
    "INTERVAL": "interval", "TIME": "time(6)", '"NULL"': "void", "NULL": "void",
}  # fmt: skip
_ALGORITHMS = {
    "SHA-1": "sha1",
    "SHA-224": "sha224",
    "SHA-256": "sha256",
    "SHA-384": "sha384",
    "SHA-512": "sha512",
}


def soundex(text: str) -> str:
    """Return the American Soundex code; a text that does not begin with a letter is returned as it is."""
    if not text[:1].isascii() or not text[:1].isalpha():
        return text
    code = text[0].upper()
    last = _SOUNDEX.get(code, "")
    for letter in text[1:]:
        upper = letter.upper() if letter.isascii() else ""
        digit = _SOUNDEX.get(upper, "")
        if digit and digit != last:
            code += digit
        if upper not in {"H", "W"}:
            last = digit
    return code[:4].ljust(4, "0")


def levenshtein(a: str, b: str) -> int:
    """Return the number of letters to insert, delete or replace."""
    previous = list(range(len(b) + 1))
    for index, one in enumerate(a, start=1):
        current = [index]
        for position, other in enumerate(b, start=1):
            replaced = previous[position - 1] + (one != other)
            current.append(min(previous[position] + 1, current[-1] + 1, replaced))
        previous = current
    return previous[-1]


def convert_base(text: str, source: int, target: int) -> str | None:
    """Return a number in another base; what follows the digits is left out. A negative base gives a sign."""
    if not 2 <= abs(source) <= 36 or not 2 <= abs(target) <= 36:  # noqa: PLR2004
        return None
    sign, digits = (text[:1], text[1:]) if text[:1] == "-" else ("", text)
    value = 0
    for letter in digits:
        if not letter.isalnum() or int(letter, 36) >= abs(source):
            break
        value = value * abs(source) + int(letter, 36)
    value = -value if sign else value
    if target > 0:
        value %= 2**64
    return _in_base(value, abs(target))


def _in_base(value: int, base: int) -> str:
    left, digits = abs(value), ""
    while left:
        left, digit = divmod(left, base)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + digits
    return ("-" if value < 0 else "") + (digits or "0")


def crc32(value: bytes) -> int:
    """Return the checksum of bytes."""
    return zlib.crc32(value)


def sha2(value: bytes, length: int) -> str:
    """Return the SHA-2 hash of bytes with 224, 384 or 512 bits; "" for another length."""
    if length not in {224, 384, 512}:
        return ""
    return hashlib.new(f"sha{length}", bytes(value)).hexdigest()


def hmac_of(key: bytes, message: bytes, algorithm: str) -> bytes:
    """Return the code of a message; the algorithms are those of ``sha2`` and SHA-1."""
    name = _ALGORITHMS.get(algorithm.upper())
    if name is None:
        known = ", ".join(_ALGORITHMS)
        raise ValueError(
            f"hmac: the algorithm {algorithm!r} is not known; use {known}."
        )
    return hmac.digest(key, message, name)


def to_base32(value: bytes) -> str:
    """Return bytes in base 32."""
    return base64.b32encode(value).decode()


def from_base32(text: str) -> bytes:
    """Return the bytes that a text in base 32 stands for."""
    return base64.b32decode(text)


def is_valid_utf8(value: bytes) -> bool:
    """Return True for bytes that are UTF-8."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def make_valid_utf8(value: bytes) -> str:
    """Return the text of bytes, with U+FFFD for what is not UTF-8."""
    return value.decode("utf-8", "replace")


def type_name(name: str) -> str:
    """Return Spark's name of a type of DuckDB."""
    name = name.strip()
    if name.endswith("[]"):
        return f"array<{type_name(name[:-2])}>"
    if match := re.fullmatch(r"(STRUCT|MAP)\((.*)\)", name, re.DOTALL):
        parts = split_types(match[2])
        if match[1] == "MAP":
            return "map<" + ",".join(map(type_name, parts)) + ">"
        fields = [part.strip().split(" ", 1) for part in parts]
        return (
            "struct<"
            + ",".join(
                f"{field.strip(chr(34))}:{type_name(kind)}" for field, kind in fields
            )
            + ">"
        )
    if name.startswith("DECIMAL"):
        return name.lower().replace(" ", "")
    return _TYPES.get(name, name.lower())


def split_types(text: str) -> list[str]:
    """Return the parts of a list of types that commas separate, outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


_ESCAPED = re.compile(rb"\\x([0-9A-Fa-f]{2})")


def read_bytes(text: str) -> bytes:
    """Return bytes from DuckDB's text of them."""
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), text.encode())
