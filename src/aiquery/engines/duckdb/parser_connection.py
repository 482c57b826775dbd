"""A private DuckDB connection of each thread, for parsing: the user's may be in a transaction, or in use."""

from __future__ import annotations

import os
import threading
import weakref

import duckdb


class _Parser:
    """A connection that can be referred to weakly."""

    __slots__ = ("__weakref__", "connection")

    def __init__(self) -> None:
        self.connection = duckdb.connect(":memory:", config={"threads": 1})


_local = threading.local()
_parsers: weakref.WeakSet[_Parser] = weakref.WeakSet()
_during_fork: list[_Parser] = []
_inherited: list[_Parser] = []
"""The parsers of the parent of a forked child. It must not close them: the threads of their databases are gone."""


def parser_connection() -> duckdb.DuckDBPyConnection:
    """Return the connection of this thread."""
    parser: _Parser | None = getattr(_local, "parser", None)
    if parser is None:
        parser = _local.parser = _Parser()
        _parsers.add(parser)
    return parser.connection


def _hold() -> None:
    """Keep all parsers alive: Python deletes what belongs to the other threads when a child starts."""
    _during_fork.extend(_parsers)


def _release() -> None:
    _during_fork.clear()


def _renew() -> None:
    global _local  # noqa: PLW0603  the child opens its own
    _local = threading.local()
    _parsers.clear()
    _inherited.extend(_during_fork)
    _during_fork.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_renew)
