"""The session variables of Databricks SQL: each is a variable of DuckDB, which has its value and type."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.dialect import DatabricksSQL
from aiquery.sql.databricks.python.texts import type_name
from aiquery.sql.databricks.statements.variables import stored_name
from aiquery.sql.databricks.translate import query_to_duckdb

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import duckdb
    from sqlglot.expressions import Expr

    from aiquery.engines.duckdb.databricks.bindings import Bindings
    from aiquery.engines.duckdb.databricks.session import DatabricksSession
    from aiquery.sql.databricks.statements.variables import (
        DeclareVariables,
        DropVariable,
        SetVariables,
    )

_ROWS = "aiquery_rows"


@dataclass(frozen=True, slots=True)
class _Variable:
    kind: exp.DataType
    default: Expr


class Variables:
    """The variables of one connection."""

    def __init__(self, session: DatabricksSession) -> None:
        """Declare nothing. The session, which owns the variables, runs the queries."""
        self._session = weakref.proxy(session)
        self._declared: dict[str, _Variable] = {}

    @property
    def names(self) -> Collection[str]:
        """The names in small letters."""
        return self._declared.keys()

    def declare(self, statement: DeclareVariables, bindings: Bindings) -> None:
        """Run DECLARE. A variable without a DEFAULT is NULL."""
        default = exp.null() if statement.default is None else statement.default
        for name in statement.names:
            if name in self._declared and not statement.replaces:
                raise StatementError(
                    f"DECLARE: the variable {name} exists; use DECLARE OR REPLACE. (VARIABLE_ALREADY_EXISTS)"
                )
        rows = self._session.rows(
            exp.select(exp.alias_(default.copy(), "value")), bindings
        )
        kind = statement.kind or _kind_of(rows)
        self.assign_types(statement.names, [kind] * len(statement.names), rows)
        for name in statement.names:
            self._declared[name] = _Variable(kind, default)

    def set(self, statement: SetVariables, bindings: Bindings) -> None:
        """Run SET VAR: all values are computed with the old values of the variables."""
        computed = []
        for assignment in statement.assignments:
            self.check(assignment.names)
            values = [assignment.value]
            if assignment.value is None:
                values = [self._declared[name].default for name in assignment.names]
            computed.append(
                (assignment.names, self._session.rows(_as_query(values), bindings))
            )
        for names, rows in computed:
            self.assign(names, rows)

    def drop(self, statement: DropVariable) -> None:
        """Run DROP TEMPORARY VARIABLE."""
        if statement.if_exists and statement.name not in self._declared:
            return
        self.check([statement.name])
        del self._declared[statement.name]
        self._session.execute(f"RESET VARIABLE {stored_name(statement.name)}")

    def check(self, names: Sequence[str]) -> None:
        """Raise ``StatementError`` if one of the variables is not declared."""
        for name in names:
            if name not in self._declared:
                raise StatementError(
                    f"the variable {name} is not declared: DECLARE {name} type. (UNRESOLVED_VARIABLE)"
                )

    def assign(self, names: Sequence[str], rows: duckdb.DuckDBPyRelation) -> None:
        """Assign the columns of at most one row to variables, with their types; no row gives NULL."""
        self.check(names)
        kinds = [self._declared[name].kind for name in names]
        self.assign_types(names, kinds, rows)

    def assign_types(
        self,
        names: Sequence[str],
        kinds: Sequence[exp.DataType],
        rows: duckdb.DuckDBPyRelation,
    ) -> None:
        """Assign as ``assign`` does, for variables that need not be declared; one column may go to all of them."""
        columns = rows.columns
        counts = {1, len(names)}
        if len(columns) not in counts:
            raise StatementError(
                f"{len(columns)} columns cannot be assigned to {len(names)} variables."
            )
        if len(rows.limit(2).fetchall()) > 1:
            raise StatementError(
                "a variable gets at most one row, and the query has several. (ROW_SUBQUERY_TOO_MANY_ROWS)"
            )
        numbered = rows.project(
            ", ".join(f"#{index + 1} AS c{index}" for index in range(len(columns)))
        )
        for index, (name, kind) in enumerate(zip(names, kinds, strict=True)):
            column = f"c{index if len(columns) > 1 else 0}"
            value = exp.cast(exp.column(column), kind.copy())
            query = query_to_duckdb(exp.select(value).from_(_ROWS))
            text = f"SET VARIABLE {stored_name(name)} = ({query})"
            self._session.execute(text, {_ROWS: numbered})

    def store(self, stored: str, rows: duckdb.DuckDBPyRelation) -> None:
        """Store the value of one row and column in a variable of DuckDB, which has the value's own type."""
        value = rows.project("#1 AS value")
        self._session.execute(f"SET VARIABLE {stored} = (FROM {_ROWS})", {_ROWS: value})


def _as_query(values: Sequence[Expr | None]) -> Expr:
    """Return the query of one row of values; a query in parentheses is the row itself."""
    first = values[0]
    if len(values) == 1 and isinstance(first, exp.Subquery):
        query: Expr = first.this.copy()
        return query
    return exp.select(
        *(
            exp.alias_(value.copy(), f"v{index}")
            for index, value in enumerate(values)
            if value is not None
        )
    )


def _kind_of(rows: duckdb.DuckDBPyRelation) -> exp.DataType:
    name = type_name(str(rows.types[0]))
    return exp.DataType.build(name, dialect=DatabricksSQL)
