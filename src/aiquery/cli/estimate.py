"""``aiquery estimate``: requests, tokens, cost and time of a statement before it runs."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import TYPE_CHECKING, Annotated, cast

import typer

from aiquery import config as configuration
from aiquery.cli.options import (  # noqa: TC001  typer reads the annotations
    ConfigFile,
    Database,
    DialectName,
    EndpointTargets,
    KeyVariable,
)
from aiquery.cli.output import console
from aiquery.cli.sql import add_endpoints, read_statement

if TYPE_CHECKING:
    from aiquery.engines.duckdb.dialects import Dialect


def estimate(
    statement: Annotated[str | None, typer.Argument(help="One SQL statement.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("-f", "--file", help="Read the statement from a file."),
    ] = None,
    database: Database = ":memory:",
    dialect: DialectName = "duckdb",
    endpoint: EndpointTargets = None,
    api_key_env: KeyVariable = None,
    config: ConfigFile = None,
) -> None:
    """Estimate a statement: distinct requests, cached answers, tokens, cost, time. Sends nothing.

    aiquery estimate "SELECT ai_query('my-model', message) FROM 'tickets.csv'"
    """
    from aiquery.engines.duckdb.connect import connect

    text = read_statement(statement, file)
    loaded = add_endpoints(configuration.load(config), endpoint, api_key_env)
    with connect(database, loaded) as con:
        found = con.estimate(text, cast("Dialect", dialect))
    console().print(str(found), highlight=False, soft_wrap=True)
