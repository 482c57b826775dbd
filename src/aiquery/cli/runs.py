"""``aiquery runs`` and ``aiquery report``: the run history."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from aiquery import config as configuration
from aiquery.cli.options import ConfigFile  # noqa: TC001  typer reads the annotations
from aiquery.cli.output import console, print_table
from aiquery.errors import ConfigError

if TYPE_CHECKING:
    from aiquery.tracking.record import RunRecord
    from aiquery.tracking.store import RunStore

_COLUMNS = (
    "run",
    "state",
    "seconds",
    "rows",
    "requests",
    "cache_hits",
    "failed",
    "tokens_in",
    "tokens_out",
    "cost_usd",
    "statement",
)
_STATEMENT = 60


def runs(
    limit: Annotated[int, typer.Option(help="How many of the newest runs.")] = 20,
    config: ConfigFile = None,
) -> None:
    """List the stored runs, the newest first."""
    with closing(_store(config)) as store:
        records = store.runs()[:limit]
    print_table(
        _COLUMNS, ([_cell(one, column) for column in _COLUMNS] for one in records)
    )


def report(
    run: Annotated[
        str, typer.Argument(help="The id of a run, its beginning, or: last.")
    ] = "last",
    html: Annotated[
        Path | None, typer.Option(help="Write a page with plots to this file.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Report one run: figures, endpoints, errors; with --html as one self-contained page."""
    from aiquery.reporting import tables

    with closing(_store(config)) as store:
        record = tables.find_run(store.runs(), run)
        if html is not None:
            from aiquery.reporting.html import page

            html.write_text(
                page.render_page(record, store.attempts(record.progress.run)), "utf-8"
            )
            console().print(str(html), highlight=False, markup=False)
            return
    _print(record)


def _store(config: Path | None) -> RunStore:
    from aiquery.clients import open_run_store

    loaded = configuration.load(config)
    if loaded.runs_path() is None:
        raise ConfigError(
            "runs are in memory only; set [runs] store, or [cache] store, to a file."
        )
    return open_run_store(loaded)


def _print(record: RunRecord) -> None:
    from aiquery.reporting import tables

    out = console()
    p = record.progress
    started = datetime.fromtimestamp(p.started_at, UTC).astimezone()
    out.print(
        f"{p.run}: {p.state}, {p.engine}, {started:%Y-%m-%d %H:%M:%S}",
        highlight=False,
        markup=False,
    )
    if p.statement:
        out.print(p.statement, style="dim", highlight=False, markup=False)
    out.print(str(p), highlight=False, markup=False)
    if record.error:
        out.print(record.error, style="red", highlight=False, markup=False)
    print_table(tables.USAGE_COLUMNS, tables.usage_rows(record))
    if record.errors:
        errors = [
            (kind, seen.attempts, seen.requests, seen.example)
            for kind, seen in record.errors.items()
        ]
        print_table(("error", "attempts", "requests", "an example"), errors)


def _cell(record: RunRecord, column: str) -> object:
    value = getattr(record.progress, column)
    if column == "seconds":
        return f"{value:.1f}"
    if column == "cost_usd" and value is not None:
        return f"{value:,.6f}"
    if column == "statement" and value is not None:
        line = " ".join(value.split())
        return line if len(line) <= _STATEMENT else f"{line[:_STATEMENT]}…"
    return value
