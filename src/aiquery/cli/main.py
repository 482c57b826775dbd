"""The command ``aiquery`` and its subcommands."""

from __future__ import annotations

import sys

import typer

from aiquery import __version__
from aiquery.cli import (
    cache,
    config,
    demo,
    endpoints,
    estimate,
    models,
    runs,
    sql,
    update,
)
from aiquery.cli.output import errors
from aiquery.errors import AIQueryError

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

app = typer.Typer(
    name="aiquery",
    help="Ask a language model about every row of a table, in SQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("sql")(sql.sql)
app.command("estimate")(estimate.estimate)
app.command("update")(update.update)
app.command("runs")(runs.runs)
app.command("report")(runs.report)
app.command("config")(config.show)
app.add_typer(endpoints.app, name="endpoints")
app.add_typer(endpoints.app, name="endpoint", hidden=True)  # endpoint serve
app.add_typer(models.app, name="models")
app.add_typer(cache.app, name="cache")


@app.command("version")
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command line. An error is one message on stderr and exit status 1, wrong usage 2, Ctrl-C 130."""
    if sys.argv[1:2] == ["answers"]:
        errors().print("error: the command answers is now called cache.", markup=False)
        sys.exit(2)
    try:
        status = app(standalone_mode=False)
    except typer.TyperException as error:
        status = error.exit_code
        errors().print(
            f"error: {error.format_message()} See aiquery --help.",
            markup=False,
            highlight=False,
        )
    except Exception as error:
        if not isinstance(error, (AIQueryError, OSError, *_engine_errors())):
            raise
        status = 1
        errors().print(f"error: {error}", style="red", markup=False, highlight=False)
    if status == INTERRUPTED:
        errors().print("interrupted: no further request is sent.", style="yellow")
    sys.exit(status)


def _engine_errors() -> tuple[type[Exception], ...]:
    """Return DuckDB's errors, without importing DuckDB if no command has used it."""
    if "duckdb" not in sys.modules:
        return ()
    return (sys.modules["duckdb"].Error,)
