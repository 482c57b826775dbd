"""The output of commands: rich on a terminal, plain in a pipe."""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aiquery.outgoing_text import make_visible
from aiquery.requests.sql_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb

Format = Literal["table", "csv", "tsv", "json", "jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("table", "csv", "tsv", "json", "jsonl", "parquet")

_FORMULA = r"^[=+@\t\r\n-]"
_AFTER_QUOTE = r"''\0"
_TEXT_TYPES = frozenset({"VARCHAR", "JSON", "ENUM", "UNION", "BLOB", "VARIANT"})
"""Types whose texts may begin with any character. A spreadsheet should read a negative number as one."""

ROWS_ON_TERMINAL = 50
PLAIN_WIDTH = 100_000


class SafeConsole(Console):
    """Shows control characters of texts as escapes: a terminal would obey them."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as ``rich`` does; texts are made visible."""
        shown = [make_visible(one) if isinstance(one, str) else one for one in objects]
        super().print(*shown, **options)


def console() -> SafeConsole:
    """Return the console for results; a pipe gets the full width and no colour."""
    if sys.stdout.isatty():
        return SafeConsole()
    return SafeConsole(width=PLAIN_WIDTH, no_color=True)


def errors() -> SafeConsole:
    """Return the console for errors and progress; a pipe gets the full width, so that commands in it stay whole."""
    if sys.stderr.isatty():
        return SafeConsole(stderr=True)
    return SafeConsole(stderr=True, width=PLAIN_WIDTH, no_color=True)


def to_cells(row: Iterable[object]) -> list[Text]:
    """Return the cells of a row; NULL is shown as such."""
    # Text, not str: rows hold users' text, which must not be read as markup or emoji names.
    return [
        Text("NULL" if value is None else make_visible(str(value))) for value in row
    ]


def print_table(
    columns: Iterable[str], rows: Iterable[Iterable[object]], title: str | None = None
) -> None:
    """Print rows; NULL is shown as such."""
    out = console()
    table = Table(
        title=title, box=box.SIMPLE_HEAD if out.is_terminal else None, pad_edge=False
    )
    for column in columns:
        table.add_column(Text(make_visible(column)), overflow="fold")
    for row in rows:
        table.add_row(*to_cells(row))
    out.print(table)


def write(
    relation: duckdb.DuckDBPyRelation,
    kind: Format,
    output: Path | None,
    *,
    safe_csv: bool = False,
) -> None:
    """Print a result, or write it to ``output``; ``safe_csv``: no text of a CSV file is a formula."""
    if output is not None and kind == "table":
        kind = _kind_of(output)
    if safe_csv:
        if kind not in {"csv", "tsv"}:
            raise typer.BadParameter("--safe-csv is for the formats csv and tsv.")
        relation = _without_formulas(relation)
    if output is not None:
        _copy(relation, kind, output)
    elif kind == "table":
        _print_result(relation)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "result"
            _copy(relation, kind, path)
            _send(path, is_text=kind != "parquet")


def _send(path: Path, *, is_text: bool) -> None:
    """Write a file to standard output; on a terminal, control characters become escapes."""
    with path.open("rb") as file:
        if is_text and sys.stdout.isatty():
            for line in file:
                sys.stdout.write(make_visible(line.decode("utf-8", "replace")))
        else:
            shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.flush()


def _without_formulas(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Return a result in which ``'`` stands before each text that a spreadsheet would read as a formula.

    See https://owasp.org/www-community/attacks/CSV_Injection.
    """
    columns = []
    for name, kind in _columns(relation):
        value = quote_name(name)
        if str(kind).partition("(")[0] in _TEXT_TYPES:
            value = f"regexp_replace(CAST({value} AS VARCHAR), '{_FORMULA}', '{_AFTER_QUOTE}')"
        shown = f"'{name}" if re.match(_FORMULA, name) else name
        columns.append(f"{value} AS {quote_name(shown)}")
    return relation.project(", ".join(columns))


def _kind_of(output: Path) -> Format:
    """Return the format of a file's suffix. Raises ``BadParameter`` for an unknown suffix."""
    by_suffix: dict[str, Format] = {
        ".csv": "csv",
        ".tsv": "tsv",
        ".json": "json",
        ".jsonl": "jsonl",
        ".ndjson": "jsonl",
        ".parquet": "parquet",
    }
    found = by_suffix.get(output.suffix.lower())
    if found is None:
        raise typer.BadParameter(
            f"--output {output}: its suffix is not a format; end it with {', '.join(by_suffix)}, or use --format "
            f"{', '.join(FORMATS[1:])}."
        )
    return found


def _print_result(relation: duckdb.DuckDBPyRelation) -> None:
    count = len(relation)
    shown = relation.limit(ROWS_ON_TERMINAL) if sys.stdout.isatty() else relation
    print_table(relation.columns, shown.fetchall())
    if sys.stdout.isatty() and count > ROWS_ON_TERMINAL:
        errors().print(
            f"{ROWS_ON_TERMINAL} of {count} rows; --output FILE writes all of them."
        )


def _copy(relation: duckdb.DuckDBPyRelation, kind: Format, path: Path) -> None:
    if kind == "parquet":
        relation.write_parquet(str(path))
    elif kind in {"csv", "tsv"}:
        relation.write_csv(str(path), sep="\t" if kind == "tsv" else ",", header=True)
    else:
        _copy_json(relation, path, array=kind == "json")


def _copy_json(relation: duckdb.DuckDBPyRelation, path: Path, *, array: bool) -> None:
    """Write JSON: a JSON column as its content, a number that JSON does not have as its name ("NaN")."""
    named = [(quote_name(name), str(kind)) for name, kind in _columns(relation)]
    for name, kind in named:
        if _is_nested(kind):
            _check_numbers(relation.project(f"to_json({name})"), name)
    quoted = str(path).replace("'", "''")
    columns = ", ".join(f"{_as_json(name, kind)} AS {name}" for name, kind in named)
    rows = relation.project(columns)
    rows.query(
        "result", f"COPY result TO '{quoted}' (FORMAT json, ARRAY {str(array).lower()})"
    )


def _check_numbers(texts: duckdb.DuckDBPyRelation, name: str) -> None:
    def reject(constant: str) -> None:
        raise typer.BadParameter(
            f"--format json: {name} holds {constant}, which JSON does not have; write csv or parquet, or cast it."
        )

    for batch in texts.to_arrow_reader(10_000):
        for text in batch.column(0).to_pylist():
            json.loads(text or "null", parse_constant=reject)


def _columns(relation: duckdb.DuckDBPyRelation) -> Iterator[tuple[str, object]]:
    yield from zip(relation.columns, relation.types, strict=True)


def _is_nested(kind: str) -> bool:
    return ("DOUBLE" in kind or "FLOAT" in kind) and kind not in {"DOUBLE", "FLOAT"}


def _as_json(name: str, kind: str) -> str:
    if kind in {"DOUBLE", "FLOAT"}:
        return f"CASE WHEN isfinite({name}) THEN to_json({name}) ELSE to_json(CAST({name} AS VARCHAR)) END"
    return f"CAST({name} AS VARCHAR)" if kind in {"BIT", "UUID"} else name


def show_statement_progress(*, log: bool) -> None:
    """Show the progress of statements on a terminal, or with ``log`` as lines with the time on standard error."""
    from aiquery.reporting.progress import show_progress

    if log:
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr
        )
        show_progress("log")


@contextmanager
def print_last_run() -> Iterator[None]:
    """Print the figures of a statement on a terminal, if it had AI calls."""
    from aiquery.tracking.active import last_run

    before = last_run()
    yield
    after = last_run()
    if after is not None and (before is None or after.run != before.run):
        out = errors()
        if out.is_terminal:
            out.print(str(after), highlight=False, markup=False)
