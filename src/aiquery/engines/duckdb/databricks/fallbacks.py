"""Translate a statement of Databricks SQL again, and run it, if DuckDB does not bind it as it was translated first.

Spark casts texts and numbers to each other, and reads a field of each struct of an array. DuckDB says so only when it
binds a statement, before it asks anything: nothing is asked twice.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb

from aiquery.sql.databricks.fallbacks import Fallbacks

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.engines.duckdb.statements import ParsedStatement

    Run = Callable[[ParsedStatement, object], duckdb.DuckDBPyRelation | None]

_NO_STRUCT = re.compile(r"Cannot extract field '(.+?)' from expression")


def run_with_fallbacks(
    run: Run,
    create_macros: Callable[[str], None],
    parsed: ParsedStatement,
    params: object,
) -> duckdb.DuckDBPyRelation | None:
    """Run a statement. Raises the first error if no other translation of it binds."""
    try:
        return run(parsed, params)
    except duckdb.BinderException as error:
        if parsed.translate_again is None:
            raise
        first = error
    fallbacks = _add(Fallbacks(), first)
    sql = parsed.sql
    while True:
        made = parsed.translate_again(fallbacks)
        if made.sql == sql:
            raise first
        sql = made.sql
        try:
            create_macros(made.sql)
            return run(made, params)
        except duckdb.BinderException as error:
            fallbacks = _add(fallbacks, error)
        except duckdb.TransactionException:
            raise first from None


def _add(fallbacks: Fallbacks, error: duckdb.BinderException) -> Fallbacks:
    """Return the fallbacks with one more that an error asks for; the same ones if there is none."""
    match = _NO_STRUCT.search(str(error))
    if match is not None and match[1].lower() not in fallbacks.item_fields:
        fields = fallbacks.item_fields | {match[1].lower()}
        return replace(fallbacks, item_fields=fields)
    return replace(fallbacks, casts=True)
