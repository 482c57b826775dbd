"""The AI functions on data frames (pandas, Polars, Arrow), through narwhals.

``aiquery.functions.classify(frame, "message", labels=["billing", "bug"])`` is made from the function's definition:
columns in order, constants by name, in snake_case.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from aiquery import clients, evaluate
from aiquery import config as configuration
from aiquery.errors import ArgumentError
from aiquery.functions.signature import bind_columns, is_aggregate, to_snake_case
from aiquery.inference.query_context import QueryContext
from aiquery.reporting.progress import enable_progress_if_interactive
from aiquery.tracking import active

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import narwhals as nw
    import pyarrow as pa

    from aiquery.config.settings import Config
    from aiquery.interfaces import AIFunction, BoundCall, Parameter

BATCH_ROWS = 2048

AHEAD = 64
"""Batches in flight beyond the one that is being read: a frame is in memory anyway."""

_COLUMN_KINDS = {"column", "group"}
_WHAT = {
    "column": "a column's name",
    "group": "a column's name",
    "value": "a text, or a series",
}


class DataFrameEngine:
    """Applies the functions to data frames. Nothing heavy is imported before it is used."""

    name = "frames"

    def accepts(self, connection: Any) -> bool:
        """Return False: a data frame has no connection."""
        del connection
        return False

    def register(self, connection: Any, config: Config) -> None:
        """Raise ``TypeError``: data frames are passed to ``aiquery.functions``."""
        del connection, config
        raise TypeError(
            "a data frame has no connection; call aiquery.functions.classify(frame, ..)."
        )

    def function(self, function: AIFunction) -> Callable[..., Any]:
        """Return a Python function that applies ``function`` to a frame."""

        def apply(
            frame: Any,
            *columns: Any,
            by: Any = None,
            config: configuration.ConfigLike | None = None,
            **options: Any,
        ) -> Any:
            if by is not None and not is_aggregate(function):
                raise ArgumentError(
                    f"{function.name} is not an aggregate; remove by={by!r}."
                )
            given = bind_columns(function, columns, options)
            if type(frame).__module__.startswith("pyspark.sql."):
                from aiquery.engines.spark.driver.functions import apply_to_frame

                return apply_to_frame(function, frame, given, by, config)
            application = _Application(function, frame, configuration.load(config))
            call = application.bind(options)
            if is_aggregate(function):
                return application.aggregate(call, given, by)
            return application.column(call, given)

        apply.__name__ = function.name.removeprefix("ai_")
        apply.__doc__ = describe(function)
        apply.__signature__ = make_signature(function)  # type: ignore[attr-defined]
        return apply


ENGINE = DataFrameEngine()


def make_signature(function: AIFunction) -> inspect.Signature:
    """Return the signature of a function for data frames."""
    kinds = inspect.Parameter
    parameters = [kinds("frame", kinds.POSITIONAL_ONLY)]
    for parameter in function.parameters:
        if parameter.kind in _COLUMN_KINDS:
            default = kinds.empty if parameter.required else None
            parameters.append(
                kinds(parameter.name, kinds.POSITIONAL_OR_KEYWORD, default=default)
            )
    for parameter in function.parameters:
        if parameter.kind not in _COLUMN_KINDS:
            default = kinds.empty if parameter.required else None
            name = to_snake_case(parameter.name)
            parameters.append(kinds(name, kinds.KEYWORD_ONLY, default=default))
    if is_aggregate(function):
        parameters.append(kinds("by", kinds.KEYWORD_ONLY, default=None))
    parameters.append(kinds("config", kinds.KEYWORD_ONLY, default=None))
    return inspect.Signature(parameters)


def describe(function: AIFunction) -> str:
    """Return the docstring of a function for data frames."""
    lines = [
        inspect.cleandoc(function.__doc__ or ""),
        "",
        "frame    a pandas, Polars or Arrow table, or a Spark DataFrame",
    ]
    for parameter in function.parameters:
        what = _WHAT.get(parameter.kind)
        text = parameter.doc if what is None else f"{what}: {parameter.doc}"
        lines.append(f"{to_snake_case(parameter.name)}    {text}")
    lines += [
        "config    a mapping, the path of a TOML file, JSON text, or a Config",
        "",
        "Returns a column of the frame's own library, in its order.",
    ]
    return "\n".join(lines)


def _read_frame(frame: Any) -> nw.DataFrame[Any]:
    """Return a frame of any library. Raises ``ArgumentError`` for one that is not in memory, and for other values."""
    import narwhals as nw

    try:
        return nw.from_native(frame, eager_only=True)
    except TypeError:
        name = f"{type(frame).__module__.partition('.')[0]} {type(frame).__name__}"
        hint = "a pandas, Polars or Arrow frame is expected"
        if hasattr(frame, "collect"):
            hint = "it is computed later: pass frame.collect()"
        raise ArgumentError(f"the first argument is a {name}; {hint}.") from None


class _Application:
    """One function applied to one frame."""

    def __init__(self, function: AIFunction, frame: Any, config: Config) -> None:

        self._function = function
        self._table: nw.DataFrame[Any] = _read_frame(frame)
        self._config = config

    def bind(self, options: Mapping[str, Any]) -> BoundCall:
        """Bind the constants. Raises ``ArgumentError`` and ``ConfigError``."""
        known = {to_snake_case(p.name): p for p in self._function.parameters}
        for name in options:
            if name not in known:
                raise ArgumentError(
                    f"{self._function.name}: {name!r} is not known; it takes {', '.join(known)}."
                )
        constants = {}
        for name, parameter in known.items():
            if parameter.kind == "constant":
                value = options.get(name)
                constants[parameter.name] = (
                    list(value) if isinstance(value, tuple) else value
                )
        call = self._function.bind(constants, self._config)
        clients.check_call(call, self._config)
        return call

    # --- one value per row

    def column(self, call: BoundCall, given: Mapping[str, Any]) -> Any:
        """Return one value per row, as a series of the frame's library."""
        import narwhals as nw
        import pyarrow as pa

        arrays = [
            self._array(parameter, given[to_snake_case(parameter.name)])
            for parameter in self._parameters_per_row(given)
        ]
        values = self._evaluate(call, arrays, len(self._table))
        result = self._to_native(pa.table({self._function.name: values}))
        index = nw.maybe_get_index(self._table)
        if index is not None:
            result.to_native().index = index
        return result[self._function.name].to_native()

    def _parameters_per_row(self, given: Mapping[str, Any]) -> list[Parameter]:
        return [
            parameter
            for parameter in self._function.parameters
            if parameter.kind != "constant"
            and (parameter.required or to_snake_case(parameter.name) in given)
        ]

    def _to_native(self, table: pa.Table) -> nw.DataFrame[Any]:
        """Return an Arrow table as a frame of the library of the given frame."""
        import narwhals as nw

        frame = nw.from_native(table, eager_only=True)
        return nw.from_arrow(frame, backend=self._table.implementation)

    def _evaluate(
        self, call: BoundCall, arrays: list[pa.Array], rows: int
    ) -> pa.ChunkedArray:
        import pyarrow as pa

        from aiquery.requests.sql_types import to_arrow

        enable_progress_if_interactive()
        shared = clients.SharedClient.join(self._config)
        client = shared.client
        try:
            with active.track_run(client, "frames", call.template.function) as stats:
                context = QueryContext(stats=stats)
                batches = _split_batches(arrays, rows)
                stream = evaluate.evaluate_stream(
                    call, batches, client, ahead=AHEAD, context=context
                )
                chunks = list(stream)
        finally:
            shared.leave()
        return pa.chunked_array(chunks, to_arrow(call.returns))

    def _array(self, parameter: Parameter, value: Any) -> pa.Array:
        """Return the values of an argument per row: a column by name, a series, or one value for all rows."""
        import narwhals as nw
        import pyarrow as pa

        where = f"{self._function.name}: {to_snake_case(parameter.name)}"
        if parameter.kind == "value" and isinstance(value, str | None):
            return pa.repeat(pa.scalar(value, pa.string()), len(self._table))
        if isinstance(value, str):
            columns = self._table.columns
            if value not in columns:
                raise ArgumentError(
                    f"{self._function.name}: the frame has no column {value!r}; it has "
                    f"{', '.join(map(repr, columns))}."
                )
            return _to_array(self._table[value], where)
        try:
            series = nw.from_native(value, series_only=True)
        except TypeError:
            raise ArgumentError(
                f"{where} must be the name of a column, which is a text, or a series, not {value!r}."
            ) from None
        return _to_array(series, where)

    # --- aggregates

    def aggregate(self, call: BoundCall, given: Mapping[str, Any], by: Any) -> Any:
        """Return the value of the whole frame, or with ``by`` a frame of the groups, in their order."""
        import pyarrow as pa

        (parameter,) = self._parameters_per_row(given)
        texts = self._array(parameter, given[parameter.name])
        keys = [by] if isinstance(by, str) else list(by or ())
        if self._function.name in keys:
            raise ArgumentError(
                f"{self._function.name}: by={self._function.name!r} is the name of the result; "
                "rename that column."
            )
        if not keys:
            offsets = pa.array([0, len(texts)], pa.int32())
            whole = pa.ListArray.from_arrays(offsets, texts)
            return self._evaluate(call, [whole], 1)[0].as_py()
        columns = [self._array(parameter, key) for key in keys]
        groups = _group(columns, texts)
        lists = groups["texts_list"].combine_chunks()
        values = self._evaluate(call, [lists], len(groups))
        result = groups.drop_columns(["texts_list"]).rename_columns(keys)
        return self._to_native(
            result.append_column(self._function.name, values)
        ).to_native()


def _group(keys: Sequence[pa.Array], texts: pa.Array) -> pa.Table:
    """Return one row per group, in the order of the keys, with its texts as ``texts_list``."""
    import pyarrow as pa

    # Names of our own: those of the frame could be names that Arrow makes.
    names = [f"key_{i}" for i in range(len(keys))]
    table = pa.table({**dict(zip(names, keys, strict=True)), "texts": texts})
    grouped = table.group_by(names).aggregate([("texts", "list")])
    groups: pa.Table = grouped.sort_by([(name, "ascending") for name in names])
    return groups.select([*names, "texts_list"])


def _split_batches(arrays: list[pa.Array], rows: int) -> Iterator[list[pa.Array]]:
    for start in range(0, rows, BATCH_ROWS):
        yield [array.slice(start, BATCH_ROWS) for array in arrays]


def _to_array(series: nw.Series[Any], where: str) -> pa.Array:
    """Return a series as one Arrow array; categories become their values."""
    import pyarrow as pa

    try:
        column = series.to_arrow()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ArgumentError(
            f"{where} holds values of several types, which are not a column: {error}"
        ) from None
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column.type, pa.DictionaryType):
        return column.dictionary_decode()
    return column
