"""How answers are written: one MERGE, tried again when another writer got in its way."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiquery.incremental.assignments import Assignments
    from aiquery.incremental.need import Need

WAIT_S = 0.05
LONGEST_WAIT_S = 3.2


def merge_sql(
    target: str,
    answers: str,
    columns: list[str],
    assignments: Assignments,
    need: Need,
    types: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the MERGE of a table ``answers`` with these columns; a NULL leaves what is there.

    ``types`` are those of the target, where the engine does not convert by itself what it writes.
    """
    q = assignments.quoted
    value = {name: f"CAST(a.{q(name)} AS {types[name]})" if name in types else f"a.{q(name)}" for name in columns}
    same = " AND ".join(f"t.{q(key)} = {value[key]}" for key in need.keys)
    written = [name for name in columns if name not in need.keys]
    update = ", ".join(f"{q(name)} = coalesce({value[name]}, t.{q(name)})" for name in written)
    names = ", ".join(map(q, columns))
    values = ", ".join(value.values())
    insert = f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})" if need.source else ""
    return f"MERGE INTO {target} AS t USING {answers} AS a ON {same} WHEN MATCHED THEN UPDATE SET {update} {insert}"


def tried_again(
    commit: Callable[[], object],
    conflict: type[Exception],
    attempts: int,
    refresh: Callable[[], object] = lambda: None,
) -> None:
    """Call ``commit`` until it raises no ``conflict``, at most ``attempts`` times; then the conflict goes on.

    ``refresh`` is called before another try.
    """
    for attempt in range(attempts):
        try:
            commit()
        except conflict:
            if attempt == attempts - 1:
                raise
            time.sleep(min(WAIT_S * 2**attempt, LONGEST_WAIT_S))
            refresh()
        else:
            return
