"""The command line: every command with its help, rendered by Typer."""

from __future__ import annotations

import typer.cli

from aiquery.cli.main import app
from reference import HEAD

TITLE = "Command line"


def render() -> str:
    """Return the page."""
    command = typer.main.get_command(app)
    text = typer.cli.get_docs_for_click(obj=command, ctx=typer.Context(command), name="aiquery", title=TITLE)
    head, body = text.split("\n", 1)
    return f"{head}\n\n{HEAD}{body.lstrip()}".rstrip() + "\n"
