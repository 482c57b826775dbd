"""UPDATE, DELETE and MERGE of Delta tables: each is one MERGE of rows that DuckDB evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from aiquery import registry
from aiquery.engines.duckdb.delta.read import open_table
from aiquery.engines.write_conflicts import retry_on_conflict
from aiquery.errors import StatementError
from aiquery.sql.delta_paths import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

ATTEMPTS = 12
"""How often a commit is attempted while other writers commit."""

NEW = "aiquery_new"
"""The source of the MERGE of an UPDATE, and the prefix of its new values."""


@dataclass(frozen=True, slots=True)
class DeltaMerge:
    """A table that the rows of ``query`` are merged into."""

    path: str
    query: exp.Expr
    tree: exp.Merge

    def commit(self, rows: pa.Table) -> None:
        """Commit as one version; after a write conflict, merge again into the newest version."""
        from deltalake.exceptions import CommitFailedError

        if len(rows) or any(when.args.get("source") for when in self._whens()):
            retry_on_conflict(lambda: self._merge(rows), CommitFailedError, ATTEMPTS)

    def _merge(self, rows: pa.Table) -> None:
        table = open_table(self.path)
        target = self.tree.this.alias_or_name
        source = self.tree.args["using"].alias_or_name
        columns = {
            target: [field.name for field in table.schema().fields],
            source: rows.column_names,
        }
        printer = _ExpressionPrinter(columns, rows)
        merging: Any = table.merge(
            rows,
            printer.print(self.tree.args["on"]),
            source_alias=source,
            target_alias=target,
        )
        for when in self._whens():
            merging = _add_clause(merging, when, printer, target)
        merging.execute()

    def _whens(self) -> list[exp.Expr]:
        whens: list[exp.Expr] = self.tree.args["whens"].expressions
        return whens


def make_merge(tree: exp.Merge) -> DeltaMerge:
    """Return the write of a MERGE. Raises ``StatementError`` for AI calls that DuckDB does not evaluate."""
    using = tree.args["using"]
    for part in (tree.args["on"], tree.args["whens"]):
        for call in part.find_all(exp.Anonymous):
            if str(call.this).lower() in registry.functions():
                raise StatementError(
                    f"MERGE INTO {SCHEMA}.`{tree.this.name}` calls {call.this} in ON or WHEN; call it in the query of "
                    "USING, and use its column."
                )
    return DeltaMerge(tree.this.name, exp.select("*").from_(using.copy()), tree)


def to_merge(tree: exp.Update | exp.Delete) -> exp.Merge:
    """Return an UPDATE or DELETE as a MERGE.

    The table has no known key. The columns that the statement reads are one: rows that are equal in them get the same
    values.
    """
    where = tree.args.get("where")
    sets = tree.expressions if isinstance(tree, exp.Update) else []
    parts = [item.expression for item in sets]
    if where:
        parts.append(where)
    if any(part.find(exp.Query) for part in parts):
        kind = type(tree).__name__.upper()
        raise StatementError(
            f"{kind} of {SCHEMA}.`{tree.this.name}` takes no subquery; use MERGE, with it in USING."
        )
    alias = tree.this.alias or "aiquery_target"
    target = exp.alias_(tree.this.copy(), alias, table=True)
    keys = [exp.column(name, alias, quoted=True) for name in _columns_read(parts)]
    values = [
        exp.alias_(item.expression.copy(), f"{NEW}_{i}", quoted=True)
        for i, item in enumerate(sets)
    ]
    selected: list[Any] = [*keys, *values] or ["1"]
    query = exp.select(*selected).distinct().from_(target)
    if where:
        query = query.where(where.this.copy())
    return exp.Merge(
        this=target.copy(),
        using=query.subquery(NEW),
        on=_equal_keys(keys),
        whens=exp.Whens(expressions=[_when_matched(sets, values)]),
    )


def _columns_read(parts: list[exp.Expr]) -> list[str]:
    names = {}
    for part in parts:
        for column in part.find_all(exp.Column):
            names[column.name.lower()] = column.name
    return list(names.values())


def _equal_keys(keys: list[exp.Column]) -> exp.Expr:
    if not keys:
        return exp.true()
    conditions = []
    for key in keys:
        new = exp.column(key.name, NEW, quoted=True)
        # The parentheses prevent that DataFusion reads IS NOT DISTINCT FROM (b AND ..).
        conditions.append(exp.paren(exp.NullSafeEQ(this=key.copy(), expression=new)))
    return exp.and_(*conditions)


def _when_matched(sets: list[exp.Expr], values: list[exp.Expr]) -> exp.When:
    changes = [
        exp.EQ(
            this=item.this.copy(), expression=exp.column(value.alias, NEW, quoted=True)
        )
        for item, value in zip(sets, values, strict=True)
    ]
    then = exp.Update(expressions=changes) if changes else exp.var("DELETE")
    return exp.When(matched=True, source=False, then=then)


class _ExpressionPrinter:
    """Prints expressions for ``deltalake``: names are quoted, in the case of the table and the rows."""

    def __init__(self, columns: dict[str, list[str]], rows: pa.Table) -> None:
        self._aliases = {alias.lower(): alias for alias in columns}
        self._names = {
            alias: {name.lower(): name for name in names}
            for alias, names in columns.items()
        }
        self._rows = rows

    def print(self, expression: exp.Expr) -> str:
        return expression.transform(self._translate).sql("postgres")

    def print_column(self, name: str, alias: str) -> str:
        known = self._names[alias].get(name.lower(), name)
        return exp.column(known, quoted=True).sql("postgres")

    def _translate(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column):
            alias = self._aliases.get(node.table.lower(), node.table)
            names = self._names.get(alias) or self._all_names()
            name = names.get(node.name.lower(), node.name)
            return exp.column(name, alias or None, quoted=True)
        if isinstance(node, exp.NullSafeEQ) and not self._has_nulls(
            node.expression.name
        ):
            # An equality is joined by hash.
            return exp.EQ(this=node.this, expression=node.expression)
        return node

    def _all_names(self) -> dict[str, str]:
        return {
            key: name for names in self._names.values() for key, name in names.items()
        }

    def _has_nulls(self, name: str) -> bool:
        return name not in self._rows.column_names or bool(self._rows[name].null_count)


def _add_clause(
    merging: Any, when: exp.Expr, printer: _ExpressionPrinter, target: str
) -> Any:
    """Add a WHEN clause to a merge of ``deltalake``."""
    kind = _clause_kind(when)
    condition = when.args.get("condition")
    predicate = None if condition is None else printer.print(condition)
    then = when.args["then"]
    if isinstance(then, exp.Var):
        return getattr(merging, f"{kind}_delete")(predicate=predicate)
    verb = "update" if isinstance(then, exp.Update) else "insert"
    changes = {
        printer.print_column(column.name, target): printer.print(value)
        for column, value in _assignments(then)
    }
    if not changes:
        return getattr(merging, f"{kind}_{verb}_all")(predicate=predicate)
    return getattr(merging, f"{kind}_{verb}")(changes, predicate=predicate)


def _clause_kind(when: exp.Expr) -> str:
    if when.args.get("source"):
        return "when_not_matched_by_source"
    return "when_matched" if when.args["matched"] else "when_not_matched"


def _assignments(then: exp.Expr) -> Iterator[tuple[exp.Expr, exp.Expr]]:
    """Yield the columns and values of an UPDATE or INSERT clause."""
    if isinstance(then, exp.Update):
        for item in then.expressions:
            if isinstance(item, exp.EQ):
                yield item.this, item.expression
        return
    values = then.args.get("expression") or exp.tuple_()
    yield from zip(then.this.expressions, values.expressions, strict=True)
