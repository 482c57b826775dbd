"""Spark 4.0 has no Arrow iterator functions: there batches come as pandas Series, and answers go back as such.

A Series has no NULL of a STRUCT or a VARIANT, so such an answer travels as an ARRAY of one; see ``Versions.scala``.
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
_AS_ARRAY = frozenset({"STRUCT", "VARIANT"})


def returned(kind: SQLType) -> SQLType:
    """Return the type that Spark is told."""
    return SQLType("ARRAY", element=kind) if NEEDED and kind.name in _AS_ARRAY else kind


def to_arrow(column: Any) -> pa.Array:
    """Return a column of a batch as Arrow."""
    if hasattr(column, "columns"):
        fields = [to_arrow(column[name]) for name in column.columns]
        return pa.StructArray.from_arrays(fields, names=list(column.columns))
    first = next((value for value in column if value is not None), None)
    item = (
        next(iter(first), None)
        if isinstance(first, Iterable) and not isinstance(first, str | bytes)
        else first
    )
    if type(item).__name__ != "VariantVal":
        return pa.Array.from_pandas(column)
    return pa.array([_text(value) for value in column])


def _text(value: Any) -> Any:
    """Return a VARIANT as the text that it is in a request."""
    if value is None:
        return None
    if isinstance(value, Iterable):
        return [_text(item) for item in value]
    return variant.text_of(bytes(value.metadata), bytes(value.value))


def to_series(columns: list[pa.Array], kinds: list[SQLType]) -> pd.Series[Any]:
    """Return the answers of one call, or of several as one STRUCT, as Spark 4.0 reads them."""
    import pandas as pd

    answers = [
        _values(column, kind) for column, kind in zip(columns, kinds, strict=True)
    ]
    if len(answers) == 1:
        return pd.Series(answers[0], dtype=object)
    rows = zip(*answers, strict=True)
    return pd.Series(
        [[{f"c{i}": value for i, value in enumerate(row)}] for row in rows],
        dtype=object,
    )


def _values(column: pa.Array, kind: SQLType) -> list[Any]:
    values = [
        _value(value, kind) for value in column.to_pylist(maps_as_pydicts="strict")
    ]
    return (
        [None if value is None else [value] for value in values]
        if kind.name in _AS_ARRAY
        else values
    )


def _value(value: Any, kind: SQLType) -> Any:
    from pyspark.sql.types import VariantVal

    if value is None:
        return None
    if kind.name == "VARIANT":
        return VariantVal(value["value"], value["metadata"])
    if kind.name == "STRUCT":
        return {name: _value(value[name], inner) for name, inner in kind.fields}
    return value
