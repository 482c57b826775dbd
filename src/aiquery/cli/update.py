"""``aiquery update``: only the new rows, and never lose what was paid."""

from __future__ import annotations

import re
import sys
from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import Annotated

import typer

from aiquery import config as configuration
from aiquery.cli.output import LOG_HELP, account_of, console, errors, follow
from aiquery.cli.sql import with_endpoints

_EVERY = re.compile(r"(\d+)(s?)")


def update(  # noqa: PLR0913, PLR0917  one parameter per option
    target: Annotated[
        str, typer.Argument(help="A table of --database, or delta:PATH.")
    ],
    set_: Annotated[
        list[str],
        typer.Option("--set", help="COLUMN = EXPRESSION, with an AI function in it."),
    ],
    key: Annotated[
        str, typer.Option(help="The column that names a row, or several: a,b.")
    ],
    where: Annotated[
        str | None, typer.Option(help="Which rows need an answer.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Where new rows come from: a table, a file, (a query)."),
    ] = None,
    database: Annotated[
        str, typer.Option(help="A DuckDB database file, or postgresql://..")
    ] = ":memory:",
    refresh: Annotated[
        str | None,
        typer.Option(help="changed: also where prompt, model or text changed."),
    ] = None,
    every: Annotated[
        str, typer.Option(help="Commit after so many rows (1000), or seconds (30s).")
    ] = "10000",
    dialect: Annotated[str, typer.Option(help="duckdb or databricks.")] = "duckdb",
    endpoint: Annotated[
        list[str] | None, typer.Option(help="NAME=TARGET, as for aiquery sql.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="The configuration file.")] = None,
    max_cost_usd: Annotated[
        float | None,
        typer.Option(help="Spend at most so much; endpoints need a price."),
    ] = None,
    max_requests: Annotated[
        int | None, typer.Option(help="Ask at most so often.")
    ] = None,
    log: Annotated[bool, typer.Option("--log", help=LOG_HELP)] = False,  # noqa: FBT002  an option
) -> None:
    """Fill columns of a table with answers: only of the rows that need it; a second run goes on where one stopped.

    aiquery update tickets --database my.db --key ticket_id --where "sentiment IS NULL"
    --set "sentiment = ai_query('my-model', message)"
    """
    from aiquery.engines.duckdb.connection import connect
    from aiquery.updates import update as run_update
    from aiquery.updates.api import POSTGRES

    found = _EVERY.fullmatch(every)
    if found is None:
        raise typer.BadParameter(
            f"--every {every!r} is neither rows (1000) nor seconds (30s)."
        )
    rows, seconds = (
        (sys.maxsize, float(found[1])) if found[2] else (int(found[1]), 30.0)
    )
    loaded = with_endpoints(configuration.load(config), endpoint or []).with_budget(
        max_cost_usd=max_cost_usd, max_requests=max_requests, on_budget="null"
    )
    follow(log=log)
    far = database.startswith(POSTGRES)
    with connect(":memory:" if far else database, loaded) as con, account_of():
        report = run_update(
            target, set_, key=key.split(","), where=where, source=source, refresh=refresh, every=rows, seconds=seconds,
            dialect=dialect, on=database if far else con, config=loaded if far else None,
        )  # fmt: skip
    console().print(str(report), highlight=False)
    for said, rows in report.refused.items():
        errors().print(
            f"{rows:,} answers were refused by the table: {said}",
            style="yellow",
            highlight=False,
        )
    if report.failed:
        errors().print(
            f"{report.failed:,} rows have no answer; the next run asks about them again.",
            style="yellow",
        )
