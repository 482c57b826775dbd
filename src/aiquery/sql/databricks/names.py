"""Functions that name the session: a DATABASE of Spark is a schema of DuckDB, a CATALOG is a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiquery.sql.databricks.lambdas import call

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot import exp
    from sqlglot.expressions import Expr

MACROS: dict[str, str] = {}


def _schema(_: exp.Anonymous) -> Expr:
    return call("current_schema")


def _catalog(_: exp.Anonymous) -> Expr:
    return call("current_database")


def _raise_error(node: exp.Anonymous) -> Expr:
    return call("error", *(one.copy() for one in node.expressions))


REWRITES: dict[str, Callable[[exp.Anonymous], Expr]] = {
    "current_database": _schema,
    "current_schema": _schema,
    "current_catalog": _catalog,
    "raise_error": _raise_error,
}
