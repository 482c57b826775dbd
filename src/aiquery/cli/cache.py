"""``aiquery cache``: the cached answers, which are not requested again."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from aiquery import config as configuration
from aiquery.cli.options import ConfigFile  # noqa: TC001  typer reads the annotations
from aiquery.cli.output import console, print_table
from aiquery.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.inference.cache.base import Store

app = typer.Typer(help="Show, prune, clear or export the cached answers.")


@app.callback(invoke_without_command=True)
def statistics(context: typer.Context, config: ConfigFile = None) -> None:
    """Count the cached answers, by endpoint."""
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    with _open_store(config) as store:
        found = store.statistics()
    print_table(
        ("endpoint", "answers"), [*found.by_endpoint.items(), ("all", found.answers)]
    )
    console().print(f"{found.size_bytes / 1e6:.1f} MB", highlight=False)


@app.command()
def prune(context: typer.Context) -> None:
    """Delete answers that are older than ttl_days, or beyond max_mb."""
    with _open_store(context.obj) as store:
        typer.echo(f"{store.prune():,} answers removed")


@app.command()
def clear(context: typer.Context) -> None:
    """Delete every answer: all of them will be requested, and billed, again."""
    with _open_store(context.obj) as store:
        typer.echo(f"{store.clear():,} answers removed")


@app.command()
def export(
    context: typer.Context,
    output: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
) -> None:
    """Write every answer to a Parquet file: key, endpoint, answer (JSON), made_at, used_at."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    second = pa.timestamp("ms", tz="UTC")
    fields = [
        ("key", pa.string()),
        ("endpoint", pa.string()),
        ("answer", pa.string()),
        ("made_at", second),
    ]
    schema = pa.schema([*fields, ("used_at", second)])
    count = 0
    with _open_store(context.obj) as store, pq.ParquetWriter(output, schema) as file:
        batch: list[dict[str, object]] = []
        for answer in store.export():
            row = {
                "key": answer.key.hex(),
                "endpoint": answer.endpoint,
                "answer": answer.value.decode(),
                "made_at": int(answer.made_at * 1000),
                "used_at": int(answer.used_at * 1000),
            }
            batch.append(row)
            count += 1
            if len(batch) == 10_000:  # noqa: PLR2004  rows per row group
                file.write_table(pa.Table.from_pylist(batch, schema))
                batch = []
        file.write_table(pa.Table.from_pylist(batch, schema))
    typer.echo(f"{count:,} answers written to {output}")


@contextmanager
def _open_store(config: Path | None) -> Iterator[Store]:
    from aiquery.clients import open_store
    from aiquery.errors import StoreFailed

    settings = configuration.load(config).cache
    if settings.in_memory():
        raise ConfigError(
            "answers are in memory only: nothing is stored. Set store in [cache]."
        )
    try:
        store = open_store(settings)
    except StoreFailed as error:
        raise ConfigError(f"the store of answers cannot be opened: {error}") from None
    with closing(store):
        yield store
