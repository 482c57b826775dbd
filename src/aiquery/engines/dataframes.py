"""Data frames: the AI functions on pandas, Polars and Arrow, through narwhals.

``aiquery.functions.classify(frame, "message", labels=["billing", "bug"])`` is made from the function's own definition:
its columns in order, its constants by name, in snake_case.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from aiquery import clients, evaluate
from aiquery import config as configuration
from aiquery.errors import ArgumentError
from aiquery.inference.query_context import QueryContext
from aiquery.reporting.progress import enable_progress_if_interactive
from aiquery.tracking import active as watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import narwhals as nw
    import pyarrow as pa

    from aiquery.config.settings import Config
    from aiquery.interfaces import AIFunction, BoundCall, Parameter

BATCH = 2048
"""Rows that are handed over at once."""

AHEAD = 64
"""Batches in flight beyond the one that is being read: a frame is in memory anyway."""


class FramesEngine:
    """The engine as the rest of aiquery sees it; nothing heavy is imported before it is used."""

    name = "frames"

    def accepts(self, connection: Any) -> bool:
        """Say whether ``connection`` is a data frame: there is nothing to register the functions with."""
        del connection
        return False

    def register(self, connection: Any, config: Config) -> None:
        """Refuse: frames are handed to ``aiquery.functions``."""
        del connection, config
        raise TypeError(
            "a data frame has no connection; call aiquery.functions.classify(frame, ..) and its like."
        )

    def function(self, function: AIFunction) -> Callable[..., Any]:
        """Return a Python function that asks ``function`` about the rows of a frame."""

        def ask(
            frame: Any,
            *columns: Any,
            by: Any = None,
            config: Any = None,
            **options: Any,
        ) -> Any:
            aggregate = any(p.kind == "group" for p in function.parameters)
            if by is not None and not aggregate:
                raise ArgumentError(
                    f"{function.name} is no aggregate; remove by={by!r}."
                )
            if type(frame).__module__.startswith("pyspark.sql."):
                from aiquery.engines.spark.driver.functions import frame_function

                return frame_function(
                    function, frame, given_of(function, columns, options), by, config
                )
            if aggregate:
                return _aggregate(
                    function, frame, columns, options, by, configuration.load(config)
                )
            return _column(
                function, frame, columns, options, configuration.load(config)
            )

        ask.__name__ = function.name.removeprefix("ai_")
        ask.__doc__ = _doc(function)
        ask.__signature__ = signature(function)  # type: ignore[attr-defined]
        return ask


ENGINE = FramesEngine()


def snake(name: str) -> str:
    """Return an argument's name in Python spelling: ``failOnError`` -> ``fail_on_error``."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda upper: f"_{upper[0].lower()}", name)


def signature(function: AIFunction) -> inspect.Signature:
    """Return the arguments of a function for data frames."""
    kinds, empty = inspect.Parameter, inspect.Parameter.empty
    columns = [p for p in function.parameters if p.kind in {"column", "group"}]
    others = [p for p in function.parameters if p.kind in {"constant", "value"}]
    parameters = [kinds("frame", kinds.POSITIONAL_ONLY)]
    parameters += [
        kinds(
            p.name, kinds.POSITIONAL_OR_KEYWORD, default=empty if p.required else None
        )
        for p in columns
    ]
    parameters += [
        kinds(snake(p.name), kinds.KEYWORD_ONLY, default=empty if p.required else None)
        for p in others
    ]
    if any(p.kind == "group" for p in columns):
        parameters.append(kinds("by", kinds.KEYWORD_ONLY, default=None))
    return inspect.Signature(
        [*parameters, kinds("config", kinds.KEYWORD_ONLY, default=None)]
    )


def _doc(function: AIFunction) -> str:
    lines = [
        inspect.cleandoc(function.__doc__ or ""),
        "",
        "frame    a pandas, Polars or Arrow table, or a Spark DataFrame",
    ]
    for p in function.parameters:
        what = {
            "column": "a column's name",
            "group": "a column's name",
            "value": "a text, or a series",
        }.get(p.kind, "")
        lines.append(f"{snake(p.name)}    {what}{': ' if what else ''}{p.doc}")
    lines += [
        "config    what aiquery.connect takes",
        "",
        "Returns a column of the frame's own library, in its order.",
    ]
    return "\n".join(lines)


# --- one value per row -----------------------------------------------------------------------------------------------


def _column(
    function: AIFunction,
    frame: Any,
    columns: Sequence[Any],
    options: dict[str, Any],
    config: Config,
) -> Any:
    import narwhals as nw
    import pyarrow as pa

    table = nw.from_native(frame, eager_only=True)
    call = _bind(function, options, config)
    given = given_of(function, columns, options)
    arrays = [
        _array(table, function, p, given[snake(p.name)])
        for p in _per_row(function, given)
    ]
    answers = _answers(call, arrays, len(table), config)
    result = _native(table, pa.table({function.name: answers}))
    index = nw.maybe_get_index(table)
    if index is not None:
        result.to_native().index = index
    return result[function.name].to_native()


def _native(table: nw.DataFrame[Any], answers: pa.Table) -> nw.DataFrame[Any]:
    """Return an Arrow table as a frame of the library of ``table``."""
    import narwhals as nw

    return nw.from_arrow(
        nw.from_native(answers, eager_only=True), backend=table.implementation
    )


def _answers(
    call: BoundCall, arrays: list[pa.Array], rows: int, config: Config
) -> pa.ChunkedArray:
    import pyarrow as pa

    from aiquery.requests.sql_types import to_arrow

    enable_progress_if_interactive()
    shared = clients.SharedClient.join(config)
    try:
        batches = _batches(arrays, rows)
        with watch.watched(shared.client, "frames", call.template.function) as stats:
            context = QueryContext(stats=stats)
            chunks = list(
                evaluate.evaluate_stream(
                    call, batches, shared.client, ahead=AHEAD, context=context
                )
            )
    finally:
        shared.leave()
    return pa.chunked_array(chunks, to_arrow(call.returns))


def _batches(arrays: list[pa.Array], rows: int) -> Iterator[list[pa.Array]]:
    for start in range(0, rows, BATCH):
        yield [array.slice(start, BATCH) for array in arrays]


def _array(
    table: nw.DataFrame[Any], function: AIFunction, parameter: Parameter, value: Any
) -> pa.Array:
    """Return the values of one argument per row: a column by name, a series, or one value for all rows."""
    import narwhals as nw
    import pyarrow as pa

    if parameter.kind == "value" and isinstance(value, str | None):
        return pa.repeat(pa.scalar(value, pa.string()), len(table))
    if isinstance(value, str):
        if value not in table.columns:
            raise ArgumentError(
                f"{function.name}: the frame has no column {value!r}; it has {', '.join(map(repr, table.columns))}."
            )
        series = table[value]
    else:
        try:
            series = nw.from_native(value, series_only=True)
        except TypeError:
            raise ArgumentError(
                f"{function.name}: {snake(parameter.name)} must be the name of a column, which is a text, or a series, "
                f"not {value!r}."
            ) from None
    return _whole(series, f"{function.name}: {snake(parameter.name)}")


def _whole(series: nw.Series[Any], what: str) -> pa.Array:
    """Return a series as one Arrow array; categories become what they stand for."""
    import pyarrow as pa

    try:
        column = series.to_arrow()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ArgumentError(
            f"{what} holds values of several types, which are no column: {error}"
        ) from None
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return (
        column.dictionary_decode()
        if isinstance(column.type, pa.DictionaryType)
        else column
    )


# --- arguments -------------------------------------------------------------------------------------------------------


def _per_row(function: AIFunction, given: Mapping[str, Any]) -> list[Parameter]:
    return [
        p
        for p in function.parameters
        if p.kind != "constant" and (p.required or snake(p.name) in given)
    ]


def given_of(
    function: AIFunction, columns: Sequence[Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments that have a value per row, by name; raise for one that is missing or too many."""
    names = [
        snake(p.name) for p in function.parameters if p.kind in {"column", "group"}
    ]
    if len(columns) > len(names):
        raise ArgumentError(
            f"{function.name} takes {len(names)} columns ({', '.join(names)}), not {len(columns)}."
        )
    given = dict(zip(names, columns, strict=False)) | dict(options)
    for parameter in function.parameters:
        if parameter.required and given.get(snake(parameter.name)) is None:
            raise ArgumentError(f"{function.name}: {snake(parameter.name)} is missing.")
    return given


def _bind(
    function: AIFunction, options: Mapping[str, Any], config: Config
) -> BoundCall:
    known = {snake(p.name): p for p in function.parameters}
    for name in options:
        if name not in known:
            raise ArgumentError(
                f"{function.name}: {name!r} is not known; it takes {', '.join(known)}."
            )
    constants = {
        p.name: _plain(options.get(name))
        for name, p in known.items()
        if p.kind == "constant"
    }
    call = function.bind(constants, config)
    clients.check_call(call, config)
    return call


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


# --- aggregates ------------------------------------------------------------------------------------------------------


def _aggregate(
    function: AIFunction,
    frame: Any,
    columns: Sequence[Any],
    options: dict[str, Any],
    by: Any,
    config: Config,
) -> Any:
    """Return the answer, or with ``by`` a frame of the groups and their answers, in the order of the groups."""
    import narwhals as nw
    import pyarrow as pa

    table = nw.from_native(frame, eager_only=True)
    call = _bind(function, options, config)
    (parameter,) = _per_row(function, given := given_of(function, columns, options))
    texts = _array(table, function, parameter, given[parameter.name])
    keys = [by] if isinstance(by, str) else list(by or ())
    if function.name in keys:
        raise ArgumentError(
            f"{function.name}: by={function.name!r} is what the answers are called; rename that column."
        )
    if not keys:
        whole = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
        return _answers(call, [whole], 1, config)[0].as_py()
    names = [
        f"key_{i}" for i in range(len(keys))
    ]  # a frame's own names could be those that Arrow makes
    held = {
        name: _array(table, function, parameter, key)
        for name, key in zip(names, keys, strict=True)
    }
    grouped = (
        pa.table({**held, "texts": texts})
        .group_by(names)
        .aggregate([("texts", "list")])
    )
    groups = grouped.sort_by([(name, "ascending") for name in names])
    lists = groups["texts_list"].combine_chunks()
    answers = _answers(call, [lists], len(groups), config)
    result = (
        groups.select(names).rename_columns(keys).append_column(function.name, answers)
    )
    return _native(table, result).to_native()
