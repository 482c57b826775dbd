"""The collect pass: the same SQL once without waiting, so that every request of the statement is in flight at once.

DuckDB asks chunk by chunk (2,048 rows) and waits for the slowest of each. In the collect pass our function takes the
requests and answers NULL; the real pass then finds its answers there or on their way. It is run only where an answer
cannot decide whether another call happens; elsewhere the function alone is right, only slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.engines.duckdb.rewrite import calls_in, is_call

if TYPE_CHECKING:
    from collections.abc import Iterable

_VOLATILE_FUNCTIONS = frozenset({"random", "rand", "uuid", "gen_random_uuid", "nextval", "setseed"})
_CONDITIONAL = (exp.Case, exp.If, exp.Coalesce, exp.Connector, exp.Nullif, exp.Try)
_CLAUSES = ("where", "having", "qualify")


def collect_sql(tree: exp.Expr) -> str | None:
    """Return the statement that collects for ``tree``, or None where collecting could ask too much."""
    query = reading_part(tree)
    if query is None or not _is_exact(tree):
        return None
    return query.sql("duckdb")


def reading_part(tree: exp.Expr) -> exp.Expr | None:
    """Return the SELECT that a statement reads with; a collect pass must not write."""
    if isinstance(tree, exp.Query):
        return tree
    if isinstance(tree, exp.Merge):
        return _merge_source(tree)
    if isinstance(tree, exp.Update):
        return _update_as_select(tree)
    makes_table = isinstance(tree, exp.Create) and tree.kind == "TABLE"
    inserts = isinstance(tree, exp.Insert) and tree.args.get("with_") is None
    query = tree.expression if makes_table or inserts else None
    return query if isinstance(query, exp.Query) else None


def _merge_source(tree: exp.Merge) -> exp.Expr | None:
    source = tree.args.get("using")
    inside = len(calls_in(source))
    if not inside or inside != len(calls_in(tree)):
        return None  # calls in ON or SET depend on what matches
    return source.this if isinstance(source, exp.Subquery) else None


def _update_as_select(tree: exp.Update) -> exp.Expr | None:
    if tree.args.get("from_") or tree.args.get("with_"):
        return None
    values = [item.expression.copy() for item in tree.expressions if isinstance(item, exp.EQ)]
    query = exp.select(*values).from_(tree.this.copy())
    where = tree.args.get("where")
    return query.where(where.this.copy()) if where else query


def _is_exact(tree: exp.Expr) -> bool:
    sites = calls_in(tree)
    if not sites or any(blocks(node) for node in tree.walk()) or any(len(calls_in(site)) > 1 for site in sites):
        return False
    derived = derived_columns(tree)
    decided = any(uses_answer(clause, derived) for clause in conditions(tree))  # an answer decides which rows go on
    if len(sites) > 1 and (decided or any(guarded_by_answer(site, derived) for site in sites)):
        return False
    limited = tree.find(exp.Limit, exp.Fetch) is not None
    return not (limited and (decided or tree.find(exp.SetOperation) is not None))


def blocks(node: exp.Expr) -> bool:
    """Say whether reading twice could read something else, or could go on because of an answer."""
    if isinstance(node, exp.TableSample | exp.Rand | exp.Uuid):
        return True
    if isinstance(node, exp.With) and node.args.get("recursive"):
        return True
    return isinstance(node, exp.Anonymous) and str(node.this).lower() in _VOLATILE_FUNCTIONS


def conditions(tree: exp.Expr) -> Iterable[exp.Expr]:
    """Yield what decides which rows go on: ON, WHERE, HAVING, QUALIFY."""
    for node in tree.walk():
        if isinstance(node, exp.Join):
            yield from filter(None, (node.args.get("on"),))
        elif isinstance(node, exp.Select):
            yield from filter(None, (node.args.get(name) for name in _CLAUSES))


def derived_columns(tree: exp.Expr) -> set[str]:
    """Return the names of columns that are made from an answer, directly or through other columns."""
    aliases = [node for node in tree.walk() if isinstance(node, exp.Alias)]
    derived: set[str] = set()
    while True:
        found = {alias.alias.lower() for alias in aliases if uses_answer(alias.this, derived)}
        if found <= derived:
            return derived
        derived |= found


def uses_answer(node: exp.Expr, derived: set[str]) -> bool:
    """Say whether ``node`` calls, or reads a column that is made from an answer."""
    return any(
        is_call(found) or (isinstance(found, exp.Column) and found.name.lower() in derived) for found in node.walk()
    )


def guarded_by_answer(site: exp.Expr, derived: set[str]) -> bool:
    """Say whether another answer decides if ``site`` is asked: CASE, COALESCE, AND and their like."""
    node = site.parent
    while node is not None and not isinstance(node, exp.Select):
        if isinstance(node, _CONDITIONAL):
            others = [found for found in calls_in(node) if found is not site]
            if others or any(c.name.lower() in derived for c in node.find_all(exp.Column)):
                return True
        node = node.parent
    return False
