"""What commands print: rich on a terminal, plain when piped."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb

    from aiquery.inference.ledger import Ledger

Format = Literal["table", "csv", "json", "parquet"]

ROWS_ON_TERMINAL = 50
PLAIN_WIDTH = 100_000
_REFRESH_S = 0.2


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


def summary(ledger: Ledger, started: float) -> str:
    """Return one line: requests, tokens, cost where the price is known, time."""
    totals = ledger.totals.values()
    attempts = sum(t.attempts for t in totals)
    tokens_in, tokens_out = sum(t.tokens_in for t in totals), sum(t.tokens_out for t in totals)
    cached = sum(t.tokens_cached for t in totals)
    cost = sum(t.cost_usd for t in totals)
    money = f", {cost:.4f} USD" if cost else ""
    return (
        f"{attempts:,} requests, {tokens_in:,} tokens in ({cached:,} cached), {tokens_out:,} out{money}, "
        f"{time.monotonic() - started:.1f} s"
    )


@contextmanager
def progress(ledger: Ledger, label: str) -> Iterator[None]:
    """Show on a terminal how many requests were answered so far; nothing when piped."""
    out = errors()
    if not out.is_terminal:
        yield
        return
    started, done = time.monotonic(), Event()
    with out.status(label) as status:

        def refresh() -> None:
            while not done.wait(_REFRESH_S):
                status.update(f"{label}: {summary(ledger, started)}")

        thread = Thread(target=refresh, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
