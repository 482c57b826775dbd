"""ai_embed: the vector of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery import registry
from aiquery.functions import vectors
from aiquery.functions.arguments import (
    COMMON,
    CONTENT,
    endpoint_for,
    errors_of,
    on_budget_of,
)
from aiquery.functions.call import BaseCall, distinct, text_column
from aiquery.interfaces import ColumnValues, Example, Rounds
from aiquery.requests.parsing import VectorReply
from aiquery.requests.request import Request, RequestTemplate
from aiquery.requests.sql_types import SQLType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from aiquery.config.endpoint import Endpoint
    from aiquery.config.settings import Config
    from aiquery.requests.request import Outcome

FLOAT = SQLType("FLOAT")


def dimensions(endpoint: Endpoint) -> int | None:
    """Return the length of the endpoint's embeddings where it is known, else None."""
    return registry.provider(endpoint.provider).dimensions(endpoint)


def embedding_template(
    function: str, endpoint: Endpoint, length: int | None
) -> RequestTemplate:
    """Return how an endpoint is asked for embeddings: the same, and so shared, for every function that needs them.

    ``length`` is the number of floats that the column has room for, None where any will do.
    """
    return RequestTemplate(
        endpoint=endpoint.name,
        model=endpoint.model,
        parser=VectorReply(length),
        reply_type="VectorReply",
        address=endpoint.address(),
        function=function,
    )


class EmbedCall(BaseCall):
    """ai_embed bound to its endpoint."""

    def rounds(self, columns: Sequence[pa.Array]) -> Rounds:
        """See ``BoundCall.rounds``."""
        rows, index = distinct([text_column("content", columns[0])])
        outcomes = yield [Request(self.template, text) for (text,) in rows]
        return ColumnValues(vectors_of(self, outcomes), index)


def vectors_of(call: BaseCall, outcomes: Sequence[Outcome]) -> list[object] | pa.Array:
    """Return vectors as a column of floats, or within structs where errors are values."""
    if call.errors == "fail":
        return vectors.column(call.values(outcomes))  # type: ignore[arg-type]
    return [
        call.failed(o.error)
        if o.error is not None
        else call.wrapped(o.value and vectors.floats(str(o.value)))
        for o in outcomes
    ]


class Embed:
    """``ai_embed(content)``: the embedding of a text, an ARRAY<FLOAT>; FLOAT[n] on DuckDB where n is known.

    n is known for the default model in the process, and where the endpoint's ``dimensions`` say it. Texts are packed
    into large requests, longest with longest (``max_batch_size``). A text that is longer than the model's limit is
    truncated there, and counted.
    """

    name = "ai_embed"
    returns = "ARRAY<FLOAT>"
    parameters = (CONTENT, *COMMON)
    examples = (
        Example(
            "SELECT array_length(ai_embed('My card was lost.')) AS dimensions", "384"
        ),
    )

    def bind(self, arguments: Mapping[str, Any], config: Config) -> EmbedCall:
        """See ``AIFunction.bind``."""
        endpoint = endpoint_for(
            self.name, "embedding", arguments.get("endpoint"), config
        )
        length = dimensions(endpoint)
        return EmbedCall(
            template=embedding_template(self.name, endpoint, length),
            endpoint=endpoint,
            answer=SQLType("ARRAY", element=FLOAT, length=length),
            errors=errors_of(self.name, arguments),
            on_budget=on_budget_of(self.name, arguments),
        )


AI_EMBED = Embed()
