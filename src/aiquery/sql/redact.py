"""Redact a statement before it is stored: string literals and comments may hold text that is sent to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import TokenError

from aiquery.config.catalogs import vendors
from aiquery.sql.dialects import DatabricksSQL, DuckDBSQL

if TYPE_CHECKING:
    from sqlglot.tokenizer_core import Token

    from aiquery.config.settings import Config


def redact_statement(text: str, config: Config) -> str | None:
    """Return the text of a statement that may be stored: all of it if ``[runs] texts`` is set, else redacted."""
    return text if config.runs.texts else redact_sql(text, config)


def redact_sql(text: str, config: Config) -> str | None:
    """Return the statement with '…' for every string literal except names of endpoints; None if it does not parse.

    >>> from aiquery.config.settings import Config
    >>> redact_sql("SELECT ai_query('fake:m', 'Is this spam? ' || body) FROM mail -- for Ann", Config())
    "SELECT ai_query('fake:m', '…' || body) FROM mail"
    """
    for dialect in (DuckDBSQL, DatabricksSQL):
        try:
            tokens = dialect().tokenize(text)
        except TokenError:
            continue
        return _joined(text, tokens, config)
    return None


def _joined(text: str, tokens: list[Token], config: Config) -> str:
    parts: list[str] = []
    end = 0
    for token in tokens:
        if parts and token.start > end:
            parts.append("\n" if "\n" in text[end : token.start] else " ")
        literal = token.token_type.name.endswith("STRING") and not _is_endpoint(
            token.text, config
        )
        parts.append("'…'" if literal else text[token.start : token.end + 1])
        end = token.end + 1
    return "".join(parts)


def _is_endpoint(name: str, config: Config) -> bool:
    vendor, colon, _ = name.partition(":")
    return name in config.endpoints or (bool(colon) and vendor in vendors())
