"""The query that an estimate runs: the statement's own, in which every answer is NULL, never one that asks for more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery import plugins
from aiquery.engines.duckdb import collect
from aiquery.engines.duckdb.rewrite import calls_in, is_call, mentions_ai, name_of

if TYPE_CHECKING:
    from aiquery.engines.duckdb.rewrite import Rewritten

_CLAUSES = (exp.Where, exp.Having, exp.Qualify)
_TURNING = (exp.Except, exp.Exists)
"""Fewer rows inside may be more outside."""


def counting_sql(rewritten: Rewritten) -> tuple[str | None, bool]:
    """Return the query whose calls are counted, and whether that counts every call.

    Where an answer decides what else is asked, the query lets no row past such a condition and leaves out calls that an
    answer guards, so that it counts too few rather than too many; None where even that cannot be said.
    """
    tree = rewritten.tree
    if tree is None:
        return None, not mentions_ai(rewritten.sql)
    exact = collect.collect_sql(tree)
    return (_least_sql(tree), False) if exact is None else (exact, not any(map(_goes_on, tree.find_all(exp.Anonymous))))


def _goes_on(call: exp.Anonymous) -> bool:
    """Say whether a call may ask again about what was answered: an aggregate over much text."""
    return is_call(call) and any(
        parameter.kind == "group" for parameter in plugins.functions()[name_of(call)].parameters
    )


def _least_sql(tree: exp.Expr) -> str | None:
    query = collect.reading_part(tree)
    if query is None or any(collect.blocks(node) for node in tree.walk()):
        return None
    query = query.copy()
    derived = collect.derived_columns(query)
    deciding = [found for found in collect.conditions(query) if collect.uses_answer(found, derived)]
    limited = query.find(exp.Limit, exp.Fetch) is not None
    if (deciding and (limited or any(map(_turns, query.walk())))) or (limited and query.find(exp.SetOperation)):
        return None
    for site in calls_in(query):
        if collect.guarded_by_answer(site, derived):
            site.replace(exp.null())
    for clause in deciding:
        condition = clause.this if isinstance(clause, _CLAUSES) else clause
        condition.replace(_never(condition))
    return query.sql("duckdb")


def _turns(node: exp.Expr) -> bool:
    if isinstance(node, exp.Join):
        return bool(node.args.get("side"))
    if isinstance(node, exp.In):
        return node.args.get("query") is not None
    if isinstance(node, exp.Subquery):
        return not isinstance(node.parent, exp.From | exp.Join | exp.CTE | exp.SetOperation)
    return isinstance(node, _TURNING)


def _never(condition: exp.Expr) -> exp.Expr:
    """Return a condition that evaluates this one and is false; DuckDB cannot see that it is."""
    chance = exp.Case(ifs=[exp.If(this=condition.copy(), true=exp.Rand())], default=exp.Rand())
    return exp.LT(this=chance, expression=exp.Literal.number(0))
