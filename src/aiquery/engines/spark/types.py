"""Return types as Spark knows them: its JSON form for the JVM, its Arrow form for the worker, VARIANT included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.requests.sql_types import SQLType, to_arrow, to_column

if TYPE_CHECKING:
    import pyarrow as pa

_SPARK = {
    "STRING": "string", "TINYINT": "byte", "SMALLINT": "short", "INT": "integer", "BIGINT": "long", "FLOAT": "float",
    "DOUBLE": "double", "BOOLEAN": "boolean", "DATE": "date", "TIMESTAMP": "timestamp",
    "TIMESTAMP_NTZ": "timestamp_ntz", "VARIANT": "variant",
}  # fmt: skip

_ARROW = {
    "string": "string", "int16": "short", "int32": "integer", "int64": "long", "float": "float", "double": "double",
}  # fmt: skip


def spark_type(kind: SQLType) -> str | dict[str, Any]:
    """Return Spark's JSON form of a type."""
    if kind.name == "STRUCT":
        fields = [
            {"name": n, "type": spark_type(t), "nullable": True, "metadata": {}}
            for n, t in kind.fields
        ]
        return {"type": "struct", "fields": fields}
    if kind.element is not None and kind.name == "MAP":
        return {
            "type": "map",
            "keyType": "string",
            "valueType": spark_type(kind.element),
            "valueContainsNull": True,
        }
    if kind.element is not None:
        return {
            "type": "array",
            "elementType": spark_type(kind.element),
            "containsNull": True,
        }
    return (
        f"decimal({kind.precision},{kind.scale})"
        if kind.name == "DECIMAL"
        else _SPARK[kind.name]
    )


def of_arrow(kind: pa.DataType) -> str | dict[str, Any]:
    """Return Spark's JSON form of an Arrow type."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        fields = [
            {"name": f.name, "type": of_arrow(f.type), "nullable": True, "metadata": {}}
            for f in kind
        ]
        return {"type": "struct", "fields": fields}
    if pa.types.is_list(kind):
        return {
            "type": "array",
            "elementType": of_arrow(kind.value_type),
            "containsNull": True,
        }
    return "timestamp" if pa.types.is_timestamp(kind) else _ARROW[str(kind)]


def spark_column(values: Any, kind: SQLType) -> pa.Array:
    """Return the values of a call as the Arrow array that Spark expects."""
    import pyarrow as pa

    if isinstance(values, pa.Array):
        return values.cast(to_arrow(SQLType("ARRAY", element=kind.element)))
    if not _has_variant(kind):
        return to_column(values, kind)
    return pa.array([_with_variants(value, kind) for value in values], _arrow(kind))


def _has_variant(kind: SQLType) -> bool:
    return kind.name == "VARIANT" or any(map(_has_variant, kind.children()))


def _arrow(kind: SQLType) -> pa.DataType:
    import pyarrow as pa

    if kind.name == "VARIANT":
        mark = {b"variant": b"true"}  # by which Spark tells it from any struct
        value = pa.field("value", pa.binary(), nullable=False)
        return pa.struct(
            [value, pa.field("metadata", pa.binary(), nullable=False, metadata=mark)]
        )
    return (
        pa.struct([(name, _arrow(t)) for name, t in kind.fields])
        if kind.fields
        else to_arrow(kind)
    )


def _with_variants(value: Any, kind: SQLType) -> Any:
    from pyspark.sql.types import VariantVal

    if value is None:
        return None
    if kind.name == "VARIANT":
        variant = VariantVal.parseJson(msgspec.json.encode(value).decode())
        return {"value": bytes(variant.value), "metadata": bytes(variant.metadata)}
    if kind.name == "STRUCT":
        return {name: _with_variants(value[name], t) for name, t in kind.fields}
    return value
