"""The options of ``from_json`` and ``to_json``: ``map('timestampFormat', 'dd/MM/yyyy')``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.positions import RefusedHere

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlglot.expressions import Expr


def read_options(
    node: Expr | None, function: str, known: Collection[str]
) -> dict[str, str]:
    """Return the options of a call by their names in small letters; none without a map.

    Raises ``StatementError`` for an option that is not ``known``, and for a map that is no literal.
    """
    if node is None:
        return {}
    keys, values = _items(node)
    if len(keys) != len(values) or not all(one.is_string for one in (*keys, *values)):
        raise RefusedHere(
            f"{function}: on DuckDB the options must be a map of text literals.",
            node.meta.get("start"),
        )
    options = {
        key.name.lower(): value.name for key, value in zip(keys, values, strict=True)
    }
    for key in keys:
        if key.name.lower() not in known:
            names = ", ".join(sorted(known))
            raise RefusedHere(
                f"{function}: the option {key.name!r} is not supported on DuckDB; known are {names}.",
                key.meta.get("start"),
            )
    return options


def _items(node: Expr) -> tuple[list[Expr], list[Expr]]:
    if not isinstance(node, exp.VarMap | exp.Map):
        return [], [exp.null()]
    parts = (node.args.get("keys"), node.args.get("values"))
    keys, values = (part.expressions if part is not None else [] for part in parts)
    return list(keys), list(values)
