"""The parts that all functions share: distinct rows, requests, and values from their outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from aiquery import registry
from aiquery.errors import ArgumentError, copy_error
from aiquery.functions.arguments import (
    OnError,
    find_task_endpoint,
    read_on_budget,
    read_on_error,
)
from aiquery.functions.model_parameters import default_parameters
from aiquery.interfaces import (
    ColumnValues,
    Example,
    Parameter,
    Rounds,
    ScoresChoices,
)
from aiquery.requests.closed_reply import list_closed_replies
from aiquery.requests.request import Outcome, ReplyParser, Request, RequestTemplate
from aiquery.requests.sql_types import STRING, SQLType, to_ddl
from aiquery.requests.sql_values import NoText, to_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiquery.config.budget import OnBudget
    from aiquery.config.endpoint import Endpoint
    from aiquery.config.settings import Config
    from aiquery.errors import RowError
    from aiquery.requests.request import Choices, Content, Prompt

_COLUMN_KINDS = frozenset({"column", "value"})

Row: TypeAlias = tuple[str, ...]
"""The texts of one row, one per column."""


@dataclass(frozen=True, kw_only=True)
class BaseCall:
    """A function bound to its constants, with one request per distinct row: a ``BoundCall``.

    answer_type    the type of an answer
    on_error       what an error of a row becomes
    on_budget      what happens to a row that the budget rejects; None: the configuration decides
    column_names   the names of the column parameters, in order
    """

    template: RequestTemplate
    endpoint: Endpoint
    answer_type: SQLType
    on_error: OnError = "fail"
    on_budget: OnBudget | None = None
    column_names: tuple[str, ...] = ("content",)

    @property
    def strict(self) -> bool:
        """True if one failed request fails the statement."""
        return self.on_error == "fail"

    @property
    def returns(self) -> SQLType:
        """The type of the column: ``answer_type``, or a struct of it and an error."""
        if self.on_error != "struct":
            return self.answer_type
        fields = (("result", self.answer_type), ("errorMessage", STRING))
        return SQLType("STRUCT", fields=fields)

    @property
    def null_value(self) -> object:
        """The value of a row with NULL: None, or a struct of NULLs if errors are in a struct."""
        if self.on_error != "struct":
            return None
        return {"result": None, "errorMessage": None}

    def rounds(self, columns: Sequence[pa.Array]) -> Rounds:
        """Send one request per distinct row in one round. Raises the first ``RowError``."""
        contents, index = self.find_contents(columns)
        outcomes = yield [Request(self.template, content) for content in contents]
        return ColumnValues(self.to_values(outcomes), index)

    def find_contents(
        self, columns: Sequence[pa.Array]
    ) -> tuple[list[Content], pa.Array]:
        """Return the content of each distinct row, and its position for each row: NULL for a row with NULL."""
        texts = [
            to_text_column(self.column_names[i], column)
            for i, column in enumerate(columns)
        ]
        rows, index = find_distinct(texts)
        return [self.build_content(row) for row in rows], index

    def build_content(self, row: Row) -> Content:
        """Return the content of a request for one row."""
        if len(row) == 1:
            return row[0]
        named = zip(self.column_names, row, strict=True)
        return dict[str, object](named)

    def to_values(self, outcomes: Sequence[Outcome]) -> list[object]:
        """Return the outcomes as values of type ``returns``. May raise the first ``RowError``."""
        return [
            self.wrap_answer(outcome.value)
            if outcome.error is None
            else self.wrap_error(outcome.error)
            for outcome in outcomes
        ]

    def wrap_answer(self, answer: object) -> object:
        """Return an answer as a value of type ``returns``."""
        if self.on_error != "struct":
            return answer
        return {"result": answer, "errorMessage": None}

    def wrap_error(self, error: RowError) -> object:
        """Return the value of a failed row, or raise its error."""
        if self.on_error == "fail":
            raise copy_error(error)
        if self.on_error == "struct":
            return {"result": None, "errorMessage": str(error)}
        return {"response": None, "error_message": str(error)}


@dataclass(kw_only=True, frozen=True)
class ChatSpec:
    """The requests of a ``ChatFunction``, and the conversion of a reply to a value.

    prompt            the text around the row
    parser            parses the reply into an answer
    answer_type       the type of an answer
    response_format   constrains the reply, in OpenAI's format; None: the reply is not constrained
    parameters        sent in addition to the endpoint's own parameters
    on_error          what an error of a row becomes if ``failOnError`` is missing
    local_examples    pairs of a user message and the reply to it, for models in the process only: a small model needs
                      to see what is wanted, a large one would only cost more
    remote_prompt     in place of ``prompt`` for models outside the process: fewer words, which every row pays for
    choices           what the values of the reply mean, if the reply is one of a few values
    build_content     returns the values of the prompt's placeholders for one row; None: the columns
                      are the values
    second_prompt     of a second request about each row; None: there is none
    combine           makes one answer of the answers of both requests
    """

    prompt: Prompt
    parser: ReplyParser
    answer_type: SQLType = STRING
    response_format: Mapping[str, Any] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    on_error: OnError = "fail"
    local_examples: tuple[tuple[str, str], ...] = ()
    remote_prompt: Prompt | None = None
    choices: Choices | None = None
    build_content: Callable[[Row], Content] | None = None
    second_prompt: Prompt | None = None
    combine: Callable[[object, object], object] | None = None


def build_plain_template(
    function: str,
    endpoint: Endpoint,
    parser: ReplyParser,
    reply_type: str,
    *,
    answer_type: SQLType = STRING,
    counts: bool = False,
) -> RequestTemplate:
    """Return the template of requests that are no chat: without a prompt, a format and parameters."""
    return RequestTemplate(
        endpoint=endpoint.name,
        model=endpoint.model,
        parser=parser,
        reply_type=reply_type,
        answer_type=answer_type,
        address=endpoint.address(),
        counts=counts,
        function=function,
    )


def find_scoring(endpoint: Endpoint, response_format: Mapping[str, Any] | None) -> str:
    """Return how the endpoint chooses a reply of this format without writing it; "": it writes every reply."""
    provider = registry.provider(endpoint.provider)
    if not isinstance(provider, ScoresChoices):
        return ""
    is_closed = list_closed_replies(response_format) is not None
    return provider.scoring(endpoint) if is_closed else ""


class ChatFunction:
    """An AI function that sends one chat request per distinct row: the base of an ``AIFunction``.

    ``version`` is part of the cache key. A new version sends all rows again; it is needed when the
    parser changes. A change of the prompt changes the key by itself.
    """

    name: ClassVar[str]
    returns: ClassVar[str] = "STRING"
    parameters: ClassVar[tuple[Parameter, ...]]
    examples: ClassVar[tuple[Example, ...]]
    spec: ClassVar[ChatSpec | None] = None
    """The spec of a function without constants of its own."""

    version: ClassVar[str] = "1"

    def build_spec(self, arguments: Mapping[str, Any]) -> ChatSpec:
        """Check the constant arguments and return the spec. Raises ``ArgumentError``.

        A function with constants of its own overrides it; any other sets ``spec``.
        """
        del arguments
        if self.spec is None:
            raise NotImplementedError(f"{type(self).__name__} sets no spec")
        return self.spec

    def bind(self, arguments: Mapping[str, Any], config: Config) -> BaseCall:
        """Return the call. Raises ``ArgumentError`` or ``ConfigError``."""
        spec = self.build_spec(arguments)
        name = arguments.get("endpoint")
        endpoint = find_task_endpoint(self.name, "chat", name, config)
        columns = [p.name for p in self.parameters if p.kind in _COLUMN_KINDS]
        second = None
        if spec.second_prompt is not None:
            other = replace(spec, prompt=spec.second_prompt, remote_prompt=None)
            second = self._build_template(other, endpoint)
        return _ChatCall(
            template=self._build_template(spec, endpoint),
            second_template=second,
            combine=spec.combine,
            endpoint=endpoint,
            answer_type=spec.answer_type,
            on_error=read_on_error(self.name, arguments, spec.on_error),
            on_budget=read_on_budget(self.name, arguments),
            column_names=tuple(columns),
            content_builder=spec.build_content,
        )

    def _build_template(self, spec: ChatSpec, endpoint: Endpoint) -> RequestTemplate:
        prompt = spec.prompt
        if registry.provider(endpoint.provider).remote:
            prompt = spec.remote_prompt or prompt
        elif spec.local_examples:
            prompt = replace(prompt, examples=spec.local_examples)
        return RequestTemplate(
            endpoint=endpoint.name,
            model=endpoint.model,
            parser=spec.parser,
            parameters={**default_parameters(endpoint), **spec.parameters},
            response_format=spec.response_format,
            prompt=prompt,
            choices=spec.choices,
            scoring=find_scoring(endpoint, spec.response_format),
            reply_type=to_ddl(spec.answer_type),
            answer_type=spec.answer_type,
            version=f"{self.name} {self.version}",
            address=endpoint.address(),
            function=self.name,
        )


@dataclass(frozen=True, kw_only=True)
class _ChatCall(BaseCall):
    content_builder: Callable[[Row], Content] | None = None
    second_template: RequestTemplate | None = None
    combine: Callable[[object, object], object] | None = None

    def rounds(self, columns: Sequence[pa.Array]) -> Rounds:
        if self.second_template is None or self.combine is None:
            return (yield from super().rounds(columns))
        contents, index = self.find_contents(columns)
        templates = (self.template, self.second_template)
        outcomes = yield [
            Request(template, content) for template in templates for content in contents
        ]
        count = len(contents)
        pairs = zip(outcomes[:count], outcomes[count:], strict=True)
        combined = [self._combine(first, second) for first, second in pairs]
        return ColumnValues(self.to_values(combined), index)

    def _combine(self, first: Outcome, second: Outcome) -> Outcome:
        if self.combine is None or first.error is not None:
            return first
        if second.error is not None:
            return second
        return Outcome(self.combine(first.value, second.value))

    def build_content(self, row: Row) -> Content:
        if self.content_builder is not None:
            return self.content_builder(row)
        return super().build_content(row)


def to_text_column(name: str, column: pa.Array, expected: str = "a STRING") -> pa.Array:
    """Return a column as strings. Raises ``ArgumentError`` if its type has no text."""
    try:
        return to_texts(column)
    except NoText as problem:
        raise ArgumentError(f"{name} must be {expected}, not {problem}.") from None


def find_distinct(columns: Sequence[pa.Array]) -> tuple[list[Row], pa.Array]:
    """Return each distinct row once, in order of appearance, and its position for each row.

    A row with NULL in any column is not among them; its position is NULL.
    """
    if len(columns) == 1:
        encoded = columns[0].dictionary_encode()
        distinct = encoded.dictionary.to_pylist()
        return [(text,) for text in distinct], encoded.indices.cast(pa.int32())
    encodings = [column.dictionary_encode() for column in columns]
    codes = _combine_codes(encodings, len(columns[0]))
    encoded = codes.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    texts = [encoding.dictionary.to_pylist() for encoding in encodings]
    rows = [_split_code(code, texts) for code in distinct]
    return rows, encoded.indices.cast(pa.int32())


def _combine_codes(encodings: Sequence[pa.Array], length: int) -> pa.Array:
    """Return one number per row that identifies its texts in all columns; NULL if one is NULL."""
    codes = pa.array([0] * length, pa.int64())
    for encoding in encodings:
        size = max(len(encoding.dictionary), 1)
        digits = encoding.indices.cast(pa.int64())
        codes = pc.multiply(codes, pa.scalar(size, pa.int64()))
        codes = pc.add(codes, digits)
    return codes


def _split_code(code: int, texts: list[list[str]]) -> Row:
    """Return the texts of a number of ``_combine_codes``."""
    row: list[str] = []
    for column in reversed(texts):
        code, position = divmod(code, max(len(column), 1))
        row.append(column[position])
    return tuple(reversed(row))
