"""The MERGE that writes answers."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.updates.assignments import Assignments
    from aiquery.updates.pending_rows import PendingRows


def merge_sql(
    target: str,
    answers: str,
    columns: list[str],
    assignments: Assignments,
    pending: PendingRows,
    types: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the MERGE of a table ``answers`` with these columns.

    ``types`` are those of the target, for an engine that does not cast written values by itself.
    """
    quote = assignments.quote
    values = {}
    for name in columns:
        value = f"a.{quote(name)}"
        values[name] = f"CAST({value} AS {types[name]})" if name in types else value
    matches = [f"t.{quote(key)} = {values[key]}" for key in pending.keys]
    changes = [
        f"{quote(name)} = {values[name]}"
        for name in columns
        if name not in pending.keys
    ]
    sql = (
        f"MERGE INTO {target} AS t USING {answers} AS a ON {' AND '.join(matches)} "
        f"WHEN MATCHED THEN UPDATE SET {', '.join(changes)}"
    )
    if pending.source:
        names = ", ".join(map(quote, columns))
        sql += f" WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({', '.join(values.values())})"
    return sql
