"""Register the functions with any DuckDB connection: Python functions per database, TEMP macros per connection.

``ai_query(...)`` is a macro over ``from_json(_aiquery_call(<handle>, columns...), <type>)``. Handle and type are Python
functions of constants, which DuckDB folds when it binds the statement. That gives named arguments with defaults, a
return type from a literal, and errors before any request. Macros belong to a connection, so each cursor is registered.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from aiquery import registry
from aiquery.engines.duckdb import history
from aiquery.engines.duckdb.binding import (
    LABELS,
    LABELS_ARE_JSON,
    Session,
    find_session,
)
from aiquery.engines.duckdb.interrupt import plain_sessions
from aiquery.engines.duckdb.syntax import DISTINCT, UNASKED, VOLATILE
from aiquery.errors import AIQueryError
from aiquery.functions.signature import is_aggregate
from aiquery.requests.sql_types import to_duckdb

if TYPE_CHECKING:
    import duckdb

    from aiquery.config.settings import Config
    from aiquery.interfaces import AIFunction, Parameter

_BIND = "_aiquery_bind"
_TYPE = "_aiquery_type"
_CALL = "_aiquery_call"


def register(
    connection: duckdb.DuckDBPyConnection, config: Config, *, variants: bool = False
) -> Session:
    """Register the functions with ``connection``, or with a cursor; a second call replaces the configuration.

    ``variants``: also create the macros that only rewritten statements call.
    """
    _create_functions(connection)
    session = Session(config)
    for function in registry.functions().values():
        for suffix in _suffixes(function) if variants else ("",):
            connection.execute(macro_sql(function, session.token, suffix))
    for statement in history.macros_sql(session.token):
        connection.execute(statement)
    plain_sessions[connection] = session
    weakref.finalize(connection, session.close)
    return session


def _create_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the Python functions, which belong to the whole database: the first connection creates them."""
    exists = connection.execute(
        "SELECT 1 FROM duckdb_functions() WHERE function_name = ?", [_CALL]
    ).fetchall()
    if exists:
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
    if is_aggregate(function):
        return ("", VOLATILE, UNASKED, DISTINCT)
    return ("", VOLATILE, UNASKED)


def macro_sql(function: AIFunction, token: str, suffix: str) -> str:
    """Return the statement that creates a function's macro for the connection with ``token``.

    ``|| ''`` after the first constant, the endpoint's name, defers the binding of the body until it is used: creating a
    macro binds it once with unknown arguments, and ``from_json`` rejects a type that is not constant yet.
    """
    name = function.name + (UNASKED if suffix == UNASKED else "")
    packed = (
        f"'{token}', '{name}', to_json({{{_constants_sql(function)}}})::VARCHAR || ''"
    )
    columns = ", ".join(
        _column_sql(parameter, suffix)
        for parameter in function.parameters
        if parameter.kind != "constant"
    )
    arguments = ", ".join(
        parameter.name if parameter.required else f"{parameter.name} := NULL"
        for parameter in function.parameters
    )
    call = (
        f"{_CALL}{VOLATILE if suffix == VOLATILE else ''}({_BIND}({packed}), {columns})"
    )
    return (
        f"CREATE OR REPLACE TEMP MACRO {function.name}{suffix}({arguments}) AS "
        f"from_json_strict({call}, {_TYPE}({packed}))"
    )


def _constants_sql(function: AIFunction) -> str:
    """Return the constants of a call as the fields of a DuckDB struct, the endpoint first."""
    names = [
        parameter.name
        for parameter in function.parameters
        if parameter.kind == "constant"
    ]
    names.sort(key=lambda name: name != "endpoint")
    fields = [f"'{name}': {name}" for name in names]
    if fields:
        fields[0] += " || ''"
    if LABELS in names:
        # to_json would make a list of a text of the type JSON.
        fields.append(f"'{LABELS_ARE_JSON}': typeof({LABELS}) = 'JSON'")
    return ", ".join(fields)


def _column_sql(parameter: Parameter, suffix: str) -> str:
    """Return what DuckDB passes for a parameter: its value per row, or the rows of a group."""
    name = parameter.name
    if parameter.kind != "group":
        return name
    distinct = "DISTINCT " if suffix == DISTINCT else ""
    return f"list({distinct}{name}) FILTER ({name} IS NOT NULL)"


# --- called by DuckDB


def _bind(token: str, function: str, constants: str) -> str:
    return find_session(token).bind(function, constants)


def _type(token: str, function: str, constants: str) -> str:
    call = find_session(token).bind_constants(function, constants)
    return msgspec.json.encode(to_duckdb(call.returns)).decode()


def _call(handles: pa.ChunkedArray, *columns: pa.ChunkedArray) -> pa.Array:
    nulls = pa.nulls(len(handles), pa.string())
    if not len(handles):
        return nulls
    handle = handles[0].as_py()
    session = find_session(handle)
    bound = session.calls[handle]
    try:
        texts = session.evaluate(bound, [_to_array(column) for column in columns])
    except AIQueryError as error:
        session.remember_error(error, bound.statement)
        raise
    except KeyboardInterrupt:
        session.client.cancel(bound.context)
        raise
    if texts is None:
        texts = nulls
    return _JSON_NULL if len(texts) == 1 and texts.null_count else texts


_JSON_NULL = pa.array(["null"])
"""The NULL of a single row: DuckDB evaluates a constant call when it binds it, and would take the type of a NULL."""


def _to_array(column: Any) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
