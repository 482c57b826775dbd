"""``aiquery estimate``: what a statement would ask and cost, before it does."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import TYPE_CHECKING, Annotated, cast

import typer

from aiquery import config as configuration
from aiquery.cli.output import console
from aiquery.cli.sql import text_of, with_endpoints

if TYPE_CHECKING:
    from aiquery.engines.duckdb.connection import Dialect


def estimate(
    statement: Annotated[str | None, typer.Argument(help="One SQL statement.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("-f", "--file", help="Read the statement from a file."),
    ] = None,
    database: Annotated[str, typer.Option(help="A DuckDB database file.")] = ":memory:",
    dialect: Annotated[str, typer.Option(help="duckdb or databricks.")] = "duckdb",
    endpoint: Annotated[
        list[str] | None, typer.Option(help="NAME=TARGET, as for aiquery sql.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="The configuration file.")] = None,
) -> None:
    """Say what a statement would ask: distinct requests, answered already, tokens, cost, time. Asks nothing.

    aiquery estimate "SELECT ai_query('my-model', message) FROM 'tickets.csv'"
    """
    from aiquery.engines.duckdb.connection import connect

    text = text_of(statement, file)
    loaded = with_endpoints(configuration.load(config), endpoint or [])
    with connect(database, loaded) as con:
        found = con.estimate(text, cast("Dialect", dialect))
    console().print(str(found), highlight=False, soft_wrap=True)
