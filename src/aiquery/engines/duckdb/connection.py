"""A DuckDB connection with the AI functions, whose ``sql`` and ``execute`` also plan statements."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import duckdb
import pyarrow as pa

from aiquery.engines.duckdb.binding import Mode
from aiquery.engines.duckdb.catalog import Catalog, can_read_again
from aiquery.engines.duckdb.databricks.fallbacks import run_with_fallbacks
from aiquery.engines.duckdb.databricks.locate import located
from aiquery.engines.duckdb.databricks.session import DatabricksSession
from aiquery.engines.duckdb.definitions import Definitions
from aiquery.engines.duckdb.delta.read import open_dataset
from aiquery.engines.duckdb.dialect_macros import DialectMacros
from aiquery.engines.duckdb.dialects import Dialect, parse_text
from aiquery.engines.duckdb.errors import stops_on_error, translate_errors
from aiquery.engines.duckdb.estimator import Estimator
from aiquery.engines.duckdb.interrupt import watch_signals
from aiquery.engines.duckdb.prefetch import Prefetcher
from aiquery.engines.duckdb.registration import register
from aiquery.engines.duckdb.results import materialize
from aiquery.engines.duckdb.settings import Settings
from aiquery.engines.duckdb.snapshot import Snapshot
from aiquery.engines.duckdb.statements import plan, too_deep
from aiquery.engines.duckdb.syntax import mentions_ai
from aiquery.engines.duckdb.variables import find_variables, run_with
from aiquery.engines.duckdb.wave_queries import WaveQueries
from aiquery.engines.duckdb.waves import ask_in_waves
from aiquery.errors import ArgumentError, ConnectionInUse
from aiquery.inference.query_context import QueryContext
from aiquery.sql.delta_paths import view_of
from aiquery.sql.redact import redact_statement
from aiquery.tracking import active

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from aiquery.config.settings import Config
    from aiquery.engines.duckdb.binding import Statement
    from aiquery.engines.duckdb.statements import ParsedStatement
    from aiquery.estimate import Estimate
    from aiquery.tracking.attempts import Ledger
    from aiquery.tracking.run import RunStats

_BINDING_ERRORS = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ParserException,
)


class Connection:
    """A DuckDB connection with the AI functions.

    It has every method of ``duckdb.DuckDBPyConnection``. ``sql`` and ``execute`` plan statements with AI functions: all
    requests of a statement are sent concurrently, AI conditions are evaluated last, and errors are those of aiquery.
    The result of ``sql`` is materialized: reading it again sends nothing. A connection is for one thread at a time;
    ``cursor()`` makes further ones that share cache and limits.
    """

    def __init__(
        self,
        raw: duckdb.DuckDBPyConnection,
        config: Config,
    ) -> None:
        """Use ``aiquery.connect``."""
        self.raw = raw
        self.config = config
        self._session = register(raw, config, variants=True)
        self._settings = Settings(raw)
        self._macros = DialectMacros(raw)
        self._definitions = Definitions(raw, self._macros)
        self._databricks = DatabricksSession(
            raw, self._run, self._may_ask, self.create_macros
        )
        self._in_use = threading.RLock()
        self._readable_again: set[str] = set()
        self._results: weakref.WeakSet[duckdb.DuckDBPyRelation] = weakref.WeakSet()
        scan_all = "SELECT current_setting('python_scan_all_frames')"
        self._all_frames = bool(raw.execute(scan_all).fetchall()[0][0])

    def __repr__(self) -> str:
        """Name the configuration, which holds no secret."""
        return f"aiquery.Connection({self.config!r})"

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the DuckDB connection."""
        return getattr(self.raw, name)

    def __enter__(self) -> Connection:  # noqa: PYI034  not a base class
        """Return the connection."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the connection."""
        self.close()

    @property
    def ledger(self) -> Ledger:
        """Every attempt of the client that this connection shares."""
        return self._session.client.ledger

    @property
    def budget_reached(self) -> str | None:
        """The limit of the budget that was reached; None if none was."""
        guard = self._session.client.budget_guard
        return None if guard is None else guard.reached

    def sql(
        self, query: str, dialect: Dialect = "duckdb", *, params: object = None
    ) -> duckdb.DuckDBPyRelation:
        """Run one or several statements and return the last one's rows.

        Parameters
        ----------
        query
            SQL text. EXPLAIN, PREPARE, DESCRIBE and CREATE VIEW send no request.
        dialect
            ``duckdb``, or ``databricks``: the text is translated first.
        params
            Values of the parameters of one statement: a list for ``?`` and ``$1``, a mapping for ``$name``.

        Returns
        -------
        duckdb.DuckDBPyRelation
            The rows as a materialized relation. A statement without rows returns None, which DuckDB's own type of
            ``sql`` does not say either.

        Raises
        ------
        RowError
            A row failed, unless the call has ``failOnError => false`` or is in TRY. Answers so far are in the cache.
        StatementError
            The text does not parse; the message shows the position.
        ArgumentError, ConfigError
            Before any request is sent.
        KeyboardInterrupt
            Within a second of Ctrl-C.
        ConnectionInUse
            Another thread runs a statement on this connection.
        duckdb.Error
            Other errors of the statement.

        Examples
        --------
        >>> import aiquery
        >>> with aiquery.connect(config={"endpoints": {"m": {"provider": "fake"}}}) as con:
        ...     con.sql("SELECT ai_query('m', 'hello') AS answer").fetchall()
        [('echo: hello',)]
        """
        rows = self._run_all(query, dialect, params)
        return cast("duckdb.DuckDBPyRelation", rows)

    def _run_all(
        self, query: str, dialect: Dialect, params: object
    ) -> duckdb.DuckDBPyRelation | None:
        result = None
        for relation in self.statements(query, dialect, params=params):
            result = relation
        return result

    def execute(self, query: str, parameters: object = None) -> Connection:
        """Run one or several statements, as DuckDB's ``execute``; ``fetchall()`` and its siblings read the rows.

        Statements with AI functions are planned as by ``sql``, and raise the same errors.
        """
        if not self._may_ask(query):
            with self._hold():
                self._definitions.note(query)
                self._execute_raw(query, parameters)
            return self
        relation = self._run_all(query, "duckdb", parameters)
        if relation is not None:
            run_with(
                {"aiquery_result": relation}, self.raw.execute, "FROM aiquery_result"
            )
        return self

    def _may_ask(self, text: str) -> bool:
        """Return True if a text may call an AI function, directly or through a view or macro; fast."""
        return mentions_ai(text) or self._definitions.are_read_by(text)

    def _parse(self, text: str, dialect: Dialect) -> list[ParsedStatement]:
        declared = self._databricks.declared
        parsed = parse_text(
            text, dialect, may_ask=self._may_ask(text), declared=declared
        )
        for statement in parsed:
            self.create_macros(statement.sql)
        return parsed

    def create_macros(self, sql: str) -> None:
        """Create the macros of Databricks SQL that a text calls; for one that ``raw`` runs."""
        self._macros.create_for(sql)

    def _execute_raw(self, query: str, parameters: object) -> None:
        execute = self.raw.execute
        if parameters is not None:
            execute = partial(execute, parameters=parameters)
        run_with(self._find_variables(query), execute, query)

    def _find_variables(self, text: str) -> dict[str, Any]:
        return find_variables(text, all_frames=self._all_frames)

    def statements(
        self,
        text: str,
        dialect: Dialect = "duckdb",
        before: Callable[[Estimate], None] | None = None,
        *,
        params: object = None,
    ) -> Iterator[duckdb.DuckDBPyRelation | None]:
        """Run the statements of ``text`` one after another, and yield what ``sql`` would return for each.

        No statement runs if one of them does not parse. ``before`` is called with the estimate of each statement that
        sends requests; if it raises, the statement does not run.
        """
        parsed_statements = self._parse(text, dialect)
        if params is not None and len(parsed_statements) != 1:
            raise ArgumentError(
                f"params are for one statement, not {len(parsed_statements)}."
            )

        def announce(parsed: ParsedStatement) -> None:
            sends = parsed.parts is not None and not parsed.is_planned_only
            if before is not None and sends:
                before(self._estimate(parsed))

        for parsed in parsed_statements:
            if parsed.source is not None:
                with too_deep():
                    yield self._databricks.run(parsed, params, announce)
                continue
            announce(parsed)
            yield self._run(parsed, params)

    def estimate(self, statement: str, dialect: Dialect = "duckdb") -> Estimate:
        """Estimate the requests, tokens, cost and time of one statement, by endpoint. Sends and writes nothing.

        The statement's own query is run once with every answer NULL. Where an answer decides about further requests,
        and where a view hides calls, the figures are a lower bound, and ``exact`` is False. Raises ``ArgumentError``
        for several statements, and the errors of ``sql``.

        >>> import aiquery
        >>> with aiquery.connect(config={"endpoints": {"m": {"provider": "fake"}}}) as con:
        ...     con.estimate("SELECT ai_query('m', 'text ' || i % 7) FROM range(100) t(i)").requests
        7
        """
        statements = self._parse(statement, dialect)
        if len(statements) != 1:
            raise ArgumentError(f"estimate takes one statement, not {len(statements)}.")
        return self._estimate(self._databricks.resolve(statements[0], None))

    def delta(self, path: str | os.PathLike[str]) -> duckdb.DuckDBPyRelation:
        """Return the newest version of a Delta table as a relation; its files are read when the relation is read.

        Needs the extra ``delta``. Raises ``ConfigError`` if there is no table, or one with features that would be read
        incorrectly (deletion vectors, column mapping).
        """
        return self.raw.from_arrow(open_dataset(os.fspath(path)))

    def register(self, view_name: str, python_object: Any) -> Connection:
        """Create a view of a Python object, as DuckDB does."""
        self.raw.register(view_name, python_object)
        if can_read_again(python_object):
            self._readable_again.add(view_name)
        else:
            self._readable_again.discard(view_name)
        return self

    def cursor(self) -> Connection:
        """Return another connection to the same database; it shares cache and limits."""
        cursor = Connection(self.raw.cursor(), self.config)
        cursor._definitions.join(self._definitions)
        cursor._session.parent_run = self._session.parent_run
        return cursor

    @contextmanager
    def single_run(self, text: str) -> Iterator[RunStats]:
        """Count the statements of this connection, and of cursors made in the block, as one run of ``text``."""
        redacted = redact_statement(text, self.config)
        with active.track_run(self._session.client, "duckdb", redacted) as stats:
            self._session.parent_run = stats
            try:
                yield stats
            finally:
                self._session.parent_run = None

    def interrupt(self) -> None:
        """Stop the statement of this connection from another thread, and cancel its requests in flight."""
        self._session.interrupt()
        self.raw.interrupt()

    def close(self) -> None:
        """Close the connection, and the shared client if no other connection uses it."""
        self._session.interrupt()
        self.raw.close()
        self._session.close()

    # --- one statement

    def _run(
        self, parsed: ParsedStatement, params: object
    ) -> duckdb.DuckDBPyRelation | None:
        with self._hold(), located(parsed.text):
            relation = run_with_fallbacks(
                self._run_planned, self.create_macros, parsed, params
            )
            if parsed.explained is None or relation is None:
                return relation
            notes = self._estimator().explain(parsed.explained)
            note = pa.table(
                {"explain_key": list(notes), "explain_value": list(notes.values())}
            )
            plan = relation.to_arrow_table()
            return self.raw.from_arrow(pa.concat_tables([plan, note.cast(plan.schema)]))

    @contextmanager
    def _hold(self) -> Iterator[None]:
        """Raise ``ConnectionInUse`` while another thread runs a statement: a connection has one result at a time."""
        if not self._in_use.acquire(blocking=False):
            raise ConnectionInUse(
                "another thread is running a statement on this connection; give each thread one of its own: "
                "con.cursor()."
            )
        try:
            yield
        finally:
            self._in_use.release()

    def _run_planned(
        self, parsed: ParsedStatement, params: object
    ) -> duckdb.DuckDBPyRelation | None:
        self._settings.restore()
        self._register_delta(parsed.reads)
        variables = self._find_variables(parsed.sql)
        catalog = self._catalog(variables)
        self._definitions.note(parsed.sql)
        parsed = plan(parsed, catalog)
        context = QueryContext(stop_on_error=stops_on_error(parsed, catalog))
        text = parsed.text or parsed.original or parsed.sql
        with (
            watch_signals(self._session),
            self._without_progress_bar(parsed),
            self._session.executing(context, text, parsed.dialect) as statement,
            translate_errors(self._session.client, statement, parsed.query),
        ):
            if parsed.is_planned_only:
                statement.mode = Mode.PLAN
                return self._result(parsed.sql, parsed, variables, params)
            try:
                return self._ask(parsed, statement, catalog, params)
            except _BINDING_ERRORS as error:
                is_own_text = parsed.original in {None, parsed.sql}
                if is_own_text or statement.find_error(str(error)) is not None:
                    raise
                return self._run_original(parsed, variables, params, error)

    def _ask(
        self,
        parsed: ParsedStatement,
        statement: Statement,
        catalog: Catalog,
        params: object,
    ) -> duckdb.DuckDBPyRelation | None:
        """Run a statement: in waves where it needs only some answers, else after its prefetch pass."""
        variables = catalog.variables
        with Snapshot(self.raw, self._settings) as snapshot:
            queries = WaveQueries(
                raw=self.raw,
                session=self._session,
                statement=statement,
                catalog=catalog,
                snapshot=snapshot,
                settings=self._settings,
            )
            parsed = ask_in_waves(parsed, queries)
            prefetcher = Prefetcher(
                self.raw, self._session, snapshot, variables, params
            )
            prefetcher.submit(parsed, statement, catalog)
            return self._result(parsed.sql, parsed, variables, params)

    def _catalog(self, variables: dict[str, Any]) -> Catalog:
        return Catalog(
            self.raw,
            self._readable_again,
            self._results,
            variables,
            self._definitions,
        )

    def _run_original(
        self,
        parsed: ParsedStatement,
        variables: Mapping[str, Any],
        params: object,
        error: Exception,
    ) -> duckdb.DuckDBPyRelation | None:
        """Run the user's own text if DuckDB does not bind ours; in a transaction the error has ended it."""
        try:
            return self._result(parsed.original, parsed, variables, params)
        except duckdb.TransactionException:
            raise error from None

    def _estimate(self, parsed: ParsedStatement) -> Estimate:
        self._register_delta(parsed.reads)
        return self._estimator().estimate(parsed)

    def _estimator(self) -> Estimator:
        return Estimator(self.raw, self._session, self._catalog, self._find_variables)

    def _register_delta(self, paths: tuple[str, ...]) -> None:
        for path in paths:
            self.register(view_of(path), open_dataset(path))

    def _result(
        self,
        sql: str | None,
        parsed: ParsedStatement,
        variables: Mapping[str, Any],
        params: object,
    ) -> duckdb.DuckDBPyRelation | None:
        relation = materialize(
            self.raw, sql or parsed.sql, self._settings, variables, params
        )
        if relation is None:
            return None
        if parsed.writes is not None:
            parsed.writes.commit(relation.to_arrow_table())
            return None
        self._results.add(relation)
        return relation

    def _without_progress_bar(
        self, parsed: ParsedStatement
    ) -> AbstractContextManager[object]:
        """Switch DuckDB's progress bar off while requests are sent: it does not count them."""
        if parsed.query is None or parsed.is_planned_only:
            return nullcontext()
        return self._settings.change("enable_progress_bar", value=False, needed=False)
