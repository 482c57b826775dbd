"""USE, and the schemas that it names: a DATABASE is a SCHEMA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.notices import say

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

_SCHEMA_KINDS = {"DATABASE", "SCHEMA"}


def translate_use(tree: exp.Use) -> exp.Use:
    """Return ``USE SCHEMA s``, ``USE CATALOG c`` and ``USE DATABASE s`` as ``USE name``."""
    table = tree.this.copy()
    if table.name.lower() == "default":
        table.set("this", exp.to_identifier("main"))
    return exp.Use(this=table)


def is_schema(tree: Expr) -> bool:
    """Return True for CREATE and DROP of a schema."""
    return str(tree.args.get("kind") or "").upper() in _SCHEMA_KINDS


def translate_schema(tree: exp.Create | exp.Drop) -> Expr:
    """Return CREATE or DROP DATABASE as that of a schema."""
    tree.set("kind", "SCHEMA")
    if tree.args.get("properties"):
        tree.set("properties", None)
        say("CREATE SCHEMA: its COMMENT, LOCATION and properties were left out.")
    return tree
