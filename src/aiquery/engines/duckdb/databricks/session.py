"""The session of Databricks SQL on one connection: its variables, and statements that are more than a translation."""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from aiquery.engines.duckdb.databricks.bindings import (
    Bindings,
    bind,
    name_of,
    name_placeholders,
)
from aiquery.engines.duckdb.databricks.columns import is_column
from aiquery.engines.duckdb.databricks.copy_into import copy_into
from aiquery.engines.duckdb.databricks.parse import (
    positions,
    translate,
    without_explain,
)
from aiquery.engines.duckdb.databricks.store_assignment import convert_written
from aiquery.engines.duckdb.databricks.variables import Variables
from aiquery.engines.duckdb.databricks.write import overwrite
from aiquery.engines.duckdb.statements import explain, find_query
from aiquery.engines.duckdb.variables import run_with
from aiquery.errors import StatementError
from aiquery.sql.databricks.identifier_clause import find_clauses, put_names
from aiquery.sql.databricks.notices import say
from aiquery.sql.databricks.read import SESSION_STATEMENTS, read_statement
from aiquery.sql.databricks.source import parse_expression, split_statements
from aiquery.sql.databricks.sqlglot_log import without_log
from aiquery.sql.databricks.statements.copy_into import CopyInto
from aiquery.sql.databricks.statements.execute_immediate import ExecuteImmediate
from aiquery.sql.databricks.statements.overwrite import Overwrite
from aiquery.sql.databricks.statements.unsupported import Nothing
from aiquery.sql.databricks.statements.variables import (
    DeclareVariables,
    DropVariable,
    SetVariables,
    find_references,
    is_qualified,
    mark_variable,
    replace_reference,
)
from aiquery.sql.databricks.translate import query_to_duckdb

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import duckdb

    from aiquery.engines.duckdb.statements import ParsedStatement
    from aiquery.sql.databricks.read import Read
    from aiquery.sql.databricks.source import Source

    Run = Callable[[ParsedStatement, object], duckdb.DuckDBPyRelation | None]
    Before = Callable[[ParsedStatement], None]

MAX_DEPTH = 8
"""EXECUTE IMMEDIATE within EXECUTE IMMEDIATE."""


class DatabricksSession:
    """Runs the statements that ``parse_databricks_statements`` leaves to the session."""

    def __init__(
        self,
        raw: duckdb.DuckDBPyConnection,
        run: Run,
        may_ask: Callable[[str], bool],
        create_macros: Callable[[str], None],
    ) -> None:
        """Declare nothing.

        run            plans and runs a statement of DuckDB with parameters
        may_ask        says whether a text may call AI functions
        create_macros  creates the macros that a text calls

        They are methods of the connection that owns the session, which does not hold it in turn.
        """
        self.raw = raw
        self._run = _weak(run)
        self._may_ask = _weak(may_ask)
        self.create_macros = _weak(create_macros)
        self._before: Before | None = None
        self._text = ""
        self._variables = Variables(self)
        self._depth = 0

    @property
    def declared(self) -> Collection[str]:
        """The names of the variables."""
        return self._variables.names

    def run(
        self, parsed: ParsedStatement, params: object, before: Before
    ) -> duckdb.DuckDBPyRelation | None:
        """Run a statement that has a ``source``; ``before`` is called with each statement of DuckDB before it runs."""
        if parsed.source is None:
            raise AssertionError(parsed)
        self._before = before
        self._text = parsed.text
        try:
            with without_log(), positions(parsed.source.script):
                return self._run_source(parsed.source, bind(params))
        finally:
            self._before = None

    def resolve(self, parsed: ParsedStatement, params: object) -> ParsedStatement:
        """Return a statement with a ``source`` as DuckDB would run it, for an estimate."""
        if parsed.source is None:
            return parsed
        with without_log(), positions(parsed.source.script):
            bindings = bind(params)
            body, _ = without_explain(parsed.source)
            read = self._read(body, bindings)
            made, _ = self._translate(parsed.source, read, bindings)
        if len(made) != 1:
            raise StatementError(
                "an estimate takes one query; estimate the query of this statement."
            )
        return made[0]

    def query(
        self, tree: exp.Expr, bindings: Bindings, head: str = ""
    ) -> duckdb.DuckDBPyRelation | None:
        """Plan and run a query of Databricks SQL; ``head`` is what precedes it in a statement of DuckDB."""
        tree = self.mark(tree.copy(), bindings)
        text = head + query_to_duckdb(tree)
        parsed = find_query(text, may_ask=self._may_ask(text))
        return self._run_one(replace(parsed, text=self._text), bindings.used_by(tree))

    def rows(self, tree: exp.Expr, bindings: Bindings) -> duckdb.DuckDBPyRelation:
        """Return the rows of a query."""
        relation = self.query(tree, bindings)
        if relation is None:
            raise AssertionError(tree)
        return relation

    def execute(
        self,
        sql: str,
        tables: Mapping[str, Any] | None = None,
        params: object = None,
    ) -> list[Any]:
        """Run a statement of DuckDB without AI calls, and return its rows.

        ``tables`` are relations by the names that it reads.
        """
        self.create_macros(sql)
        rows: list[Any] = run_with(
            tables or {}, partial(self.raw.execute, parameters=params), sql
        ).fetchall()
        return rows

    # --- one statement

    def _run_source(
        self, source: Source, bindings: Bindings
    ) -> duckdb.DuckDBPyRelation | None:
        body, is_explained = without_explain(source)
        read = self._read(body, bindings)
        if is_explained:
            return self._run_translated(source, read, bindings)
        match read:
            case Nothing():
                say(read.notice)
            case DeclareVariables():
                self._variables.declare(read, bindings)
            case SetVariables():
                self._variables.set(read, bindings)
            case DropVariable():
                self._variables.drop(read)
            case ExecuteImmediate():
                return self._execute(read, bindings)
            case Overwrite():
                overwrite(self, read, bindings)
            case CopyInto():
                return copy_into(self, read, bindings)
            case _:
                return self._run_translated(source, read, bindings)
        return None

    def _run_translated(
        self, source: Source, read: Read, bindings: Bindings
    ) -> duckdb.DuckDBPyRelation | None:
        made, params = self._translate(source, read, bindings)
        result = None
        for one in made:
            result = self._run_one(one, params)
        return result

    def _run_one(
        self, parsed: ParsedStatement, params: object
    ) -> duckdb.DuckDBPyRelation | None:
        self.create_macros(parsed.sql)
        if self._before is not None:
            self._before(parsed)
        relation: duckdb.DuckDBPyRelation | None = self._run(parsed, params)
        return relation

    def _translate(
        self, source: Source, read: Read, bindings: Bindings
    ) -> tuple[list[ParsedStatement], dict[str, Any] | None]:
        """Return a statement that was read as those of DuckDB, with the parameters that they have."""
        if isinstance(read, SESSION_STATEMENTS):
            raise StatementError("EXPLAIN: this statement has no single plan.")
        params = None
        if isinstance(read, exp.Expr):
            read = self.mark(read, bindings)
            params = bindings.used_by(read)
            read = convert_written(self, read, bindings)
        made = list(translate(read, source.text, may_ask=self._may_ask(source.text)))
        if without_explain(source)[1]:
            made = [explain(one, "EXPLAIN ") for one in made]
        return made, params

    def _read(self, source: Source, bindings: Bindings) -> Read:
        source = name_placeholders(source)
        clauses = find_clauses(source)
        names = [
            self._text_of(parse_expression(one.expression), "IDENTIFIER", bindings)
            for one in clauses
        ]
        return read_statement(put_names(source, clauses, names))

    def _text_of(self, tree: exp.Expr, what: str, bindings: Bindings) -> str:
        """Return the value of an expression, which is a text. Raises ``StatementError`` for NULL."""
        value = self.rows(exp.select(exp.cast(tree.copy(), "text")), bindings)
        text = value.fetchall()[0][0]
        if text is None:
            raise StatementError(f"{what}: the text is NULL.")
        return str(text)

    # --- variables and parameters

    def mark(self, tree: exp.Expr, bindings: Bindings) -> exp.Expr:
        """Mark the names of a tree that are variables, and the parameters that EXECUTE IMMEDIATE gives; in place."""
        for placeholder in list(tree.find_all(exp.Placeholder)):
            name = str(placeholder.this or "").lower()
            if name in bindings.arguments:
                column = exp.column(exp.to_identifier(name))
                placeholder.replace(mark_variable(column, bindings.arguments[name]))
        references = find_references(tree, self._variables.names)
        for column in sorted(references, key=lambda one: -one.depth):
            if is_qualified(column) or not is_column(
                self.raw, column, self.create_macros
            ):
                replace_reference(column)
                _refuse_view(tree)
        return tree

    # --- EXECUTE IMMEDIATE

    def _execute(
        self, statement: ExecuteImmediate, bindings: Bindings
    ) -> duckdb.DuckDBPyRelation | None:
        self._variables.check(statement.into)
        text = self._text_of(statement.text, "EXECUTE IMMEDIATE", bindings)
        with positions(text):
            sources = split_statements(text)
            if len(sources) != 1:
                raise StatementError(
                    f"EXECUTE IMMEDIATE runs one statement; the text has {len(sources)}."
                )
            if self._depth >= MAX_DEPTH:
                raise StatementError(
                    f"EXECUTE IMMEDIATE: more than {MAX_DEPTH} levels."
                )
            self._depth += 1
            try:
                arguments = self._set_arguments(statement, bindings)
                relation = self._run_source(sources[0], arguments)
            finally:
                self._depth -= 1
        if not statement.into:
            return relation
        if relation is None:
            raise StatementError("EXECUTE IMMEDIATE .. INTO: the text is not a query.")
        self._variables.assign(statement.into, relation)
        return None

    def _set_arguments(
        self, statement: ExecuteImmediate, bindings: Bindings
    ) -> Bindings:
        """Return the parameters of the text: each is a variable of DuckDB, which has the value and its type."""
        arguments = {}
        for index, argument in enumerate(statement.arguments):
            stored = f"aiquery_argument_{self._depth}_{index}"
            rows = self.rows(exp.select(argument.value.copy()), bindings)
            self._variables.store(stored, rows)
            arguments[name_of(index)] = stored
            if argument.name:
                arguments[argument.name] = stored
        return Bindings(arguments=arguments)


def _weak(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls a method without holding its object."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: object) -> Any:
        found = reference()
        if found is None:
            raise ReferenceError("the connection was closed")
        return found(*arguments)

    return call


def _refuse_view(tree: exp.Expr) -> None:
    """Raise ``StatementError`` for a view that would read a variable: another session lacks it."""
    is_view = isinstance(tree, exp.Create) and tree.kind == "VIEW"
    if is_view and not tree.find(exp.TemporaryProperty):
        raise StatementError(
            "CREATE VIEW: a view cannot read a variable of the session; use CREATE TEMPORARY VIEW. "
            "(INVALID_TEMP_OBJ_REFERENCE)"
        )
