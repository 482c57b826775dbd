"""Batches of Spark 4.0, which has no Arrow iterator functions: they arrive as pandas Series, and columns return so.

A Series has no NULL of a STRUCT or a VARIANT, so such a value travels as an ARRAY of one; see ``Versions.scala``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.util import PythonEvalType

from aiquery.requests import variant
from aiquery.requests.sql_types import SQLType

if TYPE_CHECKING:
    import pandas as pd

NEEDED = not hasattr(PythonEvalType, "SQL_SCALAR_ARROW_ITER_UDF")
_WRAPPED = frozenset({"STRUCT", "VARIANT"})


def wrap_type(sql_type: SQLType) -> SQLType:
    """Return the type that Spark receives."""
    if NEEDED and sql_type.name in _WRAPPED:
        return SQLType("ARRAY", element=sql_type)
    return sql_type


def to_arrow(column: Any) -> pa.Array:
    """Return a column of a batch as Arrow."""
    if hasattr(column, "columns"):
        fields = [to_arrow(column[name]) for name in column.columns]
        return pa.StructArray.from_arrays(fields, names=list(column.columns))
    if type(_first_item(column)).__name__ != "VariantVal":
        return pa.Array.from_pandas(column)
    return pa.array([_variant_to_json(value) for value in column])


def _first_item(column: Any) -> Any:
    """Return the first value that is not NULL; of a list its first item."""
    first = next((value for value in column if value is not None), None)
    if isinstance(first, Iterable) and not isinstance(first, str | bytes):
        return next(iter(first), None)
    return first


def _variant_to_json(value: Any) -> Any:
    """Return a VARIANT as the text that it is in a request."""
    if value is None:
        return None
    if isinstance(value, Iterable):
        return [_variant_to_json(item) for item in value]
    return variant.decode_to_json(bytes(value.metadata), bytes(value.value))


def to_series(columns: list[pa.Array], types: list[SQLType]) -> pd.Series[Any]:
    """Return the column of one call, or those of several as one STRUCT, in the form that Spark 4.0 reads."""
    import pandas as pd

    values = [
        _to_python(column, sql_type)
        for column, sql_type in zip(columns, types, strict=True)
    ]
    if len(values) == 1:
        return pd.Series(values[0], dtype=object)
    rows = [
        {f"c{i}": value for i, value in enumerate(row)}
        for row in zip(*values, strict=True)
    ]
    return pd.Series([[row] for row in rows], dtype=object)


def _to_python(column: pa.Array, sql_type: SQLType) -> list[Any]:
    plain = column.to_pylist(maps_as_pydicts="strict")
    values = [_to_spark_value(value, sql_type) for value in plain]
    if sql_type.name not in _WRAPPED:
        return values
    return [None if value is None else [value] for value in values]


def _to_spark_value(value: Any, sql_type: SQLType) -> Any:
    from pyspark.sql.types import VariantVal

    if value is None:
        return None
    if sql_type.name == "VARIANT":
        return VariantVal(value["value"], value["metadata"])
    if sql_type.name == "STRUCT":
        return {
            name: _to_spark_value(value[name], inner) for name, inner in sql_type.fields
        }
    return value
