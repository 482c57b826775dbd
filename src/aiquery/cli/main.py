"""The command ``aiquery`` and its subcommands."""

from __future__ import annotations

import sys

import duckdb
import typer

from aiquery import __version__
from aiquery.cli import config, demo, endpoints, sql
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
app.command("config")(config.show)
app.add_typer(endpoints.app, name="endpoints")


@app.command("version")
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command line; an error is one message on stderr and exit status 1."""
    try:
        app(standalone_mode=False)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        errors().print("interrupted; what was answered is kept while the process lives.", style="yellow")
        sys.exit(INTERRUPTED)
    except typer.TyperException as error:
        errors().print(f"error: {error.format_message()} See aiquery --help.", markup=False, highlight=False)
        sys.exit(error.exit_code)
    except (AIQueryError, duckdb.Error, OSError) as error:
        errors().print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
