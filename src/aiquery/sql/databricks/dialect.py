"""Databricks' dialect of sqlglot: the functions that this package translates parse as any function."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlglot.dialects import Databricks

from aiquery.sql.databricks.functions import OWN
from aiquery.sql.databricks.pipes import PIPE_OPERATORS
from aiquery.sql.dialects import without_ai


def _without_own(functions: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in functions if name.lower() not in OWN]
    return {name: functions[name] for name in names}


class DatabricksSQL(Databricks):
    """Databricks' dialect, without another vendor's AI functions."""

    class Tokenizer(Databricks.Tokenizer):
        """Databricks' tokenizer."""

        # Since Spark 4 two quotes within a text are one. sqlglot would join two texts.
        STRING_ESCAPES: ClassVar[list[str]] = ["\\", "'", '"']
        # sqlglot makes one text of what follows these words; ``statements`` reads it.
        COMMANDS: ClassVar[set[Any]] = set()

    class Parser(Databricks.Parser):
        """Databricks' parser."""

        FUNCTIONS = _without_own(without_ai(Databricks.Parser.FUNCTIONS))
        FUNCTION_PARSERS = _without_own(Databricks.Parser.FUNCTION_PARSERS)
        NO_PAREN_FUNCTION_PARSERS = _without_own(
            Databricks.Parser.NO_PAREN_FUNCTION_PARSERS
        )
        # ``s.list[0]`` is an item of a field, and no list.
        ARRAY_CONSTRUCTORS: ClassVar[dict[str, Any]] = {}
        PIPE_SYNTAX_TRANSFORM_PARSERS: ClassVar[dict[str, Any]] = {
            **Databricks.Parser.PIPE_SYNTAX_TRANSFORM_PARSERS,
            **PIPE_OPERATORS,
        }

        def _parse_pivot_aggregation(self) -> Any:
            """Parse an expression of aggregates; sqlglot's own takes one function."""
            value = self._parse_bitwise()
            if value is None:
                return super()._parse_pivot_aggregation()
            return self._parse_alias(value)
