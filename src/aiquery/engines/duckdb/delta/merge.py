"""UPDATE, DELETE and MERGE of Delta tables: all three are one MERGE of rows that DuckDB evaluated."""

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
    import pyarrow as pa

ATTEMPTS = 12
"""How often a commit is tried that another one got in the way of."""

NEW = "aiquery_new"
"""What an UPDATE is merged from, and what its new values are called there."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A table that the rows of ``query`` are merged into."""

    path: str
    query: exp.Expr
    tree: exp.Merge

    def commit(self, rows: pa.Table) -> None:
        """Commit as one version; a commit that another got in the way of is tried again, on the newest version."""
        from deltalake.exceptions import CommitFailedError

        if len(rows) or any(when.args.get("source") for when in self._whens()):
            retry_on_conflict(lambda: self._merge(rows), CommitFailedError, ATTEMPTS)

    def _merge(self, rows: pa.Table) -> None:
        table = open_table(self.path)
        target, source = (
            self.tree.this.alias_or_name,
            self.tree.args["using"].alias_or_name,
        )
        texts = _Texts(
            {
                target: [field.name for field in table.schema().fields],
                source: rows.column_names,
            },
            rows,
        )
        merging: Any = table.merge(
            rows,
            texts.of(self.tree.args["on"]),
            source_alias=source,
            target_alias=target,
        )
        for when in self._whens():
            merging = _with_clause(merging, when, texts, target)
        merging.execute()

    def _whens(self) -> list[exp.Expr]:
        whens: list[exp.Expr] = self.tree.args["whens"].expressions
        return whens


def merged(tree: exp.Merge) -> Merged:
    """Return what a MERGE writes. Raises ``StatementError`` where it asks in a place that DuckDB does not evaluate."""
    using = tree.args["using"]
    for part in (tree.args["on"], tree.args["whens"]):
        for call in part.find_all(exp.Anonymous):
            if str(call.this).lower() in registry.functions():
                raise StatementError(
                    f"MERGE INTO {SCHEMA}.`{tree.this.name}` calls {call.this} in ON or WHEN; call it in the query of "
                    "USING, and use its column."
                )
    return Merged(tree.this.name, exp.select("*").from_(using.copy()), tree)


def as_merge(tree: exp.Update | exp.Delete) -> exp.Merge:
    """Return an UPDATE or DELETE as a MERGE.

    No key of the table is known. What is read of a row is one: rows that are equal in it get the same value.
    """
    where, sets = (
        tree.args.get("where"),
        tree.expressions if isinstance(tree, exp.Update) else [],
    )
    parts = (
        [where, *(item.expression for item in sets)]
        if where
        else [item.expression for item in sets]
    )
    if any(part.find(exp.Query) for part in parts):
        kind = type(tree).__name__.upper()
        raise StatementError(
            f"{kind} of {SCHEMA}.`{tree.this.name}` takes no subquery; use MERGE, with it in USING."
        )
    alias = tree.this.alias or "aiquery_target"
    target = exp.alias_(tree.this.copy(), alias, table=True)
    reads = {
        column.name.lower(): column.name
        for part in parts
        for column in part.find_all(exp.Column)
    }.values()
    values = [
        exp.alias_(item.expression.copy(), f"{NEW}_{i}", quoted=True)
        for i, item in enumerate(sets)
    ]
    keys = [exp.column(name, alias, quoted=True) for name in reads]
    query = (
        exp.select(*keys, *values, *([] if keys or values else ["1"]))
        .distinct()
        .from_(target)
    )
    if where:
        query = query.where(where.this.copy())
    pairs = [
        exp.NullSafeEQ(
            this=key.copy(), expression=exp.column(key.name, NEW, quoted=True)
        )
        for key in keys
    ]
    same = [
        exp.paren(pair) for pair in pairs
    ]  # or DataFusion reads IS NOT DISTINCT FROM (b AND ..)
    changes = [
        exp.EQ(
            this=item.this.copy(), expression=exp.column(value.alias, NEW, quoted=True)
        )
        for item, value in zip(sets, values, strict=True)
    ]
    then = exp.Update(expressions=changes) if changes else exp.var("DELETE")
    return exp.Merge(
        this=target.copy(),
        using=query.subquery(NEW),
        on=exp.and_(*same) if same else exp.true(),
        whens=exp.Whens(expressions=[exp.When(matched=True, source=False, then=then)]),
    )


class _Texts:
    """Expressions as ``deltalake`` reads them: names are quoted, in the case that table and rows write them."""

    def __init__(self, columns: dict[str, list[str]], rows: pa.Table) -> None:
        self._aliases = {alias.lower(): alias for alias in columns}
        self._names = {
            alias: {name.lower(): name for name in names}
            for alias, names in columns.items()
        }
        self._rows = rows

    def of(self, expression: exp.Expr) -> str:
        return expression.transform(self._node).sql("postgres")

    def column(self, name: str, alias: str) -> str:
        return exp.column(self._names[alias].get(name.lower(), name), quoted=True).sql(
            "postgres"
        )

    def _node(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column):
            alias = self._aliases.get(node.table.lower(), node.table)
            names = self._names.get(alias) or {
                key: name for each in self._names.values() for key, name in each.items()
            }
            return exp.column(
                names.get(node.name.lower(), node.name), alias or None, quoted=True
            )
        if isinstance(node, exp.NullSafeEQ) and not self._has_nulls(
            node.expression.name
        ):
            return exp.EQ(
                this=node.this, expression=node.expression
            )  # which is joined by hash
        return node

    def _has_nulls(self, name: str) -> bool:
        return name not in self._rows.column_names or bool(self._rows[name].null_count)


def _with_clause(merging: Any, when: exp.Expr, texts: _Texts, target: str) -> Any:
    condition, then = when.args.get("condition"), when.args["then"]
    if when.args.get("source"):
        kind = "when_not_matched_by_source"
    else:
        kind = "when_matched" if when.args["matched"] else "when_not_matched"
    predicate = None if condition is None else texts.of(condition)
    if isinstance(then, exp.Var):
        return getattr(merging, f"{kind}_delete")(predicate=predicate)
    verb = "update" if isinstance(then, exp.Update) else "insert"
    pairs = (
        [
            (item.this, item.expression)
            for item in then.expressions
            if isinstance(item, exp.EQ)
        ]
        if isinstance(then, exp.Update)
        else list(
            zip(
                then.this.expressions,
                (then.expression or exp.tuple_()).expressions,
                strict=True,
            )
        )
    )
    if not pairs:
        return getattr(merging, f"{kind}_{verb}_all")(predicate=predicate)
    changes = {texts.column(to.name, target): texts.of(value) for to, value in pairs}
    return getattr(merging, f"{kind}_{verb}")(changes, predicate=predicate)
