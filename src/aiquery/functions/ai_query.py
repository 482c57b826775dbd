"""ai_query: the user's own prompt, asked about every row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from aiquery.errors import (
    ArgumentError,
    UnsupportedResponseFormat,
    UnsupportedReturnType,
    excerpt,
)
from aiquery.functions.ai_embed import vectors_of
from aiquery.functions.arguments import errors_of, named_endpoint, on_budget_of
from aiquery.functions.call import BaseCall, distinct, text_column
from aiquery.functions.model_parameters import (
    check_model_parameters,
    default_parameters,
    is_sampling,
)
from aiquery.interfaces import ColumnValues, Example, Parameter, Rounds
from aiquery.requests.parsing import (
    JSONReply,
    TextReply,
    TypedReply,
    ValueReply,
    VectorReply,
)
from aiquery.requests.request import Request, RequestTemplate
from aiquery.requests.sql_types import EMBEDDING, STRING, SQLType, parse_ddl, to_ddl
from aiquery.requests.sql_values import NoText, values
from aiquery.requests.variant import is_variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiquery.config.endpoint import Endpoint
    from aiquery.config.settings import Config
    from aiquery.requests.request import ReplyParser


class Query:
    """``ai_query(endpoint, request [, ..])``: what a model answers to the user's own prompt, as any type.

    NULL request: NULL answer, no call. A row that fails for good fails the query, or, with ``failOnError => false``,
    is a STRUCT<result, errorMessage> with exactly one of the two NULL. Equal requests are one call.
    """

    name = "ai_query"
    returns = "STRING, or the type that returnType names"
    parameters = (
        Parameter(
            "endpoint",
            "constant",
            required=True,
            doc="an endpoint's name, or vendor:model",
        ),
        Parameter(
            "request",
            "column",
            required=True,
            doc="a STRING, or a STRUCT with messages or a record's fields",
        ),
        Parameter(
            "returnType",
            "constant",
            doc="a DDL type such as 'STRUCT<a: INT>'; constrains the model",
        ),
        Parameter(
            "failOnError",
            "constant",
            doc="false: a failed row becomes STRUCT<result, errorMessage>",
        ),
        Parameter(
            "modelParameters",
            "constant",
            doc="a STRUCT such as {'max_tokens': 256, 'temperature': 0.1}",
        ),
        Parameter(
            "responseFormat",
            "constant",
            doc="JSON, or DDL with one top-level STRUCT field",
        ),
        Parameter(
            "files",
            "column",
            doc="BINARY: a JPEG, PNG, GIF or WebP image sent beside the text",
        ),
        Parameter(
            "on_budget",
            "constant",
            doc="'null': rows beyond the budget are NULL; 'error': the statement ends",
        ),
    )

    examples = (
        Example(
            "SELECT ai_query('local:smollm2-135m-instruct', 'What is the capital of France?') AS answer",
            "Paris.",
            reply="Paris.",
        ),
        Example(
            """SELECT ai_query('local:smollm2-135m-instruct', 'I was charged twice!',
                returnType => 'STRUCT<topic: STRING, urgent: BOOLEAN>') AS answer""",
            "{'topic': 'payment', 'urgent': True}",
            reply='{"topic": "payment", "urgent": true}',
        ),
    )

    def bind(self, arguments: Mapping[str, Any], config: Config) -> QueryCall:
        """Check the constants and return the call; see ``AIFunction.bind`` for what it raises."""
        endpoint = named_endpoint(self.name, arguments.get("endpoint"), config)
        parameters = _parameters(arguments.get("modelParameters"), endpoint)
        reply, response_format, returns = _reading(arguments, endpoint)
        template = RequestTemplate(
            endpoint=endpoint.name,
            model=endpoint.model,
            parser=reply,
            parameters=parameters,
            response_format=response_format,
            reply_type="VectorReply"
            if isinstance(reply, VectorReply)
            else f"{type(reply).__name__} {to_ddl(returns)}",
            cacheable=not is_sampling(parameters),
            address=endpoint.address(),
            function=self.name,
        )
        return QueryCall(
            template=template,
            endpoint=endpoint,
            answer=returns,
            errors=errors_of(self.name, arguments),
            on_budget=on_budget_of(self.name, arguments),
        )


AI_QUERY = Query()


class QueryCall(BaseCall):
    """ai_query bound to its constants."""

    def rounds(self, columns: Sequence[pa.Array]) -> Rounds:
        """One request for each distinct (request, files) pair; one per row where the endpoint samples."""
        requests, index = self._requests(
            columns[0], columns[1] if len(columns) > 1 else None
        )
        outcomes = yield requests
        embedded = isinstance(self.template.parser, VectorReply)
        return ColumnValues(
            vectors_of(self, outcomes) if embedded else self.values(outcomes), index
        )

    def _requests(
        self, column: pa.Array, images: pa.Array | None
    ) -> tuple[list[Request], pa.Array]:
        record = isinstance(column.type, pa.StructType) and not is_variant(column.type)
        if record and self.endpoint.task == "embedding":
            raise ArgumentError(
                "ai_query: request must be a STRING for an embedding endpoint, not a STRUCT."
            )
        if images is not None and images.null_count == len(images):
            images = None
        if not record:
            column = text_column("ai_query: request", column, "a STRING or a STRUCT")
            if images is None and self.template.cacheable:
                rows, index = distinct([column])
                return [Request(self.template, text) for (text,) in rows], index
        contents = [_content(value) for value in _values(column)]
        pictures = (
            images.cast(pa.binary()).to_pylist()
            if images is not None
            else [None] * len(contents)
        )
        asked = [i for i, content in enumerate(contents) if content is not None]
        places: list[int | None] = [None] * len(contents)
        for position, row in enumerate(asked):
            places[row] = position
        return [
            Request(self.template, contents[row], pictures[row]) for row in asked
        ], pa.array(places, pa.int32())


def _values(column: pa.Array) -> list[Any]:
    try:
        return values(column)
    except NoText as problem:
        raise ArgumentError(
            f"ai_query: request has a field of type {problem}; cast it to STRING."
        ) from None


def _content(value: Any) -> Any:
    if not isinstance(value, dict) or "messages" not in value:
        return value
    messages = value["messages"] or []
    return [
        {name: item for name, item in (message or {}).items() if item is not None}
        for message in messages
    ]


def _parameters(value: object, endpoint: Endpoint) -> dict[str, Any]:
    given = check_model_parameters(value)
    if endpoint.task != "chat":
        return given
    parameters = default_parameters(endpoint)
    if "max_completion_tokens" in given:
        parameters.pop("max_tokens", None)
    return {**parameters, **given}


def _reading(
    arguments: Mapping[str, Any], endpoint: Endpoint
) -> tuple[ReplyParser, dict[str, Any] | None, SQLType]:
    """Return how a reply is read, what constrains it, and the type it becomes."""
    ddl = arguments.get("returnType")
    if not isinstance(ddl, str | None):
        raise UnsupportedReturnType(
            f"ai_query: returnType must be a constant STRING, not {excerpt(repr(ddl))}."
        )
    returns = parse_ddl(ddl) if ddl is not None else None
    asked_format = arguments.get("responseFormat")
    if endpoint.task != "chat":
        if asked_format is not None:
            raise UnsupportedResponseFormat(
                f"responseFormat: {endpoint.name!r} is no chat endpoint. Remove it."
            )
        if endpoint.task == "embedding":
            return VectorReply(), None, returns or EMBEDDING
        declared = returns or parse_ddl(endpoint.return_type or "STRING")
        return ValueReply(declared), None, declared
    response_format = _response_format(asked_format)
    if response_format is not None and response_format["type"] == "text":
        response_format = None
    if returns is not None and returns != STRING:
        typed = TypedReply(returns)
        return typed, response_format or typed.response_format(), returns
    if response_format is not None:
        return (
            JSONReply(response_format.get("json_schema", {}).get("schema")),
            response_format,
            STRING,
        )
    return TextReply(), None, STRING


def _response_format(value: object) -> dict[str, Any] | None:
    """Return the OpenAI form of ``responseFormat``, given as JSON text, DDL text, or a STRUCT."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnsupportedResponseFormat(
            f"responseFormat must be a constant STRING, not {excerpt(repr(value))}."
        )
    if not value.lstrip().startswith("{"):
        return _from_ddl(value)
    try:
        document = json.loads(value)
    except json.JSONDecodeError as error:
        raise UnsupportedResponseFormat(
            f"responseFormat is malformed JSON: {error}. It was {excerpt(value)!r}"
        ) from None
    kind = document.get("type")
    if kind in {"text", "json_object"}:
        return {"type": kind}
    if kind != "json_schema":
        raise UnsupportedResponseFormat(
            f"responseFormat: type must be text, json_object or json_schema, not {kind!r}."
        )
    return _checked_schema(document)


def _checked_schema(document: dict[str, Any]) -> dict[str, Any]:
    import jsonschema_rs

    inner = document.get("json_schema")
    if not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict):
        raise UnsupportedResponseFormat(
            'responseFormat: json_schema needs a schema: {"type":"json_schema","json_schema":{"schema":{..}}}.'
        )
    try:
        jsonschema_rs.validator_for(inner["schema"])
    except (jsonschema_rs.ValidationError, ValueError) as error:
        problem = getattr(error, "message", str(error))
        raise UnsupportedResponseFormat(
            f"responseFormat: the schema is no JSON Schema: {problem}"
        ) from None
    return {"type": "json_schema", "json_schema": {"name": "answer", **inner}}


def _from_ddl(ddl: str) -> dict[str, Any]:
    try:
        kind = parse_ddl(ddl)
    except UnsupportedReturnType as error:
        raise UnsupportedResponseFormat(
            f"responseFormat is neither JSON nor DDL: {error.message}"
        ) from None
    if (
        kind.name != "STRUCT"
        or len(kind.fields) != 1
        or kind.fields[0][1].name != "STRUCT"
    ):
        raise UnsupportedResponseFormat(
            f"responseFormat {excerpt(ddl)!r}: DDL must have exactly one top-level field, which is a STRUCT, e.g. "
            "'STRUCT<answer: STRUCT<a: STRING>>'."
        )
    return TypedReply(kind.fields[0][1]).response_format()
