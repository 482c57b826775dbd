"""The ``SET`` of an update, parsed as SQL: columns, their expressions, and what an answer is made from."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
from sqlglot import ErrorLevel, exp, parse_one
from sqlglot.errors import ParseError, TokenError

from aiquery import registry
from aiquery.errors import ArgumentError
from aiquery.sql.calls import find_calls, tolerate
from aiquery.sql.databricks.dialect import DatabricksSQL
from aiquery.sql.databricks.translate import expression_to_duckdb
from aiquery.sql.dialects import DuckDBSQL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlglot.dialects import Dialect

    from aiquery.config.settings import Config

RECORDED = "aiquery_key"
"""The column of ``refresh_changed``: a hash of what a row's answer was made from."""

FAILED = "aiquery_failed"
"""The column of answers that is true for a failed row."""

_DIALECTS: dict[str, type[Dialect]] = {"duckdb": DuckDBSQL, "databricks": DatabricksSQL}


@dataclass(frozen=True, slots=True)
class Assignments:
    """Columns and their expressions."""

    expressions: dict[str, exp.Expr]
    dialect: str

    @classmethod
    def read(
        cls, given: str | Mapping[str, str] | Sequence[str], dialect: str
    ) -> Assignments:
        """Parse ``"a = expr, b = expr"``, several such texts, or a mapping. Raises ``ArgumentError``."""
        if dialect not in _DIALECTS:
            raise ArgumentError(
                f"dialect {dialect!r} is not known; use 'duckdb' or 'databricks'."
            )
        text = _join(given)
        expressions = {}
        for item in _parse(text, dialect):
            if not isinstance(item, exp.EQ) or not isinstance(item.this, exp.Column):
                raise ArgumentError(
                    f"set {item.sql(dialect)!r} is not COLUMN = EXPRESSION."
                )
            expressions[item.this.name] = item.expression
        if not any(find_calls(one) for one in expressions.values()):
            known = ", ".join(sorted(registry.functions()))
            raise ArgumentError(f"set {text!r} calls no AI function; known: {known}.")
        return cls(expressions, dialect)

    def __str__(self) -> str:
        """Return the assignments as SQL."""
        dialect = _DIALECTS[self.dialect]
        pairs = [
            f"{self.quote(name)} = {one.sql(dialect)}"
            for name, one in self.expressions.items()
        ]
        return ", ".join(pairs)

    def to_duckdb(self) -> Assignments:
        """Return the assignments in DuckDB's dialect."""
        if self.dialect == "duckdb":
            return self
        translated = {
            name: expression_to_duckdb(one) for name, one in self.expressions.items()
        }
        return Assignments(translated, "duckdb")

    def columns(self) -> list[str]:
        """Return the columns that are written."""
        return list(self.expressions)

    def columns_read(self) -> list[str]:
        """Return the columns that the expressions read, each once."""
        names: dict[str, None] = {}
        for expression in self.expressions.values():
            for column in expression.find_all(exp.Column):
                names[column.name] = None
        return list(names)

    def select_list(self) -> str:
        """Return the select list ``expression AS column``."""
        items = [
            f"{one.sql(self.dialect)} AS {self.quote(name)}"
            for name, one in self.expressions.items()
        ]
        return ", ".join(items)

    def tolerant_select_list(self) -> str:
        """Return the select list with a last column FAILED, which is true if one of the row's calls failed.

        The value of a failed row is NULL and is not written; a NULL that an expression returned is.
        """
        items = []
        failures = []
        for name, expression in self.expressions.items():
            tolerant = tolerate(expression, self.dialect)
            items.append(f"{tolerant.value} AS {self.quote(name)}")
            failures.append(tolerant.failed)
        return ", ".join([*items, f"({' OR '.join(failures)}) AS {FAILED}"])

    def made_from(self, config: Config, name: str) -> str:
        """Return SQL for a hash of the inputs of a row's answers in ``name``: expressions, endpoints, values."""
        digest = blake2b(msgspec.json.encode(config.defaults), digest_size=16)
        for column, one in self.expressions.items():
            digest.update(f"{column}={one.sql(self.dialect)}".encode())
        for literal in self._string_literals():
            endpoint = config.endpoints.get(literal)
            if endpoint is not None:
                digest.update(repr((literal, endpoint.model)).encode())
                digest.update(repr(endpoint.address()).encode())
        text_type = "STRING" if self.dialect == "databricks" else "VARCHAR"
        values = [
            f"coalesce(CAST({name}.{self.quote(column)} AS {text_type}), 'NULL')"
            for column in self.columns_read()
        ]
        parts = ", ".join([f"'{digest.hexdigest()}'", *values])
        return f"md5(concat_ws('|', {parts}))"

    def quote(self, name: str) -> str:
        """Return a name with the dialect's quotes."""
        return exp.to_identifier(name, quoted=True).sql(self.dialect)

    def _string_literals(self) -> list[str]:
        literals = []
        for expression in self.expressions.values():
            literals += [
                one.name for one in expression.find_all(exp.Literal) if one.is_string
            ]
        return literals


def translate_condition(text: str, dialect: str) -> str:
    """Return a condition in DuckDB's dialect. Raises ``ArgumentError`` if it does not parse."""
    if dialect == "duckdb":
        return text
    try:
        return expression_to_duckdb(parse_one(text, read=_DIALECTS[dialect])).sql(
            "duckdb"
        )
    except (ParseError, TokenError, RecursionError) as error:
        raise ArgumentError(f"where {text!r} does not parse as SQL: {error}") from None


def _join(given: str | Mapping[str, str] | Sequence[str]) -> str:
    if isinstance(given, str):
        return given
    if hasattr(given, "items"):
        return ", ".join(f"{name} = {text}" for name, text in given.items())
    return ", ".join(given)


def _parse(text: str, dialect: str) -> list[exp.Expr]:
    statement = f"UPDATE t SET {text}"
    try:
        tree = parse_one(
            statement, read=_DIALECTS[dialect], error_level=ErrorLevel.IMMEDIATE
        )
    except (ParseError, TokenError, RecursionError) as error:
        raise ArgumentError(f"set {text!r} does not parse as SQL: {error}") from None
    items: list[exp.Expr] = tree.expressions
    return items
