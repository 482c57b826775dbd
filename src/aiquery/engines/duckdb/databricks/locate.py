"""Show where a name stands that DuckDB does not know: its own message shows the translated statement."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
from sqlglot.errors import TokenError

from aiquery.sql.databricks.positions import with_position
from aiquery.sql.databricks.source import split_statements

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNKNOWN = re.compile(
    r'Referenced (?:column|table) "([^"]+)" (?:was )?not found'
    r'|(?:Table|Function|Macro) with name "?([^\s"!]+?)"? does not exist'
)
_TRANSLATED = re.compile(r"\n+LINE \d+:.*", re.DOTALL)


@contextmanager
def located(text: str) -> Iterator[None]:
    """Raise the errors of DuckDB about a name with its line and column in ``text``, which is Databricks SQL."""
    try:
        yield
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        message = str(error)
        found = _UNKNOWN.search(message)
        start = _find(text, found[1] or found[2]) if found and text else None
        if start is None:
            raise
        shown = _TRANSLATED.sub("", message)
        raise type(error)(with_position(shown, text, start)) from None


def _find(text: str, name: str) -> int | None:
    """Return the index of the first token that is the last part of a name; None if the text has none."""
    last = name.rsplit(".", maxsplit=1)[-1].lower()
    try:
        sources = split_statements(text)
    except TokenError:
        return None
    for source in sources:
        for token in source.tokens:
            if token.text.lower() == last:
                return int(token.start)
    return None
