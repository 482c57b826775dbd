"""The name that Spark gives a column without an alias: its expression, with each operation in parentheses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sqlglot import ErrorLevel, exp
from sqlglot.generators.databricks import DatabricksGenerator

from aiquery.sql.databricks.generators import SEVERAL_COLUMNS
from aiquery.sql.databricks.lambdas import function_name
from aiquery.sql.databricks.statements.variables import variable_of

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

_NAMED = (
    exp.Alias, exp.Aliases, exp.Column, exp.Star, exp.Subquery, exp.Columns,
)  # fmt: skip
"""What DuckDB names as Spark does, or makes several columns of."""


def name_column(item: Expr) -> str:
    """Return the name of an item of SELECT as the user wrote it; "" if it has one, or makes several columns."""
    if isinstance(item, _NAMED) and variable_of(item) is None:
        return ""
    function = function_name(item)
    if function in SEVERAL_COLUMNS or item.is_star:
        return ""
    if function == "explode_outer" or isinstance(item, exp.Explode):
        return "col"
    is_named = isinstance(item, exp.Cast) and isinstance(
        item.this, exp.Column | exp.JSONExtract
    )
    path = item.this if is_named else item
    if isinstance(path, exp.JSONExtract):
        return _last_part(path)
    named = item.this if is_named else item
    if isinstance(named, exp.Column | exp.Literal):
        return str(named.name)
    names = _Names(normalize_functions="lower", unsupported_level=ErrorLevel.IGNORE)
    made = str(names.generate(item))
    # DuckDB would take CURRENT_DATE for a column that is named so.
    is_bare = isinstance(item, exp.Func) and made.replace("_", "").isalpha()
    return f"{made.lower()}()" if is_bare else made


def _last_part(item: exp.JSONExtract) -> str:
    """Return the last name of a path: ``kind`` for ``raw:a.kind``."""
    parts = [
        str(part.this)
        for part in item.expression.find_all(exp.JSONPathKey)
        if isinstance(part.this, str)
    ]
    return parts[-1] if parts else ""


class _Names(DatabricksGenerator):
    """Databricks' SQL with parentheses around each operation, and without quotes."""

    TRANSFORMS: ClassVar[dict[Any, Any]] = {
        kind: write
        for kind, write in DatabricksGenerator.TRANSFORMS.items()
        if kind not in {exp.If, exp.Ceil, exp.Floor, exp.IntDiv, exp.WithinGroup}
    }

    def binary(self, expression: exp.Binary, op: str) -> str:
        return f"({super().binary(expression, op)})"

    def connector_sql(
        self,
        expression: exp.Connector,
        op: str,
        stack: list[Any] | None = None,
    ) -> str:
        del stack
        return self.binary(expression, op)

    def paren_sql(self, expression: exp.Paren) -> str:
        return self.sql(expression, "this")

    def not_sql(self, expression: exp.Not) -> str:
        return f"(NOT {self.sql(expression, 'this')})"

    def neg_sql(self, expression: exp.Neg) -> str:
        value = self.sql(expression, "this")
        is_literal = isinstance(expression.this, exp.Literal)
        return f"-{value}" if is_literal else f"(- {value})"

    def mod_sql(self, expression: exp.Mod) -> str:
        return self.binary(expression, "%")

    def intdiv_sql(self, expression: exp.IntDiv) -> str:
        return self.binary(expression, "div")

    def nullsafeeq_sql(self, expression: exp.NullSafeEQ) -> str:
        return self.binary(expression, "<=>")

    def dpipe_sql(self, expression: exp.DPipe) -> str:
        return self.func("concat", *expression.flatten())

    def in_sql(self, expression: exp.In) -> str:
        return f"({super().in_sql(expression)})"

    def between_sql(self, expression: exp.Between) -> str:
        parts = (expression.args[name] for name in ("this", "low", "high"))
        return self.func("between", *parts)

    def if_sql(self, expression: exp.If) -> str:
        if isinstance(expression.parent, exp.Case):
            return super().if_sql(expression)
        parts = (expression.args.get(name) for name in ("this", "true", "false"))
        return f"({self.func('IF', *parts, normalize=False)})"

    def boolean_sql(self, expression: exp.Boolean) -> str:
        return str(expression.this).lower()

    def ceil_sql(self, expression: exp.Ceil) -> str:
        return self.func("CEIL", expression.this, normalize=False)

    def floor_sql(self, expression: exp.Floor) -> str:
        return self.func("FLOOR", expression.this, normalize=False)

    def pow_sql(self, expression: exp.Pow) -> str:
        parts = (expression.this, expression.expression)
        return self.func("POWER", *parts, normalize=False)

    def currentdate_sql(self, expression: exp.CurrentDate) -> str:
        del expression
        return "current_date()"

    def currenttimestamp_sql(self, expression: exp.CurrentTimestamp) -> str:
        del expression
        return "current_timestamp()"

    def withingroup_sql(self, expression: exp.WithinGroup) -> str:
        if not isinstance(expression.this, exp.PercentileDisc | exp.PercentileCont):
            return super().withingroup_sql(expression)
        name = expression.this.sql_name().lower()
        order = self.sql(expression.expression).strip()
        return f"{name}({self.sql(expression.this.this)}) WITHIN GROUP ({order})"

    def filter_sql(self, expression: exp.Filter) -> str:
        return super().filter_sql(expression).replace(" FILTER(", " FILTER (", 1)

    def extract_sql(self, expression: exp.Extract) -> str:
        value = self.sql(expression, "expression")
        return f"extract({expression.name.upper()} FROM {value})"

    def literal_sql(self, expression: exp.Literal) -> str:
        return str(expression.name)

    def like_sql(self, expression: exp.Like) -> str:
        return super().binary(expression, "LIKE")

    def count_sql(self, expression: exp.Count) -> str:
        if isinstance(expression.this, exp.Star):
            return "count(1)"
        return self.function_fallback_sql(expression)

    def datatype_sql(self, expression: exp.DataType) -> str:
        return super().datatype_sql(expression).replace(", ", ",")
