"""Redact a statement before it is stored: string literals and comments may hold text that is sent to a model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from sqlglot import TokenError

from aiquery.config.catalogs import vendors
from aiquery.sql.databricks.dialect import DatabricksSQL
from aiquery.sql.dialects import DuckDBSQL

if TYPE_CHECKING:
    from sqlglot.tokenizer_core import Token

    from aiquery.config.settings import Config

Dialect = Literal["duckdb", "databricks"]
_DIALECTS: dict[Dialect, type[DuckDBSQL | DatabricksSQL]] = {
    "duckdb": DuckDBSQL,
    "databricks": DatabricksSQL,
}

_MODEL = re.compile(r"[\w./:@-]{1,100}")


def redact_statement(
    text: str, config: Config, dialect: Dialect = "duckdb"
) -> str | None:
    """Return the text of a statement that may be stored: all of it if ``[runs] texts`` is set, else redacted."""
    return text if config.runs.texts else redact_sql(text, config, dialect)


def redact_sql(text: str, config: Config, dialect: Dialect = "duckdb") -> str | None:
    """Return the statement with '…' for every string literal except names of endpoints; None if it does not parse.

    A name of an endpoint is the first argument of ``ai_query``, or the argument ``endpoint``, if an endpoint of that
    name exists. A text in double quotes is a literal in Databricks' dialect, and a name in DuckDB's.

    >>> from aiquery.config.settings import Config
    >>> redact_sql("SELECT ai_query('fake:m', 'Is this spam? ' || body) FROM mail -- for Ann", Config())
    "SELECT ai_query('fake:m', '…' || body) FROM mail"
    """
    try:
        tokens = _DIALECTS[dialect]().tokenize(text)
    except TokenError:
        return None
    return _joined(text, tokens, config)


def _joined(text: str, tokens: list[Token], config: Config) -> str:
    parts: list[str] = []
    end = 0
    for i, token in enumerate(tokens):
        if parts and token.start > end:
            parts.append("\n" if "\n" in text[end : token.start] else " ")
        is_literal = token.token_type.name.endswith("STRING")
        is_name = _names_endpoint(tokens, i) and _is_endpoint(token.text, config)
        is_hidden = is_literal and not is_name
        parts.append("'…'" if is_hidden else text[token.start : token.end + 1])
        end = token.end + 1
    return "".join(parts)


def _names_endpoint(tokens: list[Token], i: int) -> bool:
    """Return True if token ``i`` stands where a call has the name of its endpoint."""
    name = tokens[i - 2].text.lower() if i > 1 else ""
    before = tokens[i - 1].text
    is_named = name == "endpoint" and before in {"=>", ":="}
    return is_named or (name == "ai_query" and before == "(")


def _is_endpoint(name: str, config: Config) -> bool:
    vendor, colon, model = name.partition(":")
    is_vendors = bool(colon) and vendor in vendors() and _MODEL.fullmatch(model)
    return name in config.endpoints or bool(is_vendors)
