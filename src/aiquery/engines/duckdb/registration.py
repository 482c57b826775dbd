"""The functions on any DuckDB connection: three Python functions per database, one TEMP macro per AI function.

``ai_query(...)`` is a macro over ``from_json(_aiquery_call(<handle>, columns...), <type>)``, where handle and type are
Python functions of constants that DuckDB folds when it binds the statement: that gives named and defaulted arguments,
a return type from a literal, and errors before any call. Macros are per connection, so each cursor is registered.
"""

from __future__ import annotations

import functools
import itertools
import weakref
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

import duckdb
from aiquery import registry
from aiquery.engines.duckdb import history
from aiquery.engines.duckdb.binding import LABELS, LABELS_ARE_JSON, Session, session
from aiquery.engines.duckdb.syntax import DISTINCT, UNASKED, VOLATILE
from aiquery.errors import AIQueryError
from aiquery.requests.sql_types import to_duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.config.settings import Config
    from aiquery.interfaces import AIFunction, Parameter

_BIND, _TYPE, _CALL = "_aiquery_bind", "_aiquery_type", "_aiquery_call"
_registered: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()


def register(
    connection: duckdb.DuckDBPyConnection, config: Config, *, variants: bool = False
) -> Session:
    """Give ``connection`` the functions; registering again replaces the configuration.

    ``variants`` are the macros that only rewritten statements call.
    """
    _create_functions(connection)
    found = Session(config)
    for function in registry.functions().values():
        for suffix in _suffixes(function) if variants else ("",):
            connection.execute(macro(function, found.token, suffix))
    for statement in history.macros(found.token):
        connection.execute(statement)
    _registered[connection] = found
    weakref.finalize(connection, found.close)
    _listen_to_interrupt()
    return found


def _create_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the Python functions, which belong to the whole database instance: the first connection makes them."""
    made = connection.execute(
        "SELECT 1 FROM duckdb_functions() WHERE function_name = ?", [_CALL]
    ).fetchall()
    if made:
        return
    history.create_functions(connection)
    text: Any = "VARCHAR"
    special: Any = "special"
    connection.create_function(
        _BIND, _bind, [text, text, text], text, null_handling=special
    )
    connection.create_function(
        _TYPE, _type, [text, text, text], text, null_handling=special
    )
    arrow: Any = {"type": "arrow", "null_handling": special}
    connection.create_function(_CALL, _call, None, text, **arrow)
    connection.create_function(
        _CALL + VOLATILE, _call, None, text, **arrow, side_effects=True
    )


def _suffixes(function: AIFunction) -> tuple[str, ...]:
    aggregate = any(parameter.kind == "group" for parameter in function.parameters)
    return ("", VOLATILE, UNASKED, DISTINCT) if aggregate else ("", VOLATILE, UNASKED)


def macro(function: AIFunction, token: str, suffix: str) -> str:
    """Return the statement that creates a function's macro for the connection behind ``token``.

    ``|| ''`` on the first constant, the endpoint's name, defers the binding of the body until it is used: creating a
    macro binds it once with unknown arguments, and ``from_json`` would refuse a type that is not constant yet.
    """
    constants = sorted(
        (p.name for p in function.parameters if p.kind == "constant"),
        key=lambda n: n != "endpoint",
    )
    columns = [_column(p, suffix) for p in function.parameters if p.kind != "constant"]
    pairs = ", ".join(
        f"'{name}': {name}{deferred}"
        for name, deferred in zip(constants, _deferring(), strict=False)
    )
    if LABELS in constants:
        pairs += f", '{LABELS_ARE_JSON}': typeof({LABELS}) = 'JSON'"  # to_json would make a list of such a text
    unasked = function.name + (UNASKED if suffix == UNASKED else "")
    packed = f"'{token}', '{unasked}', to_json({{{pairs}}})::VARCHAR || ''"
    arguments = ", ".join(
        p.name if p.required else f"{p.name} := NULL" for p in function.parameters
    )
    call = f"{_CALL}{VOLATILE if suffix == VOLATILE else ''}({_BIND}({packed}), {', '.join(columns)})"
    return (
        f"CREATE OR REPLACE TEMP MACRO {function.name}{suffix}({arguments}) AS "
        f"from_json_strict({call}, {_TYPE}({packed}))"
    )


def _column(parameter: Parameter, suffix: str) -> str:
    """Return what DuckDB hands over for a parameter: its value per row, or the rows of a group."""
    name = parameter.name
    distinct = "DISTINCT " if suffix == DISTINCT else ""
    return (
        f"list({distinct}{name}) FILTER ({name} IS NOT NULL)"
        if parameter.kind == "group"
        else name
    )


def _deferring() -> Iterator[str]:
    yield " || ''"
    yield from itertools.repeat("")


# --- called by DuckDB ----------------------------------------------------------------------------------------------


def _bind(token: str, function: str, constants: str) -> str:
    return session(token).bind(function, constants)


def _type(token: str, function: str, constants: str) -> str:
    return msgspec.json.encode(
        to_duckdb(session(token).check(function, constants).returns)
    ).decode()


def _call(handles: pa.ChunkedArray, *columns: pa.ChunkedArray) -> pa.Array:
    nothing = pa.nulls(len(handles), pa.string())
    if not len(handles):
        return nothing
    handle = handles[0].as_py()
    owner = session(handle)
    bound = owner.bound[handle]
    try:
        texts = owner.evaluate(bound, [_whole(column) for column in columns])
    except AIQueryError as error:
        owner.fail(error, bound.statement)
        raise
    except KeyboardInterrupt:
        owner.client.cancel(bound.context)
        raise
    texts = nothing if texts is None else texts
    return texts if len(texts) > 1 or texts.null_count == 0 else _JSON_NULL


_JSON_NULL = pa.array(["null"])
"""For one row: DuckDB evaluates a constant call when it binds it, and takes the type of NULL for that of the call."""


def _whole(column: Any) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


@functools.cache
def _listen_to_interrupt() -> None:
    """``con.interrupt()`` does not reach a Python function that waits, so it also tells the connection's session."""
    original = duckdb.DuckDBPyConnection.interrupt

    @functools.wraps(original)
    def interrupt(self: duckdb.DuckDBPyConnection) -> None:
        original(self)
        if (found := _registered.get(self)) is not None:
            found.interrupt()

    duckdb.DuckDBPyConnection.interrupt = interrupt  # type: ignore[method-assign]
