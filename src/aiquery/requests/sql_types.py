"""Return types: DDL text <-> JSON Schema <-> Arrow <-> DuckDB.

DDL is what Spark's ``from_json`` takes: ``INT``, ``ARRAY<STRING>``, ``STRUCT<a: INT, b: DECIMAL(10,2)>``, or a bare
field list ``a INT, b STRING`` (a struct). sqlglot parses it; here it becomes a small tree of ``SQLType``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aiquery.errors import UnsupportedReturnType, excerpt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

INTEGER_BITS = {"TINYINT": 8, "SMALLINT": 16, "INT": 32, "BIGINT": 64}
"""The integer types and their widths in bits."""

_SPELLINGS = {
    "VARCHAR": "STRING", "TEXT": "STRING", "CHAR": "STRING", "NVARCHAR": "STRING",
    "TIMESTAMPTZ": "TIMESTAMP", "TIMESTAMPLTZ": "TIMESTAMP", "TIMESTAMPNTZ": "TIMESTAMP_NTZ",
    "LIST": "ARRAY", "OBJECT": "STRUCT",
}  # fmt: skip
_SIMPLE: dict[str, tuple[dict[str, Any], str]] = {
    # name: (JSON Schema, DuckDB)
    "STRING": ({"type": "string"}, "VARCHAR"),
    "TINYINT": ({"type": "integer"}, "TINYINT"),
    "SMALLINT": ({"type": "integer"}, "SMALLINT"),
    "INT": ({"type": "integer"}, "INTEGER"),
    "BIGINT": ({"type": "integer"}, "BIGINT"),
    "FLOAT": ({"type": "number"}, "FLOAT"),
    "DOUBLE": ({"type": "number"}, "DOUBLE"),
    "DECIMAL": ({"type": "number"}, "DECIMAL"),
    "BOOLEAN": ({"type": "boolean"}, "BOOLEAN"),
    "DATE": ({"type": "string", "format": "date"}, "DATE"),
    "TIMESTAMP": (
        {
            "type": "string",
            "format": "date-time",
            "description": "ISO 8601 with a time zone; without one, UTC",
        },
        "TIMESTAMP WITH TIME ZONE",
    ),
    "TIMESTAMP_NTZ": ({"type": "string", "format": "date-time"}, "TIMESTAMP"),
    "VARIANT": ({}, "JSON"),
}
_KNOWN = (
    "STRING, INT, BIGINT, SMALLINT, TINYINT, FLOAT, DOUBLE, DECIMAL(p,s), BOOLEAN, DATE, TIMESTAMP, ARRAY<...>, "
    "MAP<STRING,...>, STRUCT<a: INT, ...>"
)


@dataclass(frozen=True, slots=True)
class SQLType:
    """One node of a return type.

    ``fields`` of a STRUCT are (name, type) pairs, ``element`` is the element of an ARRAY or the value of a MAP
    (whose keys are strings), ``length`` is the length of an ARRAY where all have the same, ``precision`` and ``scale``
    belong to DECIMAL. A VARIANT holds any JSON value; it is JSON on engines that cannot make one from a constant.
    """

    name: str
    fields: tuple[tuple[str, SQLType], ...] = ()
    element: SQLType | None = None
    precision: int = 10
    scale: int = 0
    length: int | None = None

    def children(self) -> tuple[SQLType, ...]:
        """Return the types directly below this one."""
        return tuple(t for _, t in self.fields) + (
            (self.element,) if self.element else ()
        )


STRING = SQLType("STRING")
EMBEDDING = SQLType("ARRAY", element=SQLType("FLOAT"))


def parse_ddl(text: str) -> SQLType:
    """Parse DDL text into a ``SQLType``; raise ``UnsupportedReturnType`` naming the part that is not known."""
    from sqlglot import (
        exp,
        parse_one,
    )  # late: sqlglot takes longer to import than the rest together
    from sqlglot.errors import SqlglotError

    def parse(ddl: str) -> SQLType | None:
        try:
            return _from_sqlglot(
                parse_one(ddl, into=exp.DataType, read="databricks"), text
            )
        except SqlglotError:
            return None

    found = parse(text) or parse(f"STRUCT<{text}>")
    if found is None:
        raise UnsupportedReturnType(
            f"returnType {excerpt(text)!r} is not a type. Known types: {_KNOWN}."
        )
    return found


def _from_sqlglot(node: Any, text: str) -> SQLType:
    name = getattr(node.this, "value", str(node.this)).upper()
    name = _SPELLINGS.get(name, name)
    parts = node.expressions
    if name == "STRUCT" and parts:
        check_names([field.name for field in parts], f"returnType {excerpt(text)!r}")
        return SQLType(
            name,
            fields=tuple((f.name, _from_sqlglot(f.args["kind"], text)) for f in parts),
        )
    if name == "ARRAY" and parts:
        return SQLType(name, element=_from_sqlglot(parts[0], text))
    if name == "MAP" and parts:
        if _from_sqlglot(parts[0], text) != STRING:
            raise UnsupportedReturnType(
                f"returnType {excerpt(text)!r}: the keys of a MAP must be STRING."
            )
        return SQLType(name, element=_from_sqlglot(parts[1], text))
    if name == "DECIMAL":
        sizes = [int(p.name) for p in parts] or [10, 0]
        return SQLType(
            name, precision=sizes[0], scale=sizes[1] if len(sizes) > 1 else 0
        )
    if name not in _SIMPLE or name == "VARIANT":
        raise UnsupportedReturnType(
            f"returnType {excerpt(text)!r}: {name} is not supported. Known types: {_KNOWN}."
        )
    return SQLType(name)


def check_names(names: Sequence[str], where: str) -> None:
    """Raise ``UnsupportedReturnType`` for two fields of one name: SQL does not tell ``a`` from ``A``."""
    seen: dict[str, str] = {}
    for name in names:
        key = name.casefold()
        if key in seen:
            raise UnsupportedReturnType(
                f"{where}: the fields {seen[key]!r} and {name!r} have the same name, which SQL does not tell apart. "
                "Rename one."
            )
        seen[key] = name


def to_ddl(kind: SQLType) -> str:
    """Return the canonical DDL text."""
    if kind.name == "STRUCT":
        return (
            "STRUCT<"
            + ", ".join(f"{name}: {to_ddl(t)}" for name, t in kind.fields)
            + ">"
        )
    if kind.element is not None:
        key = "STRING, " if kind.name == "MAP" else ""
        return f"{kind.name}<{key}{to_ddl(kind.element)}>"
    return (
        f"DECIMAL({kind.precision},{kind.scale})"
        if kind.name == "DECIMAL"
        else kind.name
    )


def to_json_schema(kind: SQLType) -> dict[str, Any]:
    """Return the JSON Schema that constrains a model to this type, the range of integers included."""
    if kind.name == "STRUCT":
        return {
            "type": "object",
            "properties": {name: to_json_schema(t) for name, t in kind.fields},
            "required": [name for name, _ in kind.fields],
            "additionalProperties": False,
        }
    if kind.element is not None:
        element = to_json_schema(kind.element)
        if kind.name == "MAP":
            return {"type": "object", "additionalProperties": element}
        return {"type": "array", "items": element}
    schema = dict(_SIMPLE[kind.name][0])
    bits = INTEGER_BITS.get(kind.name, 64)
    if bits < 64:  # noqa: PLR2004  beyond 2 ** 53 JSON's numbers are not exact, so a bound of BIGINT would be no help
        schema |= {"minimum": -(1 << (bits - 1)), "maximum": (1 << (bits - 1)) - 1}
    return schema


def to_duckdb(kind: SQLType) -> object:
    """Return the structure that DuckDB's ``from_json`` takes: a type name, or nested objects and arrays of them."""
    if kind.name == "STRUCT":
        return {name: to_duckdb(t) for name, t in kind.fields}
    if kind.name == "ARRAY" and kind.element is not None and kind.length is None:
        return [to_duckdb(kind.element)]
    return _duckdb_name(kind)


def _duckdb_name(kind: SQLType) -> str:
    if kind.name == "STRUCT":
        quoted = (
            f'"{name.replace(chr(34), chr(34) * 2)}" {_duckdb_name(t)}'
            for name, t in kind.fields
        )
        return "STRUCT(" + ", ".join(quoted) + ")"
    if kind.element is not None:
        element = _duckdb_name(kind.element)
        return (
            f"MAP(VARCHAR, {element})"
            if kind.name == "MAP"
            else f"{element}[{kind.length or ''}]"
        )
    name = _SIMPLE[kind.name][1]
    return f"DECIMAL({kind.precision},{kind.scale})" if kind.name == "DECIMAL" else name


def to_arrow(kind: SQLType) -> pa.DataType:
    """Return the Arrow type of a column of this type."""
    import pyarrow as pa

    if kind.name == "STRUCT":
        return pa.struct([(name, to_arrow(t)) for name, t in kind.fields])
    if kind.element is not None:
        element = to_arrow(kind.element)
        return (
            pa.map_(pa.string(), element)
            if kind.name == "MAP"
            else pa.list_(element, kind.length or -1)
        )
    simple = {
        "STRING": pa.string(), "VARIANT": pa.string(), "FLOAT": pa.float32(), "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "TINYINT": pa.int8(), "SMALLINT": pa.int16(), "INT": pa.int32(), "BIGINT": pa.int64(),
        "DATE": pa.date32(), "TIMESTAMP": pa.timestamp("us", tz="UTC"), "TIMESTAMP_NTZ": pa.timestamp("us"),
    }  # fmt: skip
    return (
        pa.decimal128(kind.precision, kind.scale)
        if kind.name == "DECIMAL"
        else simple[kind.name]
    )


def from_arrow(kind: pa.DataType) -> SQLType:
    """Return the ``SQLType`` of an Arrow column, the way back of ``to_arrow``."""
    import pyarrow as pa

    types = pa.types
    if types.is_struct(kind):
        return SQLType(
            "STRUCT", fields=tuple((f.name, from_arrow(f.type)) for f in kind)
        )
    if types.is_map(kind):
        return SQLType("MAP", element=from_arrow(kind.item_type))
    if (
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
    ):
        return SQLType("ARRAY", element=from_arrow(kind.value_type))
    if types.is_decimal(kind):
        return SQLType("DECIMAL", precision=kind.precision, scale=kind.scale)
    if types.is_timestamp(kind):
        return SQLType("TIMESTAMP" if kind.tz else "TIMESTAMP_NTZ")
    for name in _SIMPLE:
        if (
            name not in {"DECIMAL", "TIMESTAMP", "TIMESTAMP_NTZ", "VARIANT"}
            and to_arrow(SQLType(name)) == kind
        ):
            return SQLType(name)
    raise UnsupportedReturnType(
        f"an Arrow column of type {kind} has no return type. Known types: {_KNOWN}."
    )


def to_column(values: list[Any], kind: SQLType) -> pa.Array:
    """Return values as a reply is read into them (dates, timestamps and decimals as text) as an Arrow column."""
    import pyarrow as pa

    return pa.array([_to_python(value, kind) for value in values], to_arrow(kind))


def _to_python(value: Any, kind: SQLType) -> Any:
    if value is None:
        return None
    if kind.name == "STRUCT":
        return {name: _to_python(value[name], t) for name, t in kind.fields}
    if kind.name == "MAP" and kind.element is not None:
        return [(key, _to_python(item, kind.element)) for key, item in value.items()]
    if kind.element is not None:
        return [_to_python(item, kind.element) for item in value]
    convert = _FROM_TEXT.get(kind.name)
    return convert(value) if convert is not None else value


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=moment.tzinfo or UTC)


_FROM_TEXT: dict[str, Callable[[Any], object]] = {
    "DATE": date.fromisoformat,
    "VARIANT": lambda value: json.dumps(value, ensure_ascii=False),
    "DECIMAL": Decimal,
    "TIMESTAMP": _instant,
    "TIMESTAMP_NTZ": lambda text: datetime.fromisoformat(text).replace(tzinfo=None),
}
