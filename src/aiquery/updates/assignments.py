"""``SET`` of an update, read as SQL: which columns get which expression, and what an answer was made from."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
from sqlglot import ErrorLevel, exp, parse_one
from sqlglot.errors import ParseError, TokenError

from aiquery import registry
from aiquery.errors import ArgumentError
from aiquery.sql.calls import calls_in, tolerate
from aiquery.sql.databricks import to_duckdb_dialect
from aiquery.sql.dialects import DatabricksSQL, DuckDBSQL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlglot.dialects import Dialect

    from aiquery.config.settings import Config

RECORDED = "aiquery_key"
"""The column that ``refresh`` keeps: what a row's answer was made from."""

FAILED = "aiquery_failed"
"""The column of answers that says whether the row failed."""

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
        """Read ``"a = expr, b = expr"``, several such texts, or a mapping. Raises ``ArgumentError``."""
        if dialect not in _DIALECTS:
            raise ArgumentError(
                f"dialect {dialect!r} is not known; use 'duckdb' or 'databricks'."
            )
        if isinstance(given, str):
            given = [given]
        texts = (
            [f"{name} = {text}" for name, text in given.items()]
            if hasattr(given, "items")
            else list(given)
        )
        try:
            tree = parse_one(
                f"UPDATE t SET {', '.join(texts)}",
                read=_DIALECTS[dialect],
                error_level=ErrorLevel.IMMEDIATE,
            )
        except (ParseError, TokenError) as error:
            raise ArgumentError(
                f"set {', '.join(texts)!r} does not parse as SQL: {error}"
            ) from None
        expressions = {}
        for item in tree.expressions:
            if not isinstance(item, exp.EQ) or not isinstance(item.this, exp.Column):
                raise ArgumentError(
                    f"set {item.sql(dialect)!r} is not COLUMN = EXPRESSION."
                )
            expressions[item.this.name] = item.expression
        if not any(calls_in(one) for one in expressions.values()):
            known = ", ".join(sorted(registry.functions()))
            raise ArgumentError(
                f"set {', '.join(texts)!r} calls no AI function; known: {known}."
            )
        return cls(expressions, dialect)

    def __str__(self) -> str:
        """Return them as SQL."""
        return ", ".join(
            f"{self.quoted(name)} = {one.sql(_DIALECTS[self.dialect])}"
            for name, one in self.expressions.items()
        )

    def on_duckdb(self) -> Assignments:
        """Return the same in DuckDB's dialect."""
        if self.dialect == "duckdb":
            return self
        return Assignments(
            {name: _translated(one) for name, one in self.expressions.items()}, "duckdb"
        )

    def columns(self) -> list[str]:
        """Return the columns that are written."""
        return list(self.expressions)

    def reads(self) -> list[str]:
        """Return the columns that the expressions read, without repeats."""
        found = (
            column.name
            for one in self.expressions.values()
            for column in one.find_all(exp.Column)
        )
        return list(dict.fromkeys(found))

    def values(self) -> str:
        """Return the select list ``expression AS column``."""
        return ", ".join(
            f"{one.sql(self.dialect)} AS {self.quoted(name)}"
            for name, one in self.expressions.items()
        )

    def selected(self) -> str:
        """Return the select list: each ``expression AS column``, and whether one of the row's calls failed as FAILED.

        A value of a row that failed is NULL, which is not written; NULL by right is.
        """
        tolerant = {
            name: tolerate(one, self.dialect) for name, one in self.expressions.items()
        }
        columns = [
            f"{one.value} AS {self.quoted(name)}" for name, one in tolerant.items()
        ]
        failed = " OR ".join(one.failed for one in tolerant.values())
        return ", ".join([*columns, f"({failed}) AS {FAILED}"])

    def made_from(self, config: Config, name: str) -> str:
        """Return SQL for what the answers of a row of ``name`` are made from: expressions, endpoints, values."""
        what = blake2b(msgspec.json.encode(config.defaults), digest_size=16)
        for column, one in self.expressions.items():
            what.update(f"{column}={one.sql(self.dialect)}".encode())
        for literal in self._literals():
            if literal in config.endpoints:
                what.update(repr((literal, config.endpoints[literal].model)).encode())
                what.update(repr(config.endpoints[literal].address()).encode())
        kind = "STRING" if self.dialect == "databricks" else "VARCHAR"
        values = [
            f"coalesce(CAST({name}.{self.quoted(column)} AS {kind}), 'NULL')"
            for column in self.reads()
        ]
        parts = ", ".join([f"'{what.hexdigest()}'", *values])
        return f"md5(concat_ws('|', {parts}))"

    def quoted(self, name: str) -> str:
        """Return a name as the dialect quotes it."""
        return exp.to_identifier(name, quoted=True).sql(self.dialect)

    def _literals(self) -> list[str]:
        return [
            one.name
            for tree in self.expressions.values()
            for one in tree.find_all(exp.Literal)
            if one.is_string
        ]


def condition_on_duckdb(text: str, dialect: str) -> str:
    """Return a condition in DuckDB's dialect. Raises ``ArgumentError`` if it does not parse."""
    if dialect == "duckdb":
        return text
    try:
        return _translated(parse_one(text, read=_DIALECTS[dialect])).sql("duckdb")
    except (ParseError, TokenError) as error:
        raise ArgumentError(f"where {text!r} does not parse as SQL: {error}") from None


def _translated(expression: exp.Expr) -> exp.Expr:
    (tree,) = to_duckdb_dialect(exp.select(expression.copy()))
    (item,) = tree.expressions
    translated: exp.Expr = item.unalias()
    return translated
