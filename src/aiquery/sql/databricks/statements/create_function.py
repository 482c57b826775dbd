"""CREATE FUNCTION: arguments and result have the declared types, which DuckDB's macros do not check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.calls import find_calls
from aiquery.sql.databricks.casts import translate_cast
from aiquery.sql.databricks.lambdas import call, let
from aiquery.sql.databricks.notices import say
from aiquery.sql.databricks.once import evaluate_all_once
from aiquery.sql.databricks.value_texts import is_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlglot.expressions import Expr

_ARGUMENT = "__argument_"
_RESULT = "aiquery_result"
_CONVERTED = {
    exp.DataType.Type.TEXT: "databricks__parameter_text",
    exp.DataType.Type.INT: "databricks__parameter_whole",
    exp.DataType.Type.BIGINT: "databricks__parameter_whole",
    exp.DataType.Type.SMALLINT: "databricks__parameter_whole",
    exp.DataType.Type.TINYINT: "databricks__parameter_whole",
}
"""The macro that converts a value before a CAST: an argument has no type yet when DuckDB creates a function."""


def cast_function(tree: exp.Create) -> exp.Create:
    """Return a CREATE of a function whose parameters and result are cast to their types.

    The parameters of a function of tables are not: a column of its query may have the same name. Raises
    ``StatementError`` for a name that may be that of a parameter and of a column.
    """
    value = tree.expression
    if isinstance(value, exp.Return):
        value = value.this
    if value is None:
        return tree
    returns = tree.find(exp.ReturnsProperty)
    function = _Function(tree)
    if _is_table(value, returns):
        made = _cast_table(function.without_name(value.copy()), returns)
        # In a LATERAL subquery an argument is a column of another table.
        made = evaluate_all_once(made, function.parameters)
    else:
        kind = returns.this if returns is not None else None
        is_query = isinstance(value, exp.Query) and not isinstance(value, exp.Subquery)
        body = value.copy().subquery() if is_query else value.copy()
        made = function.cast(body, kind)
    value.replace(made)
    tree.this.set("expressions", [_parameter(one) for one in tree.this.expressions])
    _take_properties(tree)
    return tree


def _is_table(value: Expr, returns: exp.ReturnsProperty | None) -> bool:
    """Return True for a function of tables; ``RETURN (SELECT ..)`` is a value if nothing else is said."""
    if returns is not None:
        return bool(returns.args.get("is_table"))
    return isinstance(value, exp.Query) and not isinstance(value, exp.Subquery)


class _Function:
    """A function whose body names its parameters as ``x`` or as ``function.x``."""

    def __init__(self, tree: exp.Create) -> None:
        self._name = tree.this.this.name.lower()
        parameters = [
            one for one in tree.this.expressions if isinstance(one, exp.ColumnDef)
        ]
        self._kinds = {one.name.lower(): one.kind for one in parameters}

    @property
    def parameters(self) -> frozenset[str]:
        """The names of the parameters in small letters."""
        return frozenset(self._kinds)

    def without_name(self, value: Expr) -> Expr:
        """Return a body whose parameters have no qualifier."""
        return value.transform(
            lambda node: (
                exp.column(node.this.copy()) if self._is_qualified(node) else node
            )
        )

    def cast(self, value: Expr, kind: exp.DataType | None) -> Expr:
        """Return a body of one value whose parameters and result are cast; ``kind`` is the type of the result."""
        if value.find(exp.Query) is not None:
            return self._with_arguments(value, kind)
        if find_calls(value):
            typed = {name: self._typed(name) for name in self._kinds}
            made = self._substitute(value, typed)
            return made if kind is None else _cast_once(made, kind)
        return self._evaluated(list(self._kinds), value, kind)

    def _evaluated(
        self, names: list[str], value: Expr, kind: exp.DataType | None
    ) -> Expr:
        """Return a body that gets each argument evaluated: it would copy the text of one for each use."""
        if not names:
            return value if kind is None else _cast_once(value, kind)
        name, *others = names

        def put(argument: Expr) -> Expr:
            made = self._substitute(value, {name: argument})
            return self._evaluated(others, made, kind)

        return let(f"{_ARGUMENT}{name}", self._typed(name), put)

    def _with_arguments(self, value: Expr, kind: exp.DataType | None) -> Expr:
        """Return a body with subqueries, whose parameters are columns of a subquery around it.

        DuckDB puts the text of an argument in the place of a parameter: within a subquery, the name of a column would
        be that of another table.
        """
        columns = {name: exp.column(f"{_ARGUMENT}{name}") for name in self._kinds}
        for name in columns:
            self._check(value, name)
        value = self._substitute(value, columns, has_fields=False)
        # A subquery reads the columns from the query around it.
        late = frozenset(column.name for column in columns.values())
        result = exp.select(exp.alias_(evaluate_all_once(value, late), _RESULT))
        if columns:
            items = [
                exp.alias_(self._typed(name), column.name)
                for name, column in columns.items()
            ]
            result = result.from_(exp.select(*items).subquery("aiquery_arguments"))
        column = exp.column(_RESULT)
        made = column if kind is None else _cast(column, kind)
        return exp.select(made).from_(result.subquery("aiquery_results")).subquery()

    def _check(self, value: Expr, name: str) -> None:
        columns = [
            one for one in value.find_all(exp.Column) if one.name.lower() == name
        ]
        tables = {one.table.lower() for one in columns}
        if "" in tables and len(tables) > 1:
            raise StatementError(
                f"CREATE FUNCTION: {name} is a parameter, and a column in the body; write {self._name}.{name} for the "
                "parameter, and the name of the table before the column."
            )

    def _is_qualified(self, node: Expr) -> bool:
        is_column = isinstance(node, exp.Column) and node.table.lower() == self._name
        return is_column and node.name.lower() in self._kinds

    def _is_parameter(self, node: Expr) -> bool:
        is_bare = isinstance(node, exp.Column) and not node.table
        return self._is_qualified(node) or (
            is_bare and node.name.lower() in self._kinds
        )

    def _typed(self, name: str) -> Expr:
        """Return a parameter with its type."""
        kind = self._kinds[name]
        column = exp.column(name)
        return column if kind is None else _cast_once(column, kind)

    def _substitute(
        self, value: Expr, arguments: Mapping[str, Expr], *, has_fields: bool = True
    ) -> Expr:
        """Return a body with arguments in the place of parameters, and of ``x`` in ``x.field`` if ``has_fields``."""

        def replace(node: Expr) -> Expr:
            if self._is_parameter(node):
                argument = arguments.get(node.name.lower())
                return node if argument is None else argument.copy()
            if not has_fields or not isinstance(node, exp.Column):
                return node
            struct = arguments.get(node.table.lower())
            if struct is None:
                return node
            return exp.Dot(this=exp.paren(struct.copy()), expression=node.this.copy())

        made: Expr = value.transform(replace)
        return made


def _parameter(parameter: Expr) -> Expr:
    """Return a parameter without its type, as the macro would take no other one, and with its default."""
    if not isinstance(parameter, exp.ColumnDef):
        return parameter
    default = parameter.find(exp.DefaultColumnConstraint)
    if default is None:
        return exp.to_identifier(parameter.name)
    return exp.PropertyEQ(
        this=exp.to_identifier(parameter.name), expression=default.this.copy()
    )


def _take_properties(tree: exp.Create) -> None:
    """Remove what is about Spark's catalog and optimizer; in place."""
    properties = tree.args.get("properties")
    if properties is None:
        return
    if properties.find(exp.SchemaCommentProperty):
        say("CREATE FUNCTION: DuckDB stores no COMMENT of a function; it was left out.")
    for one in list(properties.expressions):
        if not isinstance(one, exp.ReturnsProperty | exp.TemporaryProperty):
            one.pop()


def _cast_table(query: Expr, returns: exp.ReturnsProperty | None) -> Expr:
    """Return a query whose columns have the names and types of RETURNS TABLE."""
    schema = returns.this if returns is not None else None
    if not isinstance(schema, exp.Schema):
        # ``RETURNS TABLE``: sqlglot writes DuckDB's syntax only if it has columns.
        if returns is not None:
            returns.set("this", exp.Schema(this=exp.var("TABLE"), expressions=[]))
        return query
    columns = schema.expressions
    items = query.expressions
    has_tables = query.args.get("from_") is not None
    if not has_tables and len(items) == len(columns):
        # DuckDB fails in a LATERAL subquery of a subquery without tables.
        values = [one.unalias() for one in items]
        return exp.select(*map(_result, values, columns))
    names = [f"c{index}" for index in range(len(columns))]
    rows = exp.alias_(exp.Subquery(this=query), "aiquery_rows", names)
    return exp.select(*map(_result, map(exp.column, names), columns)).from_(rows)


def _result(value: Expr, column: exp.ColumnDef) -> Expr:
    """Return a value as a column of RETURNS TABLE."""
    made = translate_cast(exp.cast(value.copy(), column.args["kind"].copy()))
    return exp.alias_(made, column.name, quoted=True)


def _cast_once(value: Expr, kind: exp.DataType) -> Expr:
    """Return a cast of a value that is named once: the macros of a cast copy theirs."""
    is_plain = kind.this not in _CONVERTED and not kind.expressions
    if is_plain or is_text(value):
        return _cast(value, kind)
    return let("__cast", value, lambda one: _cast(one, kind))


def _cast(value: Expr, kind: exp.DataType) -> Expr:
    made = exp.cast(value, kind.copy())
    is_string = kind.this in exp.DataType.TEXT_TYPES
    if is_string and is_text(value):
        return made
    if kind.this in _CONVERTED and not kind.expressions:
        return exp.cast(call(_CONVERTED[kind.this], value), kind.copy())
    if kind.expressions:
        return translate_cast(made)
    return made
