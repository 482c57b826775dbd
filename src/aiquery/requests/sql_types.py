"""Return types: DDL text, JSON Schema, Arrow and DuckDB types, and ``SQLType`` between them.

DDL is the text that Spark's ``from_json`` takes: ``INT``, ``ARRAY<STRING>``,
``STRUCT<a: INT, b: DECIMAL(10,2)>``, or the fields of a struct alone: ``a INT, b STRING``. sqlglot
parses it; this module turns the result into a tree of ``SQLType``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aiquery.errors import UnsupportedReturnType, excerpt
from aiquery.limits import MAX_TYPE_DEPTH
from aiquery.requests.nesting import measure_type_depth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

INTEGER_BITS = {"TINYINT": 8, "SMALLINT": 16, "INT": 32, "BIGINT": 64}
"""The integer types and their widths in bits."""

DEFAULT_PRECISION = 10
"""The digits of a DECIMAL without a precision."""

_EXACT_BITS = 53
"""JSON represents integers up to this width exactly. A bound of BIGINT would be inexact."""

_SPELLINGS = {
    "VARCHAR": "STRING",
    "TEXT": "STRING",
    "CHAR": "STRING",
    "NVARCHAR": "STRING",
    "TIMESTAMPTZ": "TIMESTAMP",
    "TIMESTAMPLTZ": "TIMESTAMP",
    "TIMESTAMPNTZ": "TIMESTAMP_NTZ",
    "LIST": "ARRAY",
    "OBJECT": "STRUCT",
}
_JSON_SCHEMAS: dict[str, dict[str, Any]] = {
    "STRING": {"type": "string"},
    "TINYINT": {"type": "integer"},
    "SMALLINT": {"type": "integer"},
    "INT": {"type": "integer"},
    "BIGINT": {"type": "integer"},
    "FLOAT": {"type": "number"},
    "DOUBLE": {"type": "number"},
    "DECIMAL": {"type": "number"},
    "BOOLEAN": {"type": "boolean"},
    "DATE": {"type": "string", "format": "date"},
    "TIMESTAMP": {
        "type": "string",
        "format": "date-time",
        "description": "ISO 8601 with a time zone; without one, UTC",
    },
    "TIMESTAMP_NTZ": {"type": "string", "format": "date-time"},
    "VARIANT": {},
}
_DUCKDB_NAMES = {
    "STRING": "VARCHAR",
    "TINYINT": "TINYINT",
    "SMALLINT": "SMALLINT",
    "INT": "INTEGER",
    "BIGINT": "BIGINT",
    "FLOAT": "FLOAT",
    "DOUBLE": "DOUBLE",
    "DECIMAL": "DECIMAL",
    "BOOLEAN": "BOOLEAN",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
    "TIMESTAMP_NTZ": "TIMESTAMP",
    "VARIANT": "JSON",
}
_KNOWN = (
    "STRING, INT, BIGINT, SMALLINT, TINYINT, FLOAT, DOUBLE, DECIMAL(p,s), BOOLEAN, DATE, TIMESTAMP, "
    "ARRAY<...>, MAP<STRING,...>, STRUCT<a: INT, ...>"
)


@dataclass(frozen=True, slots=True)
class SQLType:
    """One node of a type.

    name               in Spark's spelling. A VARIANT holds any JSON value; an engine that cannot
                       create one from a constant uses JSON
    fields             of a STRUCT: pairs of a name and a type
    element            of an ARRAY, or the values of a MAP, whose keys are STRING
    precision, scale   of a DECIMAL
    length             of an ARRAY whose values all have the same length; None: any length
    """

    name: str
    fields: tuple[tuple[str, SQLType], ...] = ()
    element: SQLType | None = None
    precision: int = DEFAULT_PRECISION
    scale: int = 0
    length: int | None = None

    def children(self) -> tuple[SQLType, ...]:
        """Return the types directly below this one."""
        fields = tuple(field for _, field in self.fields)
        return fields if self.element is None else (*fields, self.element)


STRING = SQLType("STRING")
EMBEDDING = SQLType("ARRAY", element=SQLType("FLOAT"))


# --- DDL


def parse_ddl(text: str) -> SQLType:
    """Parse DDL text. Raises ``UnsupportedReturnType``, which names the part that is not known."""
    if measure_type_depth(text) > MAX_TYPE_DEPTH:
        raise UnsupportedReturnType(
            f"returnType {excerpt(text)!r}: its types are nested more than {MAX_TYPE_DEPTH} levels deep."
        )
    sql_type = _parse(text, text) or _parse(f"STRUCT<{text}>", text)
    if sql_type is None:
        raise UnsupportedReturnType(
            f"returnType {excerpt(text)!r} is not a type. Known types: {_KNOWN}."
        )
    return sql_type


def _parse(ddl: str, text: str) -> SQLType | None:
    # Imported late: sqlglot takes longer to import than the rest of the package together.
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    try:
        node = parse_one(ddl, into=exp.DataType, read="databricks")
    except (SqlglotError, IndexError):  # sqlglot fails at "INT (MAP (INT"
        return None
    return _from_sqlglot(node, text)


def _from_sqlglot(node: Any, text: str) -> SQLType:
    name = getattr(node.this, "value", str(node.this)).upper()
    name = _SPELLINGS.get(name, name)
    parts = node.expressions
    if name == "STRUCT" and parts:
        check_names([part.name for part in parts], f"returnType {excerpt(text)!r}")
        fields = []
        for part in parts:
            if not part.args.get("kind"):
                raise UnsupportedReturnType(
                    f"returnType {excerpt(text)!r}: a field has no type."
                )
            field = _from_sqlglot(part.args["kind"], text)
            fields.append((part.name, field))
        return SQLType(name, fields=tuple(fields))
    if name == "ARRAY" and parts:
        return SQLType(name, element=_from_sqlglot(parts[0], text))
    if name == "MAP" and parts:
        if _from_sqlglot(parts[0], text) != STRING:
            raise UnsupportedReturnType(
                f"returnType {excerpt(text)!r}: the keys of a MAP must be STRING."
            )
        return SQLType(name, element=_from_sqlglot(parts[1], text))
    if name == "DECIMAL":
        return _decimal([int(part.name) for part in parts])
    if name not in _JSON_SCHEMAS or name == "VARIANT":
        raise UnsupportedReturnType(
            f"returnType {excerpt(text)!r}: {name} is not supported. Known types: {_KNOWN}."
        )
    return SQLType(name)


def _decimal(sizes: Sequence[int]) -> SQLType:
    precision = sizes[0] if sizes else DEFAULT_PRECISION
    scale = sizes[1] if len(sizes) > 1 else 0
    return SQLType("DECIMAL", precision=precision, scale=scale)


def check_names(names: Sequence[str], where: str) -> None:
    """Raise ``UnsupportedReturnType`` if two fields have the same name; SQL ignores case.

    ``where`` is the start of the error's text.
    """
    seen: dict[str, str] = {}
    for name in names:
        key = name.casefold()
        if key in seen:
            raise UnsupportedReturnType(
                f"{where}: the fields {seen[key]!r} and {name!r} have the same name, because SQL "
                "ignores case. Rename one."
            )
        seen[key] = name


def to_ddl(sql_type: SQLType) -> str:
    """Return the canonical DDL text."""
    if sql_type.name == "STRUCT":
        fields = [f"{name}: {to_ddl(field)}" for name, field in sql_type.fields]
        return f"STRUCT<{', '.join(fields)}>"
    if sql_type.element is not None:
        key = "STRING, " if sql_type.name == "MAP" else ""
        return f"{sql_type.name}<{key}{to_ddl(sql_type.element)}>"
    return _add_sizes(sql_type.name, sql_type)


def _add_sizes(name: str, sql_type: SQLType) -> str:
    if sql_type.name != "DECIMAL":
        return name
    return f"{name}({sql_type.precision},{sql_type.scale})"


# --- JSON Schema


def to_json_schema(sql_type: SQLType) -> dict[str, Any]:
    """Return the JSON schema that constrains a model to the type, with the range of integers."""
    if sql_type.name == "STRUCT":
        return {
            "type": "object",
            "properties": {
                name: to_json_schema(field) for name, field in sql_type.fields
            },
            "required": [name for name, _ in sql_type.fields],
            "additionalProperties": False,
        }
    if sql_type.element is not None:
        element = to_json_schema(sql_type.element)
        if sql_type.name == "MAP":
            return {"type": "object", "additionalProperties": element}
        return {"type": "array", "items": element}
    schema = dict(_JSON_SCHEMAS[sql_type.name])
    bits = INTEGER_BITS.get(sql_type.name)
    if bits is not None and bits <= _EXACT_BITS:
        limit = 1 << (bits - 1)
        schema["minimum"] = -limit
        schema["maximum"] = limit - 1
    return schema


# --- DuckDB


def to_duckdb(sql_type: SQLType) -> object:
    """Return the structure that DuckDB's ``from_json`` takes.

    It is the name of a type, an object of structures, or an array of one structure.
    """
    if sql_type.name == "STRUCT":
        return {name: to_duckdb(field) for name, field in sql_type.fields}
    element = sql_type.element
    if sql_type.name == "ARRAY" and element is not None and sql_type.length is None:
        return [to_duckdb(element)]
    return duckdb_name(sql_type)


def duckdb_name(sql_type: SQLType) -> str:
    """Return the name of a type in DuckDB's SQL."""
    if sql_type.name == "STRUCT":
        fields = [
            f"{quote_name(name)} {duckdb_name(field)}"
            for name, field in sql_type.fields
        ]
        return f"STRUCT({', '.join(fields)})"
    if sql_type.element is None:
        return _add_sizes(_DUCKDB_NAMES[sql_type.name], sql_type)
    element = duckdb_name(sql_type.element)
    if sql_type.name == "MAP":
        return f"MAP(VARCHAR, {element})"
    return f"{element}[{sql_type.length or ''}]"


def quote_name(name: str) -> str:
    """Return a name in the double quotes of SQL."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


# --- Arrow


def _arrow_types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {
        "STRING": pa.string(),
        "VARIANT": pa.string(),
        "FLOAT": pa.float32(),
        "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "TINYINT": pa.int8(),
        "SMALLINT": pa.int16(),
        "INT": pa.int32(),
        "BIGINT": pa.int64(),
        "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us", tz="UTC"),
        "TIMESTAMP_NTZ": pa.timestamp("us"),
    }


def to_arrow(sql_type: SQLType) -> pa.DataType:
    """Return the Arrow type of a column of the type."""
    import pyarrow as pa

    if sql_type.name == "STRUCT":
        fields = [(name, to_arrow(field)) for name, field in sql_type.fields]
        return pa.struct(fields)
    if sql_type.element is not None:
        element = to_arrow(sql_type.element)
        if sql_type.name == "MAP":
            return pa.map_(pa.string(), element)
        return pa.list_(element, sql_type.length or -1)
    if sql_type.name == "DECIMAL":
        return pa.decimal128(sql_type.precision, sql_type.scale)
    return _arrow_types()[sql_type.name]


def from_arrow(arrow_type: pa.DataType) -> SQLType:
    """Return the type of an Arrow column. Raises ``UnsupportedReturnType``."""
    import pyarrow as pa

    types = pa.types
    if types.is_struct(arrow_type):
        fields = [(field.name, from_arrow(field.type)) for field in arrow_type]
        return SQLType("STRUCT", fields=tuple(fields))
    if types.is_map(arrow_type):
        return SQLType("MAP", element=from_arrow(arrow_type.item_type))
    list_types = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    if any(is_type(arrow_type) for is_type in list_types):
        return SQLType("ARRAY", element=from_arrow(arrow_type.value_type))
    if types.is_decimal(arrow_type):
        return _decimal([arrow_type.precision, arrow_type.scale])
    if types.is_timestamp(arrow_type):
        return SQLType("TIMESTAMP" if arrow_type.tz else "TIMESTAMP_NTZ")
    for name, known in _arrow_types().items():
        if known == arrow_type:
            return SQLType(name)
    raise UnsupportedReturnType(
        f"an Arrow column of type {arrow_type} has no return type. Known types: {_KNOWN}."
    )


def to_column(values: list[Any], sql_type: SQLType) -> pa.Array:
    """Return values as an Arrow column.

    The values are those of a parser: dates, timestamps and decimals are texts.
    """
    import pyarrow as pa

    converted = [_to_python(value, sql_type) for value in values]
    return pa.array(converted, to_arrow(sql_type))


def _to_python(value: Any, sql_type: SQLType) -> Any:
    if value is None:
        return None
    if sql_type.name == "STRUCT":
        return {name: _to_python(value[name], field) for name, field in sql_type.fields}
    element = sql_type.element
    if element is not None and sql_type.name == "MAP":
        return [(key, _to_python(item, element)) for key, item in value.items()]
    if element is not None:
        return [_to_python(item, element) for item in value]
    convert = _FROM_TEXT.get(sql_type.name)
    return convert(value) if convert is not None else value


def _to_instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _to_local_time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)


def _to_json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


_FROM_TEXT: dict[str, Callable[[Any], object]] = {
    "DATE": date.fromisoformat,
    "VARIANT": _to_json_text,
    "DECIMAL": Decimal,
    "TIMESTAMP": _to_instant,
    "TIMESTAMP_NTZ": _to_local_time,
}
