"""A DuckDB connection of ours: plain DuckDB, whose ``.sql`` also plans: fewest calls, full concurrency."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

import duckdb
from aiquery import config as configuration
from aiquery import registry
from aiquery.engines.duckdb.binding import Mode
from aiquery.engines.duckdb.catalog import Catalog, reads_again
from aiquery.engines.duckdb.delta import read as delta
from aiquery.engines.duckdb.estimate_query import counting_sql
from aiquery.engines.duckdb.prefetch import Prefetcher
from aiquery.engines.duckdb.registration import register
from aiquery.engines.duckdb.results import materialised
from aiquery.engines.duckdb.settings import Settings
from aiquery.engines.duckdb.statements import split
from aiquery.engines.duckdb.syntax import base_name, mentions_ai, nodes, not_constant
from aiquery.engines.duckdb.variables import named_in, run_with
from aiquery.errors import ArgumentError, ConnectionInUse, StatementError
from aiquery.estimate import Counting
from aiquery.inference.query_context import QueryContext
from aiquery.reporting.progress import enable_progress_if_interactive
from aiquery.sql.delta_paths import view_of
from aiquery.sql.redact import redact_statement
from aiquery.tracking import active as watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from aiquery.config.settings import Config
    from aiquery.engines.duckdb.binding import Statement
    from aiquery.engines.duckdb.statements import Rewritten
    from aiquery.engines.duckdb.syntax import Tree
    from aiquery.estimate import Estimate
    from aiquery.tracking.attempts import Ledger
    from aiquery.tracking.run import RunStats

Dialect = Literal["duckdb", "databricks"]

_NOT_CONSTANT = 'argument in function "from_json_strict" must be a constant'
_BINDING = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)


class Connection:
    """A DuckDB connection with the AI functions.

    Everything that a ``duckdb.DuckDBPyConnection`` has is here too. ``sql`` is ours: it plans, asks with full
    concurrency, raises our own errors, and returns a materialised relation (showing it asks nothing again).
    """

    def __init__(self, raw: duckdb.DuckDBPyConnection, config: Config) -> None:
        """Use ``connect``."""
        self.raw = raw
        self.config = config
        self._session = register(raw, config, variants=True)
        self._settings = Settings(raw)
        self._one_at_a_time = threading.RLock()
        self._registered: set[str] = set()
        self._ours: weakref.WeakSet[duckdb.DuckDBPyRelation] = weakref.WeakSet()
        raw.execute(
            "SET python_scan_all_frames = true"
        )  # `FROM frame` finds the caller's variable past our frames

    def __repr__(self) -> str:
        """Name the configuration, which holds no secret."""
        return f"aiquery.Connection({self.config!r})"

    def __getattr__(self, name: str) -> Any:
        """Hand everything else to DuckDB."""
        return getattr(self.raw, name)

    def __enter__(self) -> Connection:  # noqa: PYI034  not made to be inherited from
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    @property
    def ledger(self) -> Ledger:
        """Every attempt of the run that this connection takes part in."""
        return self._session.client.ledger

    @property
    def budget_reached(self) -> str | None:
        """The limit of the budget that was reached, None if none was."""
        budget_guard = self._session.client.budget_guard
        return None if budget_guard is None else budget_guard.reached

    def sql(
        self, statement: str, dialect: Dialect = "duckdb"
    ) -> duckdb.DuckDBPyRelation | None:
        """Run one or several statements and return the last one's rows as a materialised relation (None: no rows).

        statement   SQL text; EXPLAIN, PREPARE, DESCRIBE and CREATE VIEW ask nothing
        dialect     duckdb, or databricks: the text is translated first

        A failed row raises its ``RowError`` (everything already answered is kept, a second run does not ask it again)
        unless the call says ``failOnError => false`` or stands in TRY. Raises ``StatementError`` with the position
        where the text does not parse, ``ArgumentError`` and ``ConfigError`` before any call is made,
        ``KeyboardInterrupt`` within a second of Ctrl-C, and DuckDB's own errors for the rest.

        >>> with connect(config={"endpoints": {"m": {"provider": "fake"}}}) as con:
        ...     con.sql("SELECT ai_query('m', 'hello') AS answer").fetchall()
        [('echo: hello',)]
        """
        result = None
        for relation in self.statements(statement, dialect):
            result = relation
        return result

    def statements(
        self,
        text: str,
        dialect: Dialect = "duckdb",
        before: Callable[[Estimate], None] | None = None,
    ) -> Iterator[duckdb.DuckDBPyRelation | None]:
        """Run the statements of ``text`` one after another and yield what ``sql`` would return for each.

        Nothing is run if any of them does not parse. ``before`` is given the estimate of each that asks something, and
        may raise, which ends it.
        """
        for rewritten in list(split(text, dialect)):
            if before is not None and rewritten.query is not None:
                before(self._estimate(rewritten))
            yield self._run(rewritten)

    def estimate(self, statement: str, dialect: Dialect = "duckdb") -> Estimate:
        """Return what one statement would ask, without asking: requests, tokens, cost, time, by endpoint.

        The statement's own query is run once with every answer NULL. Where an answer decides what else is asked, and
        where a view hides the calls, the figures are a lower bound, and ``exact`` is False. Nothing is written.

        >>> with connect(config={"endpoints": {"m": {"provider": "fake"}}}) as con:
        ...     con.estimate("SELECT ai_query('m', 'text ' || i % 7) FROM range(100) t(i)").requests
        7
        """
        statements = list(split(statement, dialect))
        if len(statements) != 1:
            raise ArgumentError(f"estimate takes one statement, not {len(statements)}.")
        return self._estimate(statements[0])

    def delta(self, path: str | os.PathLike[str]) -> duckdb.DuckDBPyRelation:
        """Return the newest version of a Delta table as a relation; its files are read when it is looked at.

        Needs the extra ``delta``. Raises ``ConfigError`` where there is no table, or one with features that would be
        read wrong (deletion vectors, column mapping).
        """
        return self.raw.from_arrow(delta.readable(delta.open_table(os.fspath(path))))

    def register(self, view_name: str, python_object: Any) -> Connection:
        """Make a view of a Python object, as DuckDB does; it is remembered whether it can be read again and again."""
        self.raw.register(view_name, python_object)
        (
            self._registered.add
            if reads_again(python_object)
            else self._registered.discard
        )(view_name)
        return self

    def cursor(self) -> Connection:
        """Return another connection to the same database; it shares the answers and the limits."""
        made = Connection(self.raw.cursor(), self.config)
        made._session.within = self._session.within
        return made

    @contextmanager
    def as_one(self, text: str) -> Iterator[RunStats]:
        """Count what this connection, and cursors that it makes meanwhile, ask as one statement, ``text``."""
        with watch.watched(
            self._session.client, "duckdb", redact_statement(text, self.config)
        ) as stats:
            self._session.within = stats
            try:
                yield stats
            finally:
                self._session.within = None

    def interrupt(self) -> None:
        """Stop what this connection is running, from another thread; what is in flight is cancelled."""
        self._session.interrupt()
        self.raw.interrupt()

    def close(self) -> None:
        """Close the connection, and the run if nobody else uses it."""
        self._session.interrupt()
        self.raw.close()
        self._session.close()

    # --- one statement ---------------------------------------------------------------------------------------------

    def _run(self, rewritten: Rewritten) -> duckdb.DuckDBPyRelation | None:
        with self._alone():
            relation = self._asked(rewritten)
            if rewritten.explained is None or relation is None:
                return relation
            estimate = str(self._estimate(rewritten.explained))
            note = pa.table(
                {"explain_key": ["ai_estimate"], "explain_value": [estimate]}
            )
            plan = relation.to_arrow_table()
            return self.raw.from_arrow(pa.concat_tables([plan, note.cast(plan.schema)]))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuse a statement while another thread runs one: DuckDB's connection has one result at a time."""
        if not self._one_at_a_time.acquire(blocking=False):
            raise ConnectionInUse(
                "another thread is running a statement on this connection; give each thread one of its own: "
                "con.cursor()."
            )
        try:
            yield
        finally:
            self._one_at_a_time.release()

    def _asked(self, rewritten: Rewritten) -> duckdb.DuckDBPyRelation | None:
        self._settings.set_back()
        self._register(rewritten.reads)
        variables = named_in(rewritten.sql)
        catalog = Catalog(self.raw, self._registered, self._ours, variables)
        context = QueryContext(stop_on_error=_stops_on_error(rewritten, catalog))
        executing = self._session.executing(context, rewritten.text or rewritten.sql)
        with (
            self._without_bar(rewritten),
            executing as statement,
            self._our_errors(statement, rewritten.query),
        ):
            if rewritten.planned_only:
                statement.mode = Mode.PLAN
                return self._result(rewritten.sql, rewritten, variables)
            try:
                run = partial(self._result, rewritten.sql, rewritten, variables)
                ahead = Prefetcher(self.raw, self._session, self._settings, variables)
                return ahead.run(rewritten, statement, catalog, run)
            except _BINDING as error:
                if (
                    rewritten.original in {None, rewritten.sql}
                    or statement.error_in(str(error)) is not None
                ):
                    raise
                return self._as_written(rewritten, variables, error)

    def _as_written(
        self, rewritten: Rewritten, variables: Mapping[str, Any], error: Exception
    ) -> duckdb.DuckDBPyRelation | None:
        """Run the user's own text where DuckDB does not bind ours; within a transaction that error has ended it."""
        try:
            return self._result(rewritten.original, rewritten, variables)
        except duckdb.TransactionException:
            raise error from None

    def _estimate(self, rewritten: Rewritten) -> Estimate:
        self._register(rewritten.reads)
        counting = Counting()
        sql, exact = (
            (None, False)
            if self._hides_calls(rewritten.sql)
            else counting_sql(rewritten)
        )
        if sql is not None:
            context = QueryContext()
            with (
                self._session.executing(context) as executing,
                self._our_errors(executing, rewritten.query),
            ):
                executing.mode, executing.counting = Mode.COUNT, counting
                run_with(named_in(sql), self.raw.execute, sql)
                self.raw.complete()
        return counting.estimate(self._session.client, exact=exact)

    def _hides_calls(self, sql: str) -> bool:
        """Say whether the statement reads a view, or calls a macro, that calls AI functions."""
        made = self.raw.execute(
            "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal UNION ALL "
            "SELECT function_name, macro_definition FROM duckdb_functions() "
            "WHERE NOT internal AND macro_definition <> ''"
        ).fetchall()
        ours = registry.functions()
        names = {
            name.lower()
            for name, text in made
            if base_name(name) not in ours and mentions_ai(text)
        }
        return any(name in sql.lower() for name in names)

    def _register(self, paths: tuple[str, ...]) -> None:
        for path in paths:
            self.register(view_of(path), delta.readable(delta.open_table(path)))

    def _result(
        self, sql: str | None, rewritten: Rewritten, variables: Mapping[str, Any]
    ) -> duckdb.DuckDBPyRelation | None:
        relation = materialised(
            self.raw, sql or rewritten.sql, self._settings, variables
        )
        if relation is None:
            return None
        if rewritten.writes is not None:
            rewritten.writes.commit(relation.to_arrow_table())
            return None
        self._ours.add(relation)
        return relation

    def _without_bar(self, rewritten: Rewritten) -> AbstractContextManager[None]:
        """Let DuckDB draw no bar of its own, which knows nothing of what is waited for."""
        asks = rewritten.query is not None and not rewritten.planned_only
        return (
            self._settings.meanwhile("enable_progress_bar", value=False)
            if asks
            else nullcontext()
        )

    @contextmanager
    def _our_errors(self, statement: Statement, query: Tree | None) -> Iterator[None]:
        """Raise our own error, or KeyboardInterrupt, where DuckDB hands on only the text of it."""
        try:
            yield
        except KeyboardInterrupt:
            self._session.client.cancel(statement.context)
            raise
        except (
            duckdb.Error,
            RuntimeError,
        ) as error:  # RuntimeError: what DuckDB makes of a signal that it saw itself
            self._session.client.cancel(statement.context)
            if "UDF: KeyboardInterrupt" in str(error) or "Query interrupted" in str(
                error
            ):
                raise KeyboardInterrupt from None
            if statement.interrupted:
                raise duckdb.InterruptException(
                    "INTERRUPT Error: Interrupted!"
                ) from None
            if (ours := statement.error_in(str(error))) is not None:
                raise ours from None
            if _NOT_CONSTANT in str(error):
                raise ArgumentError(
                    not_constant(query) or f"an argument must be a constant. {error}"
                ) from None
            if isinstance(error, duckdb.ParserException):
                raise StatementError(f"the statement does not parse: {error}") from None
            raise


def _stops_on_error(rewritten: Rewritten, catalog: Catalog) -> bool:
    """Say whether one failed row fails the whole statement, so that what waits need not be asked: nothing is in TRY."""
    if rewritten.query is None or rewritten.planned_only or rewritten.tries:
        return False
    trees = catalog.expanded(rewritten.query)
    return trees is not None and not any(
        node["type"] == "OPERATOR_TRY" for tree in trees for node in nodes(tree)
    )


def connect(
    path: str | os.PathLike[str] = ":memory:",
    config: Any = None,
    budget: Mapping[str, float | str] | None = None,
    **options: Any,
) -> Connection:
    """Open a DuckDB database with the AI functions.

    path      a database file, or ``:memory:``
    config    a path, a mapping, or a ``Config``; see ``aiquery.config.settings`` for where it is found otherwise
    budget    settings of ``[budget]``, e.g. ``{"max_cost_usd": 5}``: what all statements together may spend
    options   what ``duckdb.connect`` takes besides, e.g. ``read_only=True``

    Raises ``ConfigError`` for a configuration that cannot be used.

    >>> connect(config={"endpoints": {"m": {"provider": "fake"}}}).sql("SELECT ai_query('m', 'hi') AS a").fetchall()
    [('echo: hi',)]
    """
    enable_progress_if_interactive()
    return Connection(
        duckdb.connect(os.fspath(path), **options),
        configuration.load(config).with_budget(**budget or {}),
    )
