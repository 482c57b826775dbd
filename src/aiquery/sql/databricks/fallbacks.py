"""What a second translation of a statement adds, if DuckDB does not bind the first."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fallbacks:
    """Changes of the tree before it is translated.

    casts        Spark's implicit casts
    item_fields  the names of fields, in small letters, that are read from each struct of an array
    """

    casts: bool = False
    item_fields: frozenset[str] = frozenset()


NONE = Fallbacks()
