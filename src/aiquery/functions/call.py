"""What the calls of all functions have in common: distinct rows, requests, and outcomes back into values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from aiquery.errors import ArgumentError
from aiquery.functions.arguments import Errors, endpoint_for, errors_of, on_budget_of
from aiquery.functions.model_parameters import default_parameters
from aiquery.interfaces import ColumnValues, Example, Parameter, Rounds
from aiquery.requests.request import ReplyParser, Request, RequestTemplate
from aiquery.requests.sql_types import STRING, SQLType, to_ddl
from aiquery.requests.sql_values import NoText, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiquery.config.budget import OnBudget
    from aiquery.config.endpoint import Endpoint
    from aiquery.config.settings import Config
    from aiquery.errors import RowError
    from aiquery.requests.request import Content, Outcome, Prompt


@dataclass(frozen=True, kw_only=True)
class BaseCall:
    """A function bound to its constants. ``names`` are those of its columns."""

    template: RequestTemplate
    endpoint: Endpoint
    answer: SQLType
    errors: Errors = "fail"
    on_budget: OnBudget | None = None
    names: tuple[str, ...] = ("content",)

    @property
    def strict(self) -> bool:
        """See ``BoundCall.strict``."""
        return self.errors == "fail"

    @property
    def returns(self) -> SQLType:
        """The type of the column."""
        if self.errors == "struct":
            return SQLType(
                "STRUCT", fields=(("result", self.answer), ("errorMessage", STRING))
            )
        return self.answer

    @property
    def null_value(self) -> object:
        """NULL, or a struct of NULLs where errors are values."""
        return (
            {"result": None, "errorMessage": None} if self.errors == "struct" else None
        )

    def rounds(self, columns: Sequence[pa.Array]) -> Rounds:
        """Ask one request for each distinct row; see ``BoundCall.rounds``."""
        rows, index = distinct(
            [text_column(self.names[i], column) for i, column in enumerate(columns)]
        )
        outcomes = yield [Request(self.template, self.content(row)) for row in rows]
        return ColumnValues(self.values(outcomes), index)

    def content(self, row: tuple[str, ...]) -> Content:
        """Return what a request holds of one row."""
        if len(row) == 1:
            return row[0]
        named: dict[str, object] = dict(zip(self.names, row, strict=True))
        return named

    def values(self, outcomes: Sequence[Outcome]) -> list[object]:
        """Turn outcomes into values of ``returns``; raise the first error where that fails the query."""
        return [
            self.failed(o.error) if o.error is not None else self.wrapped(o.value)
            for o in outcomes
        ]

    def wrapped(self, value: object) -> object:
        """Return an answer as a value of ``returns``."""
        return (
            {"result": value, "errorMessage": None}
            if self.errors == "struct"
            else value
        )

    def failed(self, error: RowError) -> object:
        """Return the value of a row that failed, or raise its error."""
        if self.errors == "fail":
            raise error
        if self.errors == "struct":
            return {"result": None, "errorMessage": str(error)}
        return {"response": None, "error_message": str(error)}


@dataclass(frozen=True)
class ChatSpec:
    """How a chat model is asked: the words, how the reply is constrained and read, and the type that it becomes.

    ``parameters`` are sent besides the endpoint's own; ``errors`` is where a row's error goes unless failOnError says;
    ``prepare`` turns a row of several columns into what fills the prompt.
    """

    prompt: Prompt
    reply: ReplyParser
    answer: SQLType = STRING
    response_format: Mapping[str, Any] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    errors: Errors = "fail"
    prepare: Callable[[tuple[str, ...]], Content] | None = None


class ChatFunction(ABC):
    """A function that asks a chat model about each distinct row.

    ``version`` is part of the key: raise it when the reading changes, so that rows are asked anew (a change of the
    words alone changes the key by itself).
    """

    name: ClassVar[str]
    returns: ClassVar[str] = "STRING"
    parameters: ClassVar[tuple[Parameter, ...]]
    examples: ClassVar[tuple[Example, ...]]
    version: ClassVar[str] = "1"

    @abstractmethod
    def ask(self, arguments: Mapping[str, Any]) -> ChatSpec:
        """Check the constants and return how to ask; raise an ``ArgumentError`` that names what is wrong."""

    def bind(self, arguments: Mapping[str, Any], config: Config) -> BaseCall:
        """See ``AIFunction.bind``."""
        ask = self.ask(arguments)
        endpoint = endpoint_for(self.name, "chat", arguments.get("endpoint"), config)
        template = self.template(ask, endpoint)
        names = tuple(p.name for p in self.parameters if p.kind in {"column", "value"})
        return _PreparedCall(
            template=template,
            endpoint=endpoint,
            answer=ask.answer,
            errors=errors_of(self.name, arguments, ask.errors),
            on_budget=on_budget_of(self.name, arguments),
            names=names,
            prepare=ask.prepare,
        )

    def template(self, ask: ChatSpec, endpoint: Endpoint) -> RequestTemplate:
        """Return what the requests of a call have in common."""
        return RequestTemplate(
            endpoint=endpoint.name,
            model=endpoint.model,
            parser=ask.reply,
            parameters={**default_parameters(endpoint), **ask.parameters},
            response_format=ask.response_format,
            prompt=ask.prompt,
            reply_type=to_ddl(ask.answer),
            version=f"{self.name} {self.version}",
            address=endpoint.address(),
            function=self.name,
        )


@dataclass(frozen=True, kw_only=True)
class _PreparedCall(BaseCall):
    prepare: Callable[[tuple[str, ...]], Content] | None = None

    def content(self, row: tuple[str, ...]) -> Content:
        return self.prepare(row) if self.prepare is not None else super().content(row)


def text_column(name: str, column: pa.Array, expected: str = "a STRING") -> pa.Array:
    """Return the column as text (see ``aiquery.requests.sql_values``); refuse one that has none."""
    try:
        return texts(column)
    except NoText as problem:
        raise ArgumentError(f"{name} must be {expected}, not {problem}.") from None


def distinct(columns: Sequence[pa.Array]) -> tuple[list[tuple[str, ...]], pa.Array]:
    """Return each distinct row once, in the order of their first appearance, and for each row which it is.

    A row with a NULL in any column is none (its place in the index is NULL).
    """
    if len(columns) == 1:
        encoded = columns[0].dictionary_encode()
        return [
            (text,) for text in encoded.dictionary.to_pylist()
        ], encoded.indices.cast(pa.int32())
    codes = [column.dictionary_encode() for column in columns]
    combined = pa.array([0] * len(columns[0]), pa.int64())
    for code in codes:
        width = pa.scalar(max(len(code.dictionary), 1), pa.int64())
        combined = pc.add(pc.multiply(combined, width), code.indices.cast(pa.int64()))
    pairs = combined.dictionary_encode()
    texts = [code.dictionary.to_pylist() for code in codes]
    rows = [_unfold(number, texts) for number in pairs.dictionary.to_pylist()]
    return rows, pairs.indices.cast(pa.int32())


def _unfold(number: int, texts: list[list[str]]) -> tuple[str, ...]:
    row: list[str] = []
    for column in reversed(texts):
        number, i = divmod(number, max(len(column), 1))
        row.append(column[i])
    return tuple(reversed(row))
