"""``aiquery models``: the models for the process, which of them are here, and how to get one."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from aiquery.cli.output import console, errors
from aiquery.config.local_models import catalog

app = typer.Typer(help="Models that run in the process.", invoke_without_command=True)


@app.callback()
def list_models(context: typer.Context) -> None:
    """List the models with a name, by the memory that they need; those that are here, and what they are good for."""
    from aiquery.providers.local.model_file import is_here

    if context.invoked_subcommand is not None:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "here", "task"):
        table.add_column(column, no_wrap=True)
    for column in ("size", "memory"):
        table.add_column(column, no_wrap=True, justify="right")
    table.add_column("licence", no_wrap=True)
    table.add_column("good for")
    for model in sorted(catalog().values(), key=lambda one: one.memory_gb):
        table.add_row(
            model.name,
            "yes" if is_here(model) else "",
            model.task,
            f"{model.size_mb:,} MB",
            f"{model.memory_gb:g} GB",
            model.licence,
            model.good_for,
        )
    out = console()
    out.print(table)
    out.print(
        "\nUse one as local:MODEL, fetch it with aiquery models get MODEL. Any other GGUF file is used by its path, "
        "or as local:ORG/REPO:QUANTIZATION of the Hugging Face hub.",
        highlight=False,
    )


@app.command("get")
def get(
    model: Annotated[
        str, typer.Argument(help="A name of the list, or ORG/REPO:QUANTIZATION.")
    ],
    mirror: Annotated[
        str | None,
        typer.Option(help="Address of a server with the hub's interface."),
    ] = None,
) -> None:
    """Fetch a model, with a progress bar. An interrupted download goes on; the file is checked against its hash."""
    from aiquery.providers.local.model_file import (
        check_model,
        find_model,
        hub_reference,
    )

    check_model(model)
    reference = hub_reference(model)
    if reference is not None:
        errors().print(f"Looking for {reference} ..", highlight=False)
    path = find_model(model, mirror=mirror, show_progress=True)
    errors().print(f"{model} is here:", highlight=False)
    console().print(str(path), highlight=False, markup=False, soft_wrap=True)
