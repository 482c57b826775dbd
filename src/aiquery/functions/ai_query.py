"""ai_query: sends the user's request to an endpoint, for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from aiquery.errors import ArgumentError
from aiquery.functions.ai_embed import to_vectors
from aiquery.functions.arguments import (
    FAIL_ON_ERROR,
    ON_BUDGET,
    REQUIRED_ENDPOINT,
    find_endpoint,
    read_on_budget,
    read_on_error,
)
from aiquery.functions.call import (
    BaseCall,
    find_distinct,
    find_scoring,
    to_text_column,
)
from aiquery.functions.model_parameters import (
    check_model_parameters,
    default_parameters,
    is_sampling,
)
from aiquery.functions.query_format import choose_format
from aiquery.interfaces import ColumnValues, Example, Parameter, Rounds
from aiquery.requests.parsing import VectorParser
from aiquery.requests.request import Request, RequestTemplate
from aiquery.requests.sql_values import NoText, to_json_values
from aiquery.requests.variant import is_variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiquery.config.endpoint import Endpoint
    from aiquery.config.settings import Config


class Query:
    """``ai_query(endpoint, request [, ..])``: the answer of any endpoint to a request, of any type.

    A NULL request gives NULL without a request to the endpoint. Equal requests are sent once,
    unless the temperature is above zero without a seed. A row that still fails after all attempts
    fails the statement. With ``failOnError => false`` the result is a STRUCT<result, errorMessage>
    instead, of which exactly one field is NULL.
    """

    name = "ai_query"
    returns = "STRING, or the type that returnType names"
    parameters = (
        REQUIRED_ENDPOINT,
        Parameter(
            "request",
            "column",
            required=True,
            doc="a STRING, a STRUCT with messages, or for a custom endpoint a STRUCT as its record",
        ),
        Parameter(
            "returnType",
            "constant",
            doc="a DDL type such as 'STRUCT<a: INT>'; constrains the model",
        ),
        FAIL_ON_ERROR,
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
            doc="BINARY: a JPEG, PNG, GIF or WebP image that is sent beside the text",
        ),
        ON_BUDGET,
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
        """Return the call. Raises ``ArgumentError`` or ``ConfigError``."""
        endpoint = find_endpoint(self.name, arguments.get("endpoint"), config)
        parameters = _choose_parameters(arguments.get("modelParameters"), endpoint)
        reply_format = choose_format(arguments, endpoint)
        template = RequestTemplate(
            endpoint=endpoint.name,
            model=endpoint.model,
            parser=reply_format.parser,
            parameters=parameters,
            response_format=reply_format.response_format,
            scoring=find_scoring(endpoint, reply_format.response_format),
            reply_type=reply_format.build_key(),
            answer_type=reply_format.answer_type,
            cacheable=not is_sampling(parameters),
            address=endpoint.address(),
            function=self.name,
            chosen=frozenset(arguments.get("modelParameters") or ()),
        )
        return QueryCall(
            template=template,
            endpoint=endpoint,
            answer_type=reply_format.answer_type,
            on_error=read_on_error(self.name, arguments),
            on_budget=read_on_budget(self.name, arguments),
        )


AI_QUERY = Query()


class QueryCall(BaseCall):
    """``ai_query`` bound to its constants."""

    def rounds(self, columns: Sequence[pa.Array]) -> Rounds:
        """Send one request per distinct pair of request and image; one per row if it samples.

        Raises the first ``RowError`` if a failed row fails the statement.
        """
        images = columns[1] if len(columns) > 1 else None
        requests, index = self._build_requests(columns[0], images)
        outcomes = yield requests
        if isinstance(self.template.parser, VectorParser):
            return ColumnValues(to_vectors(self, outcomes), index)
        return ColumnValues(self.to_values(outcomes), index)

    def _build_requests(
        self, column: pa.Array, images: pa.Array | None
    ) -> tuple[list[Request], pa.Array]:
        """Return the requests, and for each row the position of its request."""
        is_struct = isinstance(column.type, pa.StructType)
        is_record = is_struct and not is_variant(column.type)
        if is_record and self.endpoint.task == "embedding":
            raise ArgumentError(
                "ai_query: request must be a STRING for an embedding endpoint, not a STRUCT."
            )
        if images is not None and images.null_count == len(images):
            images = None
        if not is_record:
            column = to_text_column("ai_query: request", column, "a STRING or a STRUCT")
            if images is None and self.template.cacheable:
                rows, index = find_distinct([column])
                return [Request(self.template, text) for (text,) in rows], index
        return self._build_request_per_row(column, images)

    def _build_request_per_row(
        self, column: pa.Array, images: pa.Array | None
    ) -> tuple[list[Request], pa.Array]:
        """Return one request for each row that is not NULL, and the positions of the rows."""
        contents = [_to_content(value) for value in _to_values(column)]
        pictures: list[bytes | None] = [None] * len(contents)
        if images is not None:
            pictures = images.cast(pa.binary()).to_pylist()
        requests: list[Request] = []
        index: list[int | None] = []
        for content, picture in zip(contents, pictures, strict=True):
            if content is None:
                index.append(None)
                continue
            index.append(len(requests))
            requests.append(Request(self.template, content, picture))
        return requests, pa.array(index, pa.int32())


def _to_values(column: pa.Array) -> list[Any]:
    try:
        return to_json_values(column)
    except NoText as problem:
        raise ArgumentError(
            f"ai_query: request has a field of type {problem}; cast it to STRING."
        ) from None


def _to_content(value: Any) -> Any:
    """Return the messages of a conversation without their NULL fields; any other value as it is."""
    if not isinstance(value, dict) or "messages" not in value:
        return value
    return [_drop_nulls(message or {}) for message in value["messages"] or []]


def _drop_nulls(message: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in message.items() if item is not None}


def _choose_parameters(value: object, endpoint: Endpoint) -> dict[str, Any]:
    """Return the parameters of the call, and for a chat endpoint the defaults of the others."""
    own = check_model_parameters(value)
    if endpoint.task != "chat":
        return own
    parameters = default_parameters(endpoint)
    if "max_completion_tokens" in own:
        parameters.pop("max_tokens", None)
    return {**parameters, **own}
