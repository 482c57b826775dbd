"""A thin rewrite of SQL text: what DuckDB should do differently because a call costs a second, not a nanosecond.

Three things, each measured (see ARCHITECTURE.md): AI conditions go last in their AND; a call in a condition, or below
an outer filter over a join, becomes volatile, so that DuckDB does not push it below the join; ``TRY`` around a call
becomes the call's own error handling. A statement without AI functions is never touched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import ErrorLevel, exp, parse
from sqlglot.errors import ParseError, TokenError

from aiquery import plugins
from aiquery.engines.duckdb.databricks import to_duckdb_dialect
from aiquery.engines.duckdb.delta import paths_read
from aiquery.engines.duckdb.delta_writes import written
from aiquery.engines.duckdb.dialects import DatabricksSQL, DuckDBSQL
from aiquery.engines.duckdb.register import VOLATILE
from aiquery.errors import ArgumentError, StatementError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from aiquery.engines.duckdb.delta_merge import Merged
    from aiquery.engines.duckdb.delta_writes import Written

_ANALYZE = re.compile(r"\bexplain\s*\(?\s*analyze\b", re.IGNORECASE)
_EXPLAIN = re.compile(r"\s*explain\s+(?:(?:extended|formatted|codegen|cost|analyze)\s+)?", re.IGNORECASE)
_GUARDS = (exp.Window, exp.Qualify, exp.Group, exp.TableSample, exp.Try, exp.Order)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """One statement: ``sql`` is what DuckDB runs.

    ``tree`` is None where nothing was rewritten and nothing can be collected; ``original`` is the user's text, where
    DuckDB would understand it. ``reads`` and ``writes`` are paths of Delta tables. ``explained`` is the statement that
    an EXPLAIN is about, where it calls AI functions; ``text`` is what the user wrote, where that is another dialect.
    """

    sql: str
    tree: exp.Expr | None = None
    original: str | None = None
    planned_only: bool = False
    reads: tuple[str, ...] = ()
    writes: Written | Merged | None = None
    explained: Rewritten | None = None
    text: str = ""


def split(text: str, dialect: str) -> Iterator[Rewritten]:
    """Yield the statements of ``text``, rewritten.

    Raises ``StatementError`` with the position of an error, and ``ArgumentError`` for an unknown dialect.
    """
    if dialect not in {"duckdb", "databricks"}:
        raise ArgumentError(f"dialect {dialect!r} is not known; use 'duckdb' or 'databricks'.")
    if dialect == "databricks":
        yield from _split_databricks(text)
        return
    import duckdb

    try:
        statements = duckdb.extract_statements(text)
    except duckdb.ParserException as error:
        raise StatementError(f"the statement does not parse: {error}") from None
    for statement in statements:
        yield _duckdb_statement(statement)


def _duckdb_statement(statement: duckdb.Statement) -> Rewritten:
    sql = statement.query
    if statement.type.name in {"EXPLAIN", "PREPARE"} and not _ANALYZE.search(sql):
        return Rewritten(sql, planned_only=True, explained=_explained(sql))
    if not mentions_ai(sql):
        return Rewritten(sql)
    try:
        tree = parse(sql, read=DuckDBSQL, error_level=ErrorLevel.IMMEDIATE)[0]
    except (ParseError, TokenError):
        return Rewritten(sql)  # DuckDB knows more SQL than sqlglot: its own text is always right
    if tree is None or isinstance(tree, exp.Command):
        return Rewritten(sql)
    rewritten = _rewritten(tree.copy())
    return replace(rewritten, sql=sql if rewritten.tree in {None, tree} else rewritten.sql, original=sql)


def _explained(sql: str) -> Rewritten | None:
    found = _EXPLAIN.match(sql)
    if found is None or not mentions_ai(sql) or sql[found.end() :].startswith("("):
        return None
    (statement,) = split(sql[found.end() :], "duckdb")
    return statement


def _split_databricks(text: str) -> Iterator[Rewritten]:
    explained = _EXPLAIN.match(text)
    body = text[explained.end() :] if explained else text
    try:
        trees = parse(body, read=DatabricksSQL, error_level=ErrorLevel.IMMEDIATE)
    except (ParseError, TokenError) as error:
        raise StatementError(f"the statement does not parse as Databricks SQL: {_position(error)}") from None
    for tree in trees:
        if tree is None or isinstance(tree, exp.Semicolon):
            continue
        target = written(tree)
        for translated in to_duckdb_dialect(target.query if target else tree):
            rewritten = replace(
                _rewritten(translated), reads=paths_read(translated), writes=target, text=tree.sql(DatabricksSQL)
            )
            if explained:
                about = rewritten if rewritten.tree is not None else None
                rewritten = Rewritten(
                    f"EXPLAIN {rewritten.sql}", planned_only=True, reads=rewritten.reads, explained=about
                )
            yield rewritten


def _position(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if not details:
        return str(error)
    first = details[0]
    before, at, after = (first.get(part) or "" for part in ("start_context", "highlight", "end_context"))
    shown = f"{before[-40:]}>>{at}<<{after[:40]}".replace("\n", " ")
    return f"line {first.get('line')}, column {first.get('col')}: {first.get('description')} near: {shown}"


def _rewritten(tree: exp.Expr) -> Rewritten:
    if not calls_in(tree) or _defines(tree):
        return Rewritten(tree.sql("duckdb"))
    tree = tree.transform(_try_to_error_message)
    for select in tree.find_all(exp.Select):
        _ai_last(select)
        _choose_volatile(select)
    return Rewritten(tree.sql("duckdb"), tree)


def _defines(tree: exp.Expr) -> bool:
    """Say whether the statement only stores its query: a view or macro keeps the user's words."""
    return isinstance(tree, exp.Create) and tree.kind != "TABLE"


def mentions_ai(sql: str) -> bool:
    """Say quickly whether the text may call an AI function."""
    lower = sql.lower()
    return any(name in lower for name in plugins.functions())


def is_call(node: exp.Expr) -> bool:
    """Say whether ``node`` is a call of an AI function."""
    return isinstance(node, exp.Anonymous) and name_of(node) in plugins.functions()


def name_of(node: exp.Anonymous) -> str:
    """Return the function's name without the suffix of its volatile variant."""
    return str(node.this).lower().removesuffix(VOLATILE)


def calls_in(node: exp.Expr | None) -> list[exp.Expr]:
    """Return the AI calls at or below ``node``."""
    return [] if node is None else [found for found in node.walk() if is_call(found)]


def _try_to_error_message(node: exp.Expr) -> exp.Expr:
    """``TRY(ai(..))`` -> ``(ai(.., failOnError => false)).result``: the same NULLs without a second evaluation."""
    if not (isinstance(node, exp.Try) and is_call(node.this)):
        return node
    call = node.this
    named = {argument.this.name.lower() for argument in call.expressions if isinstance(argument, _NAMED)}
    positional = sum(not isinstance(argument, _NAMED) for argument in call.expressions)
    position = [p.name.lower() for p in plugins.functions()[name_of(call)].parameters].index("failonerror")
    if "failonerror" in named or positional > position:
        return node
    flag = exp.Kwarg(this=exp.to_identifier("failOnError"), expression=exp.false())
    quiet = exp.Anonymous(this=call.this, expressions=[*call.expressions, flag])
    return exp.Dot(this=exp.Paren(this=quiet), expression=exp.to_identifier("result"))


_NAMED = (exp.Kwarg, exp.PropertyEQ)


def _ai_last(select: exp.Select) -> None:
    """DuckDB keeps the written order of conditions it cannot prove harmless: put ours behind the cheap ones."""
    conditions = [select.args.get("where"), *(join.args.get("on") for join in select.args.get("joins") or ())]
    for clause in conditions:
        condition = clause.this if isinstance(clause, exp.Where) else clause
        if not isinstance(condition, exp.And):
            continue
        parts = list(condition.flatten())
        cheap = [part for part in parts if not calls_in(part)]
        costly = [part for part in parts if calls_in(part)]
        if cheap and costly:
            condition.replace(exp.and_(*(part.copy() for part in (*cheap, *costly)), wrap=False))


def _choose_volatile(select: exp.Select) -> None:
    grouped = {call.sql() for call in calls_in(select.args.get("group"))}
    sampled = select.args.get("sample") is not None
    sites = [*_condition_calls(select), *_projections_below_filter(select)]
    for call in sites:
        if sampled or call.sql() in grouped or _guarded(call, select):
            continue
        call.set("this", f"{name_of(call)}{VOLATILE}")  # type: ignore[arg-type]


def _condition_calls(select: exp.Select) -> list[exp.Expr]:
    clauses: list[exp.Expr | None] = [select.args.get("where"), select.args.get("having")]
    clauses += [join.args.get("on") for join in select.args.get("joins") or () if not _outer(join)]
    return [call for clause in clauses for call in calls_in(clause) if call.find_ancestor(exp.Select) is select]


def _outer(join: exp.Expr) -> bool:
    return bool(join.args.get("side"))


def _projections_below_filter(select: exp.Select) -> list[exp.Expr]:
    """Return calls selected from a join where an outer query filters: the filter would be pushed below the join."""
    outer = select.parent_select
    if not select.args.get("joins") or outer is None or not outer.args.get("where") or outer.args.get("limit"):
        return []
    return [c for item in select.expressions for c in calls_in(item) if c.find_ancestor(exp.Select) is select]


def _guarded(call: exp.Expr, select: exp.Select) -> bool:
    node = call.parent
    while node is not None and node is not select:
        if isinstance(node, _GUARDS):
            return True
        node = node.parent
    return False
