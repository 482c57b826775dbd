"""``aiquery update``: fill columns of a table with answers, only for the rows that need one."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import typer

from aiquery import config as configuration
from aiquery.cli.options import (  # noqa: TC001  typer reads the annotations
    ConfigFile,
    DialectName,
    EndpointTargets,
    KeyVariable,
    MaxCost,
    MaxRequests,
    ShowLog,
)
from aiquery.cli.output import console, errors, print_last_run, show_statement_progress
from aiquery.cli.sql import add_endpoints


def update(  # noqa: PLR0913, PLR0917  one parameter per option
    target: Annotated[
        str, typer.Argument(help="A table of --database, or delta:PATH.")
    ],
    set_: Annotated[
        list[str],
        typer.Option("--set", help="COLUMN = EXPRESSION, with an AI function in it."),
    ],
    key: Annotated[
        str, typer.Option(help="The column that identifies a row, or several: a,b.")
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
    refresh_changed: Annotated[  # noqa: FBT002  an option
        bool,
        typer.Option(
            "--refresh-changed", help="Also rows whose prompt, model or text changed."
        ),
    ] = False,
    commit_every_rows: Annotated[
        int | None, typer.Option(help="Commit after this many rows; default: 10,000.")
    ] = None,
    commit_every_seconds: Annotated[
        float, typer.Option(help="Or after this many seconds.")
    ] = 30.0,
    dialect: DialectName = "duckdb",
    endpoint: EndpointTargets = None,
    api_key_env: KeyVariable = None,
    config: ConfigFile = None,
    max_cost_usd: MaxCost = None,
    max_requests: MaxRequests = None,
    log: ShowLog = False,  # noqa: FBT002  an option
    every: Annotated[str | None, typer.Option(hidden=True)] = None,
    refresh: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Fill columns of a table with answers, only for the rows that need one; a second run goes on where one stopped.

    aiquery update tickets --database my.db --key ticket_id --where "sentiment IS NULL"
    --set "sentiment = ai_query('my-model', message)"
    """
    from aiquery.engines.duckdb.connect import connect
    from aiquery.updates import update as run_update
    from aiquery.updates.api import POSTGRES

    _reject_renamed(every, refresh)
    loaded = add_endpoints(
        configuration.load(config), endpoint, api_key_env
    ).with_budget(
        max_cost_usd=max_cost_usd, max_requests=max_requests, on_budget="null"
    )
    show_statement_progress(log=log)
    is_server = database.startswith(POSTGRES)
    with (
        connect(":memory:" if is_server else database, loaded) as con,
        print_last_run(),
    ):
        result = run_update(
            target,
            set_,
            key=key.split(","),
            where=where,
            source=source,
            database=database if is_server else con,
            refresh_changed=refresh_changed,
            commit_every_rows=commit_every_rows,
            commit_every_seconds=commit_every_seconds,
            config=loaded if is_server else None,
            dialect=cast('Literal["duckdb", "databricks"]', dialect),
        )
    console().print(str(result), highlight=False)
    for message, rows in result.rejected.items():
        errors().print(
            f"{rows:,} answers were rejected by the table: {message}",
            style="yellow",
            highlight=False,
        )
    if result.failed:
        errors().print(
            f"{result.failed:,} rows have no answer; the next run requests them again.",
            style="yellow",
        )


def _reject_renamed(every: str | None, refresh: str | None) -> None:
    if every is not None:
        raise typer.BadParameter(
            "--every is now called --commit-every-rows; for seconds, use --commit-every-seconds."
        )
    if refresh is not None:
        raise typer.BadParameter("--refresh changed is now called --refresh-changed.")
