"""Types in Spark: their JSON form for the JVM, and their Arrow form for the worker, VARIANT included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.requests.sql_types import SQLType, to_arrow, to_column

if TYPE_CHECKING:
    import pyarrow as pa

_SPARK_NAMES = {
    "STRING": "string",
    "TINYINT": "byte",
    "SMALLINT": "short",
    "INT": "integer",
    "BIGINT": "long",
    "FLOAT": "float",
    "DOUBLE": "double",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP_NTZ": "timestamp_ntz",
    "VARIANT": "variant",
}
_ARROW_NAMES = {
    "string": "string",
    "int16": "short",
    "int32": "integer",
    "int64": "long",
    "float": "float",
    "double": "double",
}

SparkType = str | dict[str, Any]


def spark_type(sql_type: SQLType) -> SparkType:
    """Return Spark's JSON form of a type."""
    if sql_type.name == "STRUCT":
        return _struct([(name, spark_type(inner)) for name, inner in sql_type.fields])
    if sql_type.element is not None and sql_type.name == "MAP":
        return {
            "type": "map",
            "keyType": "string",
            "valueType": spark_type(sql_type.element),
            "valueContainsNull": True,
        }
    if sql_type.element is not None:
        return _array(spark_type(sql_type.element))
    if sql_type.name == "DECIMAL":
        return f"decimal({sql_type.precision},{sql_type.scale})"
    return _SPARK_NAMES[sql_type.name]


def spark_type_of_arrow(arrow_type: pa.DataType) -> SparkType:
    """Return Spark's JSON form of an Arrow type."""
    import pyarrow as pa

    if pa.types.is_struct(arrow_type):
        return _struct(
            [(field.name, spark_type_of_arrow(field.type)) for field in arrow_type]
        )
    if pa.types.is_list(arrow_type):
        return _array(spark_type_of_arrow(arrow_type.value_type))
    if pa.types.is_timestamp(arrow_type):
        return "timestamp"
    return _ARROW_NAMES[str(arrow_type)]


def _struct(fields: list[tuple[str, SparkType]]) -> SparkType:
    described = [
        {"name": name, "type": field_type, "nullable": True, "metadata": {}}
        for name, field_type in fields
    ]
    return {"type": "struct", "fields": described}


def _array(element: SparkType) -> SparkType:
    return {"type": "array", "elementType": element, "containsNull": True}


def spark_column(values: Any, sql_type: SQLType) -> pa.Array:
    """Return the values of a call as the Arrow array that Spark expects."""
    import pyarrow as pa

    if isinstance(values, pa.Array):
        return values.cast(to_arrow(SQLType("ARRAY", element=sql_type.element)))
    if not _has_variant(sql_type):
        return to_column(values, sql_type)
    encoded = [_encode_variants(value, sql_type) for value in values]
    return pa.array(encoded, _arrow_type(sql_type))


def _has_variant(sql_type: SQLType) -> bool:
    return sql_type.name == "VARIANT" or any(map(_has_variant, sql_type.children()))


def _arrow_type(sql_type: SQLType) -> pa.DataType:
    import pyarrow as pa

    if sql_type.name == "VARIANT":
        mark = {
            b"variant": b"true"
        }  # by which Spark distinguishes it from other structs
        value = pa.field("value", pa.binary(), nullable=False)
        metadata = pa.field("metadata", pa.binary(), nullable=False, metadata=mark)
        return pa.struct([value, metadata])
    if sql_type.fields:
        return pa.struct(
            [(name, _arrow_type(inner)) for name, inner in sql_type.fields]
        )
    return to_arrow(sql_type)


def _encode_variants(value: Any, sql_type: SQLType) -> Any:
    from pyspark.sql.types import VariantVal

    if value is None:
        return None
    if sql_type.name == "VARIANT":
        variant = VariantVal.parseJson(msgspec.json.encode(value).decode())
        return {"value": bytes(variant.value), "metadata": bytes(variant.metadata)}
    if sql_type.name == "STRUCT":
        return {
            name: _encode_variants(value[name], inner)
            for name, inner in sql_type.fields
        }
    return value
