"""Java's patterns of dates: ``date_format``, ``to_date``, ``to_timestamp`` and the others that take one.

Spark parses as ``java.time`` does: two letters are two digits, and nothing may be left over. DuckDB's ``strptime`` is
lenient, so the shape of a text is compared first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.casts import translate_cast
from aiquery.sql.databricks.lambdas import call
from aiquery.sql.databricks.positions import RefusedHere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlglot.expressions import Expr

_NO_MATCH = (
    "ELSE error('[CANNOT_PARSE_TIMESTAMP] The text ' || value::VARCHAR || ' does not have the pattern. "
    "Use try_to_timestamp for NULL instead.') "
)
_TEXT = "value::VARCHAR"
_WITH_OFFSET = "regexp_replace(value::VARCHAR, 'Z$', '+00:00')"


def _parse(kind: str, parsed: str, otherwise: str = "") -> str:
    """Return a macro of a value, a format and a shape: what is parsed if the text has the shape."""
    return (
        f"(value, form, shape) AS CASE WHEN typeof(value) <> 'VARCHAR' THEN value::{kind} "
        f"WHEN regexp_full_match(value::VARCHAR, shape) THEN {parsed} {otherwise}END"
    )


MACROS = {
    "_parse_time": _parse("TIMESTAMP", f"strptime({_TEXT}, form)", _NO_MATCH),
    "_parse_moment": _parse(
        "TIMESTAMPTZ", f"strptime({_WITH_OFFSET}, form)", _NO_MATCH
    ),
    "_try_parse_time": _parse("TIMESTAMP", f"try_strptime({_TEXT}, form)"),
    "_try_parse_moment": _parse("TIMESTAMPTZ", f"try_strptime({_WITH_OFFSET}, form)"),
    "_in_this_century": "(value) AS CASE WHEN year(value) < 2000 THEN value + INTERVAL 100 YEAR ELSE value END",
    "_fraction": "(value, digits) AS left(lpad((epoch_us(value) % 1000000)::VARCHAR, 6, '0'), digits)",
}

_TOKEN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|([^A-Za-z']+)")
_SHOWN = {
    "y": "%Y", "yy": "%y", "yyy": "%Y", "yyyy": "%Y", "M": "%-m", "MM": "%m", "MMM": "%b", "MMMM": "%B",
    "L": "%-m", "LL": "%m", "LLL": "%b", "LLLL": "%B", "d": "%-d", "dd": "%d", "D": "%-j", "DDD": "%j",
    "E": "%a", "EE": "%a", "EEE": "%a", "EEEE": "%A", "H": "%-H", "HH": "%H", "h": "%-I", "hh": "%I",
    "m": "%-M", "mm": "%M", "s": "%-S", "ss": "%S", "a": "%p",
}  # fmt: skip
_DIGITS = {
    "yyyy": 4,
    "yy": 2,
    "MM": 2,
    "dd": 2,
    "DDD": 3,
    "HH": 2,
    "hh": 2,
    "mm": 2,
    "ss": 2,
}
_LOOSE = {"y": 4, "M": 2, "d": 2, "D": 3, "H": 2, "h": 2, "m": 2, "s": 2}
_NAMES = {"MMM", "MMMM", "E", "EE", "EEE", "EEEE", "a"}
_ZONES = {"XXX", "xxx", "ZZZZZ"}
_MAX_FRACTION = 6


def _tokens(pattern: str, node: Expr) -> Iterator[tuple[str, str]]:
    """Yield the letters of a pattern, and its literal texts: pairs, one of which is empty."""
    end = 0
    for match in _TOKEN.finditer(pattern):
        if match.start() != end:
            break
        end = match.end()
        if match[1] is not None:
            yield "", match[1].replace("''", "'") or "'"
        elif match[2] is not None:
            yield match[0], ""
        else:
            yield "", match[3]
    if end != len(pattern) or "[" in pattern:
        raise _refused(pattern, "optional parts, or an open quote,", node)


def _refused(pattern: str, what: str, node: Expr) -> RefusedHere:
    return RefusedHere(
        f"the pattern {pattern!r}: {what} cannot be used on DuckDB; use extract(..) or a text function.",
        node.meta.get("start"),
    )


def format_time(value: Expr, pattern: Expr, node: Expr) -> Expr:
    """Return the text of a time in a pattern. Raises ``StatementError`` for a letter that DuckDB does not write."""
    text = _literal(pattern, node)
    pieces: list[Expr] = []
    form = ""
    for letters, literal in _tokens(text, node):
        if not letters:
            form += literal.replace("%", "%%")
        elif letters in _SHOWN:
            form += _SHOWN[letters]
        else:
            special = _special(value, letters, text, node)
            pieces.extend(_strftime(value, form))
            pieces.append(special)
            form = ""
    pieces.extend(_strftime(value, form))
    if not pieces:
        return exp.Literal.string("")
    made = pieces[0]
    for piece in pieces[1:]:
        made = exp.DPipe(this=made, expression=piece, safe=True)  # NULL for no time
    return exp.paren(made) if len(pieces) > 1 else made


def _strftime(value: Expr, form: str) -> list[Expr]:
    """Return the call for a part of a pattern in a list, which is empty for an empty part."""
    if not form:
        return []
    time = exp.cast(value.copy(), exp.DataType.build("TIMESTAMP", dialect="duckdb"))
    return [call("strftime", time, exp.Literal.string(form))]


def _special(value: Expr, letters: str, pattern: str, node: Expr) -> Expr:
    """Return the part of a time that ``strftime`` has no letter for."""
    if set(letters) == {"S"} and len(letters) <= _MAX_FRACTION:
        time = exp.cast(value.copy(), exp.DataType.build("TIMESTAMP", dialect="duckdb"))
        return call("databricks__fraction", time, exp.Literal.number(len(letters)))
    if letters in {"Q", "q"}:
        return exp.cast(call("databricks_quarter", value.copy()), "TEXT")
    if letters in {"QQQ", "qqq"}:
        return call(
            "concat", exp.Literal.string("Q"), call("databricks_quarter", value.copy())
        )
    raise _refused(pattern, f"the letters {letters}", node)


def _literal(pattern: Expr, node: Expr) -> str:
    if not pattern.is_string:
        raise RefusedHere(
            f"{str(node.this).lower()}: on DuckDB the pattern must be a text literal.",
            node.meta.get("start"),
        )
    return str(pattern.name)


def parse_time(
    value: Expr, pattern: Expr, node: Expr, *, is_tried: bool = False
) -> Expr:
    """Return the moment that a text in a pattern is, or with ``is_tried`` NULL for another text.

    Raises ``StatementError`` for a letter that DuckDB cannot read.
    """
    text = _literal(pattern, node)
    form = ""
    shape = "(?i)"
    letters_seen: set[str] = set()
    for letters, literal in _tokens(text, node):
        letters_seen.add(letters)
        if not letters:
            form += literal.replace("%", "%%")
            shape += re.escape(literal)
        else:
            read, expected = _reading(letters, text, node)
            form += read
            shape += expected
    has_zone = bool(letters_seen & _ZONES)
    verb = "try_parse" if is_tried else "parse"
    macro = f"databricks__{verb}_{'moment' if has_zone else 'time'}"
    made: Expr = call(
        macro, value.copy(), exp.Literal.string(form), exp.Literal.string(shape)
    )
    if "yy" in letters_seen:
        made = call("databricks__in_this_century", made)
    if not letters_seen & {"y", "yy", "yyyy"}:
        years = exp.Interval(this=exp.Literal.string("70"), unit=exp.var("YEAR"))
        made = exp.Add(
            this=made, expression=years
        )  # Java begins in 1970, DuckDB in 1900
    return made if has_zone else call("databricks__moment", made)


def _reading(letters: str, pattern: str, node: Expr) -> tuple[str, str]:
    """Return how ``strptime`` reads letters, and the regular expression of their texts."""
    if letters in _DIGITS:
        return _SHOWN[letters], rf"\d{{{_DIGITS[letters]}}}"
    if letters in _LOOSE:
        return _SHOWN[letters].replace("%-j", "%j"), rf"\d{{1,{_LOOSE[letters]}}}"
    if letters in _NAMES:
        return _SHOWN[letters], "[a-z]+"
    if set(letters) == {"S"} and len(letters) <= _MAX_FRACTION:
        return "%f", rf"\d{{{len(letters)}}}"
    if letters in _ZONES:
        return "%z", r"([+-]\d\d:\d\d|Z)"
    raise _refused(pattern, f"the letters {letters}", node)


def _date_format(node: exp.Anonymous) -> Expr:
    value, pattern = node.expressions
    return format_time(value, pattern, node)


def _from_unixtime(node: exp.Anonymous) -> Expr:
    seconds, *pattern = node.expressions
    moment = call("to_timestamp", exp.cast(seconds.copy(), "BIGINT"))
    form = pattern[0] if pattern else exp.Literal.string("yyyy-MM-dd HH:mm:ss")
    return format_time(moment, form, node)


def _to(kind: str, *, is_tried: bool = False) -> Callable[[exp.Anonymous], Expr]:
    """Return the translation of a function that reads a text as a date or a time."""

    def make(node: exp.Anonymous) -> Expr:
        value, *pattern = node.expressions
        target = exp.DataType.build(kind, dialect="duckdb")
        if not pattern:
            cast = exp.TryCast if is_tried else exp.Cast
            return translate_cast(cast(this=value.copy(), to=target))
        return exp.cast(parse_time(value, pattern[0], node, is_tried=is_tried), target)

    return make


def _unix_timestamp(node: exp.Anonymous) -> Expr:
    value, *pattern = node.expressions or [None]
    if value is None:
        return call("databricks__unix_time")
    if not pattern:
        return call("databricks__unix_time", value)
    return call("databricks__unix_time", parse_time(value, pattern[0], node))


REWRITES: dict[str, Callable[[exp.Anonymous], Expr]] = {
    "date_format": _date_format,
    "from_unixtime": _from_unixtime,
    "to_date": _to("DATE"),
    "to_timestamp": _to("TIMESTAMPTZ"),
    "to_timestamp_ltz": _to("TIMESTAMPTZ"),
    "to_timestamp_ntz": _to("TIMESTAMP"),
    "try_to_date": _to("DATE", is_tried=True),
    "try_to_timestamp": _to("TIMESTAMPTZ", is_tried=True),
    "unix_timestamp": _unix_timestamp,
    "to_unix_timestamp": _unix_timestamp,
}
