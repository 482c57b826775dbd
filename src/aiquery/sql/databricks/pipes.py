"""Pipe syntax: ``FROM t |> WHERE .. |> SELECT ..``. Each operator works on the rows that the one before it returns.

sqlglot adds operators to one SELECT: a WHERE after LIMIT would filter first. Here a query becomes a subquery before an
operator that its SELECT would apply too early. The subquery has the alias of the only table, which later operators may
name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from aiquery.errors import StatementError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

_PLAIN = frozenset(
    {"expressions", "from_", "joins", "laterals", "where", "with_", "kind"}
)
_JOINS = ("JOIN", "INNER", "CROSS", "LEFT", "RIGHT", "FULL", "NATURAL", "SEMI", "ANTI")


def _is_plain(query: Expr, *also: str) -> bool:
    """Return True if a query only filters the rows of its tables; ``also`` are further parts that it may have."""
    if not isinstance(query, exp.Select):
        return False
    parts = {name for name, value in query.args.items() if value}
    is_all = [type(one) for one in query.expressions] == [exp.Star]
    is_all = is_all and not any(query.expressions[0].args.values())
    return is_all and parts <= _PLAIN | set(also)


def _wrap(query: Any, *allowed: str) -> Any:
    """Return a query that only filters the rows of its tables: the same one, or one over it."""
    return query if _is_plain(query, *allowed) else _select_from(query)


def _select_from(query: Any) -> Any:
    """Return a query of all columns of the rows of another one, whose CTEs it takes over."""
    with_ = query.args.get("with_")
    if with_ is not None:
        with_.pop()
    outer = exp.select("*").from_(query.subquery(_alias(query)))
    if with_ is not None:
        outer.set("with_", with_)
    return outer


def _alias(query: Expr) -> str | None:
    """Return the name of the only table of a query, which its rows keep."""
    source = query.args.get("from_")
    if source is None or query.args.get("joins"):
        return None
    is_all = isinstance(query, exp.Select) and query.is_star
    return source.this.alias_or_name if is_all else None


def _where(parser: Any, query: Any) -> Any:
    return _wrap(query).where(parser._parse_where(), copy=False)  # noqa: SLF001


def _order(parser: Any, query: Any) -> Any:
    order = parser._parse_order()  # noqa: SLF001
    return _wrap(query).order_by(order, append=False, copy=False)


def _distinct(parser: Any, query: Any) -> Any:
    parser._advance()  # noqa: SLF001
    return _wrap(query).distinct(copy=False)


def _limit(parser: Any, query: Any) -> Any:
    return parser._parse_pipe_syntax_limit(_wrap(query, "order"))  # noqa: SLF001


def _select(parser: Any, query: Any) -> Any:
    select = parser._parse_select(consume_pipe=False)  # noqa: SLF001
    made = _wrap(query).select(*select.expressions, append=False, copy=False)
    for part in ("distinct", "windows"):
        made.set(part, select.args.get(part))
    return made


def _extend(parser: Any, query: Any) -> Any:
    parser._match_text_seq("EXTEND")  # noqa: SLF001
    columns = parser._parse_expressions()  # noqa: SLF001
    return _wrap(query).select(exp.Star(), *columns, append=False, copy=False)


def _aggregate(parser: Any, query: Any) -> Any:
    return parser._parse_pipe_syntax_aggregate(_wrap(query))  # noqa: SLF001


def _sample(parser: Any, query: Any) -> Any:
    sample = parser._parse_table_sample()  # noqa: SLF001
    made = _as_table(query)
    made.args["from_"].this.set("sample", sample)
    return made


def _pivot(parser: Any, query: Any) -> Any:
    pivots = parser._parse_pivots()  # noqa: SLF001
    made = _as_table(query)
    made.args["from_"].this.set("pivots", pivots)
    return made


def _as_table(query: Any) -> Any:
    """Return a query of all columns of one table or subquery."""
    parts = {name for name, value in query.args.items() if value}
    if _is_plain(query) and parts <= {"expressions", "from_", "with_"}:
        return query
    return _select_from(query)


def _join(parser: Any, query: Any) -> Any:
    join = parser._parse_join()  # noqa: SLF001
    made = query if _has_no_filter(query) else _as_table(query)
    return made.join(join, copy=False)


def _has_no_filter(query: Expr) -> bool:
    return _is_plain(query) and not query.args.get("where")


def _set(parser: Any, query: Any) -> Any:
    parser._match_text_seq("SET")  # noqa: SLF001
    pairs = parser._parse_csv(parser._parse_disjunction)  # noqa: SLF001
    if not all(isinstance(pair, exp.EQ) for pair in pairs):
        raise StatementError("|> SET: write SET column = expression.")
    changed = [
        exp.alias_(pair.expression.copy(), pair.this.name, quoted=True)
        for pair in pairs
    ]
    star = exp.Star(replace=changed)
    return _wrap(query).select(star, append=False, copy=False)


def _drop(parser: Any, query: Any) -> Any:
    parser._match_text_seq("DROP")  # noqa: SLF001
    names = parser._parse_csv(parser._parse_id_var)  # noqa: SLF001
    star = exp.Star(except_=names)
    return _wrap(query).select(star, append=False, copy=False)


PIPE_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "WHERE": _where,
    "ORDER BY": _order,
    "DISTINCT": _distinct,
    "LIMIT": _limit,
    "OFFSET": _limit,
    "SELECT": _select,
    "EXTEND": _extend,
    "AGGREGATE": _aggregate,
    "TABLESAMPLE": _sample,
    "PIVOT": _pivot,
    "UNPIVOT": _pivot,
    "SET": _set,
    "DROP": _drop,
    **dict.fromkeys(_JOINS, _join),
}
"""The operators by their first words: functions of sqlglot's parser and the query so far."""
