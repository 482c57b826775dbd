"""The text that Spark makes of a number, of bytes, and of an array, struct or map."""

from __future__ import annotations

import json
import re
from typing import Any

from aiquery.sql.databricks.python.jsons import convert_decimal, split_field
from aiquery.sql.databricks.python.numbers import float_text, number_text
from aiquery.sql.databricks.python.texts import read_bytes, split_types
from aiquery.sql.databricks.python.variants import decode, encode, variant_text

_OFFSET = re.compile(r"[+-]\d\d(:\d\d)*$")


def part_type(kind: str, joined: str) -> str:
    """Return the type of a part of ``concat`` as the text that DuckDB's ``from_json`` takes.

    Arrays and bytes keep theirs; others are texts. ``joined`` is not used: it makes DuckDB wait for the type.

    >>> part_type("DOUBLE", "VARCHAR"), part_type("INTEGER[]", "INTEGER[]")
    ('"VARCHAR"', '"INTEGER[]"')
    """
    del joined
    return json.dumps(kind if kind.endswith("]") or kind == "BLOB" else "VARCHAR")


def bytes_text(text: str) -> str:
    """Return bytes as UTF-8, from DuckDB's text of them; what is not UTF-8 is replaced."""
    return read_bytes(text).decode("utf-8", "replace")


def nested_text(text: str, kind: str) -> str:
    """Return an array, a struct or a map as Spark writes it, from its JSON and its type.

    >>> nested_text('{"a":1,"b":["x",null]}', "STRUCT(a INTEGER, b VARCHAR[])")
    '{1, [x, null]}'
    """
    return _show(decode(text), kind.strip())


def _show(value: Any, kind: str) -> str:
    if value is None:
        return "null"
    if kind == "JSON":
        return variant_text(encode(value))
    if kind.endswith("]"):
        inner = kind[: kind.rindex("[")]
        return "[" + ", ".join(_show(one, inner) for one in value) + "]"
    if kind.startswith("STRUCT("):
        fields = [split_field(part.strip()) for part in split_types(kind[7:-1])]
        return (
            "{" + ", ".join(_show(value.get(name), one) for name, one in fields) + "}"
        )
    if kind.startswith("MAP("):
        key_kind, value_kind = (part.strip() for part in split_types(kind[4:-1]))
        pairs = [
            f"{_show(key, key_kind)} -> {_show(one, value_kind)}"
            for key, one in value.items()
        ]
        return "{" + ", ".join(pairs) + "}"
    return _show_scalar(value, kind)


def _show_scalar(value: Any, kind: str) -> str:
    if kind == "FLOAT":
        return float_text(float(value))
    if kind == "DOUBLE":
        return number_text(str(value))
    if kind.startswith("DECIMAL"):
        return format(convert_decimal(value, kind), "f")
    if kind == "TIMESTAMP WITH TIME ZONE":
        return _OFFSET.sub("", str(value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
