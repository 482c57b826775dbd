"""How answers are written: one MERGE."""

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
    need: PendingRows,
    types: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the MERGE of a table ``answers`` with these columns.

    ``types`` are those of the target, where the engine does not convert by itself what it writes.
    """
    q = assignments.quoted
    value = {
        name: f"CAST(a.{q(name)} AS {types[name]})" if name in types else f"a.{q(name)}"
        for name in columns
    }
    same = " AND ".join(f"t.{q(key)} = {value[key]}" for key in need.keys)
    written = [name for name in columns if name not in need.keys]
    update = ", ".join(f"{q(name)} = {value[name]}" for name in written)
    names = ", ".join(map(q, columns))
    values = ", ".join(value.values())
    insert = (
        f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
        if need.source
        else ""
    )
    return f"MERGE INTO {target} AS t USING {answers} AS a ON {same} WHEN MATCHED THEN UPDATE SET {update} {insert}"
