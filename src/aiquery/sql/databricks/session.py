"""``SET key = value``: settings of a Spark session. One that changes results must have the value that DuckDB has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from aiquery.errors import StatementError
from aiquery.sql.databricks.source import find_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlglot.expressions import Expr

    from aiquery.sql.databricks.source import Source

_TIME_ZONE = "spark.sql.session.timezone"
_FIXED = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.sources.partitionoverwritemode": "static",
    "spark.sql.parser.escapedstringliterals": "false",
    "spark.sql.casesensitive": "false",
    "spark.sql.storeassignmentpolicy": "ansi",
    "spark.sql.legacy.timeparserpolicy": "corrected",
}
"""The settings that decide about results, with the only value that is supported."""

_PARAMETERS = {
    "ansi_mode": "spark.sql.ansi.enabled",
    "timezone": "spark.sql.session.timeZone",
    "legacy_time_parser_policy": "spark.sql.legacy.timeParserPolicy",
    "use_cached_result": "spark.databricks.useCachedResult",
    "statement_timeout": "spark.databricks.statementTimeout",
    "query_tags": "spark.databricks.queryTags",
}
"""The parameters of Databricks SQL, and the settings of Spark that they are."""


def read_time_zone(source: Source) -> exp.Set:
    """Read ``SET TIME ZONE 'name'``. Raises ``StatementError`` for an interval."""
    value = source.after(3)
    if len(value.tokens) != 1 or value.words[0] == "INTERVAL":
        raise StatementError("SET TIME ZONE: write the name of a zone as a text.")
    zone = value.tokens[0].text
    if value.words[0] == "LOCAL":
        raise StatementError("SET TIME ZONE LOCAL: write the name of your zone.")
    setting = exp.EQ(this=exp.column("TimeZone"), expression=exp.Literal.string(zone))
    return exp.Set(expressions=[exp.SetItem(this=setting)])


def read_setting(source: Source) -> exp.Set:
    """Read ``SET spark.key = value``: the key has any number of parts, and the value is what the user wrote."""
    end = find_word(source, "=")
    key = source.between(1, end).text
    value = source.after(end + 1)
    if not value.tokens:
        raise StatementError(
            f"SET {key} without a value is not supported on DuckDB: it would show the setting of a Spark session."
        )
    first = value.tokens[0]
    is_text = len(value.tokens) == 1 and first.token_type == TokenType.STRING
    text = first.text if is_text else value.text
    setting = exp.EQ(
        this=exp.column(exp.to_identifier(key, quoted=True)),
        expression=exp.Literal.string(text),
    )
    return exp.Set(expressions=[exp.SetItem(this=setting)])


def translate_set(tree: exp.Set) -> Iterator[Expr] | None:
    """Return the statements of ``SET spark.x = value``, the last of which returns the row that Spark does.

    None for another SET. Raises ``StatementError`` for a value that would change results.
    """
    pair = tree.expressions[0].this if len(tree.expressions) == 1 else None
    if not isinstance(pair, exp.EQ) or not isinstance(pair.this, exp.Column):
        return None
    key = ".".join(part.name for part in pair.this.parts)
    if key.lower() in _PARAMETERS:
        key = _PARAMETERS[key.lower()]
    if "." in key and not key.lower().startswith("spark."):
        raise StatementError(f"SET {key}: DuckDB has no such setting.")
    if not key.lower().startswith("spark."):
        return None
    value = (
        pair.expression.name
        if isinstance(pair.expression, exp.Literal)
        else pair.expression.sql().lower()
    )
    return _set(key, value)


def _set(key: str, value: str) -> Iterator[Expr]:
    fixed = _FIXED.get(key.lower())
    if fixed is not None and value.lower() != fixed:
        raise StatementError(
            f"SET {key} = {value} would change results, and DuckDB cannot follow; only {fixed} is supported."
        )
    if key.lower() == _TIME_ZONE:
        setting = exp.EQ(
            this=exp.column("TimeZone"), expression=exp.Literal.string(value)
        )
        yield exp.Set(expressions=[exp.SetItem(this=setting)])
    texts = [
        exp.alias_(exp.Literal.string(text), name)
        for name, text in (("key", key), ("value", value))
    ]
    yield exp.select(*texts)
