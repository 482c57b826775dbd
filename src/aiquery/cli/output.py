"""What commands print: rich on a terminal, plain when piped."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb

Format = Literal["table", "csv", "json", "parquet"]

ROWS_ON_TERMINAL = 50
LOG_HELP = "Log progress every 30 seconds and at the end, for files and pipes."
PLAIN_WIDTH = 100_000


def console() -> Console:
    """Return the console for results; a pipe gets the full width and no colour."""
    return Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH, no_color=True)


def errors() -> Console:
    """Return the console for errors and progress."""
    return Console(stderr=True)


def print_table(columns: Iterable[str], rows: Iterable[Iterable[object]], title: str | None = None) -> None:
    """Print rows; NULL is shown as such."""
    out = console()
    table = Table(title=title, box=box.SIMPLE_HEAD if out.is_terminal else None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("NULL" if value is None else _text(value) for value in row))
    out.print(table)


def _text(value: object) -> str:
    return escape(str(value))  # rows hold users' text: never markup


def write(relation: duckdb.DuckDBPyRelation, kind: Format, output: Path | None) -> None:
    """Print a result, or write it to ``output``."""
    if output is None and kind == "table":
        _print_result(relation)
    elif output is not None:
        _copy(relation, kind if kind != "table" else _kind_of(output), output)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "result"
            _copy(relation, kind, path)
            with path.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.flush()


def _kind_of(output: Path) -> Format:
    by_suffix: dict[str, Format] = {".parquet": "parquet", ".json": "json"}
    return by_suffix.get(output.suffix.lower(), "csv")


def _print_result(relation: duckdb.DuckDBPyRelation) -> None:
    count = len(relation)
    shown = relation.limit(ROWS_ON_TERMINAL) if sys.stdout.isatty() else relation
    print_table(relation.columns, shown.fetchall())
    if sys.stdout.isatty() and count > ROWS_ON_TERMINAL:
        errors().print(f"{ROWS_ON_TERMINAL} of {count} rows; --output FILE writes all of them.")


def _copy(relation: duckdb.DuckDBPyRelation, kind: Format, path: Path) -> None:
    if kind == "parquet":
        relation.write_parquet(str(path))
    elif kind == "csv":
        relation.write_csv(str(path), header=True)
    else:
        import duckdb

        quoted = str(path).replace("'", "''")
        with duckdb.connect() as con:
            con.register("result", relation.to_arrow_table())
            con.execute(f"COPY result TO '{quoted}' (FORMAT json, ARRAY true)")


def follow(*, log: bool) -> None:
    """Show how statements get on: on a terminal, or with ``log`` as lines with the time on standard error."""
    from aiquery.report.line import show_progress

    if log:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
        show_progress("log")


@contextmanager
def account_of() -> Iterator[None]:
    """Say on a terminal what a statement did, if it asked anything."""
    from aiquery.watch import last_run

    before = last_run()
    yield
    after = last_run()
    if after is not None and (before is None or after.run != before.run):
        out = errors()
        if out.is_terminal:
            out.print(str(after), highlight=False, markup=False)
