"""Files as tables: ``read_files(path, format => 'csv')`` and ``parquet.`path` ``, as DuckDB's functions read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from sqlglot import exp, parse_one

from aiquery.errors import StatementError
from aiquery.requests.sql_types import STRING, duckdb_name, parse_ddl
from aiquery.sql.databricks.positions import RefusedHere
from aiquery.sql.dialects import DuckDBSQL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlglot.expressions import Expr

FORMATS = ("csv", "json", "parquet", "text", "binaryfile")
_EXTENSIONS = {
    "csv": "csv", "tsv": "csv", "json": "json", "jsonl": "json", "ndjson": "json",
    "parquet": "parquet", "txt": "text",
}  # fmt: skip
_CSV_OPTIONS = {
    "sep": "delim", "delimiter": "delim", "quote": "quote", "escape": "escape", "comment": "comment",
    "nullvalue": "nullstr", "skiprows": "skip",
}  # fmt: skip
_IGNORED = {
    "inferschema", "infercolumntypes", "multiline", "pathglobfilter", "filenamepattern", "recursivefilelookup",
    "format", "header", "schema", "schemahints", "wholetext", "mergeschema", "mode", "encoding", "charset",
    "schemaevolutionmode", "rescueddatacolumn",
}  # fmt: skip
"""Options that are read below, or that change nothing here."""

_CANDIDATES = "['BOOLEAN', 'BIGINT', 'DOUBLE', 'DATE', 'TIMESTAMP', 'VARCHAR']"
_VISIBLE = "[!._]*"


@dataclass(frozen=True, slots=True)
class Files:
    """Files to read.

    format      one of ``FORMATS``
    paths       patterns of paths, or one path
    options     by their names in small letters
    is_inferred  the types of a CSV file's columns are inferred; else they are STRING
    is_rescuing  a column ``_rescued_data`` follows, as that of ``read_files``
    """

    format: str
    paths: tuple[str, ...]
    options: Mapping[str, str]
    is_inferred: bool = True
    is_rescuing: bool = False

    def has(self, option: str) -> bool:
        """Return True if a Boolean option is true."""
        return self.options.get(option, "").lower() == "true"


def read_function(node: exp.Anonymous) -> exp.Subquery:
    """Return the rows of ``read_files``. Raises ``StatementError`` for an option that is not supported."""
    if not node.expressions or not node.expressions[0].is_string:
        raise _refused("read_files: give the path as a text.", node)
    options = {}
    for argument in node.expressions[1:]:
        if not isinstance(argument, exp.Kwarg | exp.PropertyEQ):
            raise _refused(
                "read_files: name every option: read_files(path, format => 'csv').",
                node,
            )
        options[argument.this.name.lower()] = _option(argument.expression)
    path = node.expressions[0].name
    files = Files(
        format=_format(options.get("format"), path),
        paths=(expand(path, options),),
        options=options,
        is_inferred=options.get("infercolumntypes", "true").lower() == "true",
        is_rescuing="schema" not in options,
    )
    return as_subquery(files)


def read_path(node: exp.Table) -> exp.Subquery | None:
    """Return the rows of a file whose name is that of a table: ``csv.`path` ``; None for another table."""
    kind = node.db.lower()
    is_path = isinstance(node.this, exp.Identifier) and "/" in node.name
    if kind not in FORMATS or not is_path:
        return None
    files = Files(kind, (expand(node.name, {}),), {}, is_inferred=False)
    return as_subquery(files)


def expand(path: str, options: Mapping[str, str]) -> str:
    """Return the pattern of the files that a path stands for: all of a folder that do not begin with . or _."""
    path = without_scheme(path)
    pattern = options.get("pathglobfilter") or options.get("filenamepattern")
    if Path(path).is_dir() or path.endswith("/"):
        return f"{path.rstrip('/')}/**/{pattern or _VISIBLE}"
    return path


def without_scheme(path: str) -> str:
    """Return a path without ``file:`` or ``file://`` before it."""
    return path.removeprefix("file://").removeprefix("file:")


def as_subquery(files: Files) -> exp.Subquery:
    """Return the query that reads files, as an item of FROM in DuckDB's dialect."""
    unknown = set(files.options) - _IGNORED - set(_CSV_OPTIONS)
    if unknown:
        raise StatementError(
            f"reading files: the option {min(unknown)!r} is not supported on DuckDB."
        )
    encoding = files.options.get("encoding") or files.options.get("charset") or "utf-8"
    if encoding.lower() not in {"utf-8", "utf8"}:
        raise StatementError(
            f"reading files: the encoding {encoding} is not supported on DuckDB; write the file as UTF-8."
        )
    query = parse_one(_QUERIES[files.format](files), read=DuckDBSQL)
    if not isinstance(query, exp.Select):
        raise AssertionError(query)  # noqa: TRY004  it is ours
    if files.is_rescuing and files.format in {"csv", "json", "parquet"}:
        column = exp.alias_(exp.cast(exp.null(), "text"), "_rescued_data")
        query = query.select(column)
    return query.subquery()


def has_header(files: Files) -> bool:
    """Return True if the columns have names, so that they can go to columns of the same names."""
    return files.format != "csv" or files.has("header") or "schema" in files.options


def _format(given: str | None, path: str) -> str:
    if given is None:
        extension = Path(path).suffix.lower().lstrip(".")
        given = _EXTENSIONS.get(extension, "")
        if not given:
            raise StatementError(
                f"read_files: the format of {path!r} is not known from its name; add format => 'csv', 'json', "
                "'parquet', 'text' or 'binaryFile'."
            )
    if given.lower() not in FORMATS:
        raise StatementError(
            f"read_files: the format {given!r} is not supported on DuckDB; it reads csv, json, parquet, text and "
            "binaryFile."
        )
    return given.lower()


def _option(node: Expr) -> str:
    return str(node.name if isinstance(node, exp.Literal) else node.sql().lower())


def _refused(message: str, node: Expr) -> StatementError:
    return RefusedHere(message, node.meta.get("start"))


def _quote(text: str) -> str:
    return str(exp.Literal.string(text).sql("duckdb"))


def _paths(files: Files) -> str:
    return "[" + ", ".join(_quote(path) for path in files.paths) + "]"


def _columns(ddl: str) -> str:
    """Return a DDL schema as DuckDB's options take it: {'a': 'BIGINT'}."""
    fields = parse_ddl(ddl).fields or (("value", STRING),)
    pairs = [f"{_quote(name)}: {_quote(duckdb_name(kind))}" for name, kind in fields]
    return "{" + ", ".join(pairs) + "}"


def _csv(files: Files) -> str:
    given = files.options.get("mode", "")
    mode = given.lower()
    arguments = [
        f"header = {str(files.has('header')).lower()}",
        "allow_quoted_nulls = false",
        f"ignore_errors = {str(mode == 'dropmalformed').lower()}",
    ]
    for name, option in _CSV_OPTIONS.items():
        if name in files.options:
            value = files.options[name]
            arguments.append(
                f"{option} = {value if option == 'skip' else _quote(value)}"
            )
    has_delimiter = any(one.startswith("delim") for one in arguments)
    if not has_delimiter:
        arguments.append("delim = ','")
    if "schema" in files.options:
        arguments.append(f"columns = {_columns(files.options['schema'])}")
    elif not files.is_inferred:
        arguments.append("all_varchar = true")
    else:
        arguments.append(f"auto_type_candidates = {_CANDIDATES}")
    if "schemahints" in files.options:
        arguments.append(f"types = {_columns(files.options['schemahints'])}")
    names = "*" if has_header(files) else r"COLUMNS('^column0*(\d+)$') AS '_c\1'"
    return f"SELECT {names} FROM read_csv({_paths(files)}, {', '.join(arguments)})"


def _json(files: Files) -> str:
    shape = "auto" if files.has("multiline") else "newline_delimited"
    reads = f"{_paths(files)}, format = '{shape}'"
    if "schema" in files.options:
        columns = _columns(files.options["schema"])
    else:
        columns = _infer_columns(f"read_json({reads})")
    return f"SELECT * FROM read_json({reads}, columns = {columns})"


def _infer_columns(function: str) -> str:
    """Return the columns of JSON files as Spark infers them: in the order of their names, a date is a STRING."""
    with duckdb.connect() as raw:
        try:
            rows = raw.execute(f"DESCRIBE SELECT * FROM {function}").fetchall()
        except duckdb.Error as error:
            raise StatementError(f"the files cannot be read: {error}") from None
    kinds = {str(row[0]): _without_dates(str(row[1])) for row in sorted(rows)}
    return "{" + ", ".join(f"{_quote(k)}: {_quote(v)}" for k, v in kinds.items()) + "}"


def _without_dates(kind: str) -> str:
    for one in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP", "DATE", "TIME", "UUID"):
        kind = kind.replace(one, "VARCHAR")
    return "VARCHAR" if kind == "JSON" else kind


def _parquet(files: Files) -> str:
    merges = str(files.has("mergeschema")).lower()
    return f"SELECT * FROM read_parquet({_paths(files)}, union_by_name = {merges})"


def _text(files: Files) -> str:
    if files.has("wholetext"):
        return f"SELECT content AS value FROM read_text({_paths(files)})"
    lines = r"regexp_split_to_array(regexp_replace(content, '\r?\n$|\r$', ''), '\r\n|\n|\r')"
    return f"SELECT unnest({lines}) AS value FROM read_text({_paths(files)}) WHERE content <> ''"


def _binary_file(files: Files) -> str:
    return (
        "SELECT CASE WHEN filename LIKE '/%' THEN 'file:' || filename ELSE filename END AS path, "
        'last_modified AS "modificationTime", size AS length, content '
        f"FROM read_blob({_paths(files)})"
    )


_QUERIES = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
    "text": _text,
    "binaryfile": _binary_file,
}
