"""``COPY INTO table FROM files``: each file is loaded once, also when the statement runs again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.files import FORMATS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlglot.expressions import Expr

FILES = "aiquery_files"
"""The name of the files' rows in ``CopyInto.query``."""

_KNOWN = {"FILEFORMAT", "FILES", "PATTERN", "FORMAT_OPTIONS", "COPY_OPTIONS"}


@dataclass(frozen=True, slots=True)
class CopyInto:
    """The files to load into a table.

    path      a file, or a folder
    query     the expressions for the columns of a file, whose rows it names ``files``; None: all columns
    files     the names of the files in the folder; empty: all, or those of ``pattern``
    options   of the format, by their names in small letters
    forces    files that were loaded before are loaded again
    merges    columns that the table lacks are added
    """

    table: exp.Table
    path: str
    query: exp.Select | None
    format: str
    files: tuple[str, ...]
    pattern: str
    options: Mapping[str, str]
    forces: bool
    merges: bool


def read_copy_into(tree: exp.Copy) -> CopyInto:
    """Read the statement. Raises ``StatementError`` for a format or a part that is not supported."""
    parts = {str(one.this.name).upper(): one for one in tree.args.get("params") or ()}
    unknown = set(parts) - _KNOWN
    if unknown or len(tree.args["files"]) != 1:
        raise StatementError(
            f"COPY INTO: {', '.join(sorted(unknown)) or 'several sources'} is not supported on DuckDB."
        )
    if not isinstance(tree.this, exp.Table):
        raise StatementError(
            "COPY INTO: a list of columns is not supported on DuckDB; select them: FROM (SELECT a, b FROM ..)."
        )
    path, query = _read_source(tree.args["files"][0])
    kind = _text_of(parts, "FILEFORMAT").lower()
    if kind not in FORMATS:
        raise StatementError(
            f"COPY INTO: FILEFORMAT = {kind.upper() or '(none)'} is not supported on DuckDB; it reads CSV, JSON, "
            "PARQUET, TEXT and BINARYFILE."
        )
    copy_options = _read_options(parts.get("COPY_OPTIONS"))
    return CopyInto(
        table=tree.this,
        path=path,
        query=query,
        format=kind,
        files=_read_files(parts.get("FILES")),
        pattern=_text_of(parts, "PATTERN"),
        options=_read_options(parts.get("FORMAT_OPTIONS")),
        forces=copy_options.get("force", "false").lower() == "true",
        merges=copy_options.get("mergeschema", "false").lower() == "true",
    )


def _text_of(parts: Mapping[str, Expr], name: str) -> str:
    value = parts[name].args.get("expression") if name in parts else None
    return "" if value is None else str(value.name)


def _read_source(source: Expr) -> tuple[str, exp.Select | None]:
    if isinstance(source, exp.Literal):
        return source.name, None
    query = source.this if isinstance(source, exp.Subquery) else source
    if not isinstance(query, exp.Select):
        query = exp.Select()
    table = query.find(exp.Table)
    if table is None or "/" not in table.name:
        raise StatementError(
            "COPY INTO: the source is a path, or (SELECT .. FROM 'path')."
        )
    path = table.name
    for item in query.expressions:  # ``id::int`` is loaded into the column id
        if isinstance(item, exp.Cast) and isinstance(item.this, exp.Column):
            item.replace(exp.alias_(item.copy(), item.this.name, quoted=True))
    table.set("this", exp.to_identifier(FILES))
    return path, query


def _read_options(part: Expr | None) -> dict[str, str]:
    if part is None:
        return {}
    return {
        one.this.name.lower(): one.args["value"].name
        for one in part.expressions or ()
        if isinstance(one, exp.Property)
    }


def _read_files(part: Expr | None) -> tuple[str, ...]:
    if part is None:
        return ()
    listed = part.expressions or [part.expression]
    return tuple(
        literal.name for one in listed for literal in one.find_all(exp.Literal)
    )
