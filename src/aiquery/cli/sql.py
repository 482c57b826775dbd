"""``aiquery sql``: run statements from the command line or a file."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from aiquery import config as configuration
from aiquery.cli.options import (  # noqa: TC001  typer reads the annotations
    ConfigFile,
    Database,
    DialectName,
    EndpointTargets,
    KeyVariable,
    MaxCost,
    MaxRequests,
    MaxSeconds,
    MaxTokens,
    ShowLog,
)
from aiquery.cli.output import (
    FORMATS,
    Format,
    errors,
    print_last_run,
    show_statement_progress,
    write,
)
from aiquery.cli.served_models import add_served_model
from aiquery.config import loader
from aiquery.errors import BudgetReached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duckdb import DuckDBPyRelation

    from aiquery.config.settings import Config
    from aiquery.engines.duckdb.dialects import Dialect
    from aiquery.estimate import Estimate

_END: Any = object()


def sql(  # noqa: PLR0913, PLR0917  one parameter per option
    statement: Annotated[
        str | None, typer.Argument(help="One or several SQL statements.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "-f", "--file", help="Read the statements from a file; - is standard input."
        ),
    ] = None,
    database: Database = ":memory:",
    dialect: DialectName = "duckdb",
    endpoint: EndpointTargets = None,
    api_key_env: KeyVariable = None,
    config: ConfigFile = None,
    format: Annotated[  # noqa: A002  the option is called --format
        str, typer.Option("--format", help="table, csv, tsv, json, jsonl or parquet.")
    ] = "table",
    output: Annotated[
        Path | None,
        typer.Option(help="Write the last result to a file; its suffix is the format."),
    ] = None,
    max_cost_usd: MaxCost = None,
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
    max_seconds: MaxSeconds = None,
    on_budget: Annotated[
        str | None,
        typer.Option(help="error, or null: rows beyond the budget are NULL."),
    ] = None,
    yes: Annotated[  # noqa: FBT002  typer makes a flag of it
        bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")
    ] = False,
    safe_csv: Annotated[  # noqa: FBT002  typer makes a flag of it
        bool,
        typer.Option(
            "--safe-csv",
            help="Put ' before texts that a spreadsheet would read as a formula (csv, tsv).",
        ),
    ] = False,
    log: ShowLog = False,  # noqa: FBT002  an option
) -> None:
    """Run SQL with AI functions. FROM 'tickets.csv' reads a CSV, Parquet or JSON file, as in DuckDB.

    aiquery sql "SELECT ai_query('local:smollm2-135m-instruct', 'Say hello') AS answer"
    """
    # Imported late, as in every command: --help must not wait for DuckDB.
    from aiquery.engines.duckdb.connect import connect

    text = read_statement(statement, file)
    _check_choice("--dialect", dialect, ("duckdb", "databricks"))
    _check_choice("--format", format, FORMATS)
    show_statement_progress(log=log)
    loaded = add_endpoints(
        configuration.load(config), endpoint, api_key_env
    ).with_budget(
        max_cost_usd=max_cost_usd,
        max_requests=max_requests,
        max_tokens=max_tokens,
        max_seconds=max_seconds,
        on_budget=on_budget,
    )
    with connect(database, loaded) as con:
        threshold = None if yes else loaded.budget.confirm_above_usd
        before = None if threshold is None else partial(_confirm, threshold)
        _run(
            con.statements(text, cast("Dialect", dialect), before),
            partial(write, kind=cast("Format", format), safe_csv=safe_csv),
            output,
        )


def _confirm(threshold: float, estimate: Estimate) -> None:
    """Ask for confirmation if the cost may exceed ``threshold``, or is unknown; abort without it."""
    if estimate.exact and not estimate.requests_to_send:
        return
    at_most = estimate.worst_case or estimate
    highest = at_most.cost_usd if at_most.exact else None
    if highest is not None and highest <= threshold:
        return
    errors().print(str(estimate), highlight=False, markup=False, soft_wrap=True)
    if not sys.stdin.isatty():
        raise BudgetReached(
            f"this may cost more than confirm_above_usd = {threshold:g}; nothing was sent. Use --yes to go on, or "
            "--max-cost-usd to limit the cost."
        )
    typer.confirm(
        f"This may cost more than {threshold:g} USD. Go on?", abort=True, err=True
    )


def _run(
    statements: Iterator[DuckDBPyRelation | None],
    write_result: Callable[..., None],
    output: Path | None,
) -> None:
    last = None
    while True:
        with print_last_run():
            result = next(statements, _END)
        if result is _END:
            break
        last = result
        if last is not None and output is None:
            write_result(last, output=None)
    if output is not None:
        if last is None:
            raise typer.BadParameter("--output: the last statement returns no rows.")
        write_result(last, output=output)


def read_statement(statement: str | None, file: Path | None) -> str:
    """Return the statement, or the text of the file; ``-`` is standard input."""
    if (statement is None) == (file is None):
        raise typer.BadParameter("give one of STATEMENT and --file.")
    if statement is not None:
        return statement
    if str(file) == "-":
        return sys.stdin.read()
    return cast("Path", file).read_text("utf-8")


def _check_choice(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise typer.BadParameter(
            f"{option} {value!r} is not one of {', '.join(known)}."
        )


def add_endpoints(
    config: Config, pairs: list[str] | None, api_key_env: str | None = None
) -> Config:
    """Return a configuration with the endpoints of ``NAME=TARGET``.

    ``api_key_env`` names the variable with the key of those that are URLs. A URL without a model gets the only model of
    its server.
    """
    added = {}
    for pair in pairs or ():
        name, equals, target = pair.partition("=")
        if not equals or not name or not target:
            raise typer.BadParameter(
                f"--endpoint {pair!r} is not NAME=TARGET, e.g. my-model=http://localhost:8000/v1."
            )
        endpoint = loader.endpoint_from_text(target, name, config, api_key_env)
        if loader.is_url(target) and "#" not in target:
            endpoint = add_served_model(endpoint)
        added[name] = endpoint
    return config.with_endpoints(added)
