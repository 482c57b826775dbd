"""ai_embed: returns the embedding of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from aiquery import registry
from aiquery.config.local_models import find_prefix
from aiquery.errors import ArgumentError, excerpt
from aiquery.functions import vectors
from aiquery.functions.arguments import (
    COMMON,
    CONTENT,
    find_task_endpoint,
    read_on_budget,
    read_on_error,
)
from aiquery.functions.call import (
    BaseCall,
    build_plain_template,
    find_distinct,
    to_text_column,
)
from aiquery.interfaces import ColumnValues, Example, Parameter, Rounds
from aiquery.requests.parsing import VectorParser
from aiquery.requests.request import Request
from aiquery.requests.sql_types import SQLType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from aiquery.config.endpoint import Endpoint
    from aiquery.config.settings import Config
    from aiquery.requests.request import Outcome, RequestTemplate

FLOAT = SQLType("FLOAT")


def find_dimensions(endpoint: Endpoint) -> int | None:
    """Return the length of the endpoint's embeddings; None if only a reply shows it."""
    return registry.provider(endpoint.provider).dimensions(endpoint)


def build_embedding_template(
    function: str, endpoint: Endpoint, length: int | None
) -> RequestTemplate:
    """Return the template of embedding requests, whose answers all functions share.

    ``length`` is the number of floats that a vector must have; None: any number.
    """
    parser = VectorParser(length)
    return build_plain_template(function, endpoint, parser, parser.key_name)


@dataclass(frozen=True, kw_only=True)
class EmbedCall(BaseCall):
    """``ai_embed`` bound to its endpoint. ``prefix`` stands before each text that is sent."""

    prefix: str = ""

    def rounds(self, columns: Sequence[pa.Array]) -> Rounds:
        """Send one request per distinct text in one round. Raises the first ``RowError``."""
        rows, index = find_distinct([to_text_column("content", columns[0])])
        outcomes = yield [
            Request(self.template, self.prefix + text) for (text,) in rows
        ]
        return ColumnValues(to_vectors(self, outcomes), index)


def to_vectors(call: BaseCall, outcomes: Sequence[Outcome]) -> list[object] | pa.Array:
    """Return vectors as an Arrow column, or as lists in structs if errors are in a struct."""
    if call.on_error == "fail":
        return vectors.to_column(call.to_values(outcomes))  # type: ignore[arg-type]
    return [_to_vector(call, outcome) for outcome in outcomes]


def _to_vector(call: BaseCall, outcome: Outcome) -> object:
    if outcome.error is not None:
        return call.wrap_error(outcome.error)
    if not outcome.value:
        return call.wrap_answer(outcome.value)
    return call.wrap_answer(vectors.to_floats(str(outcome.value)))


class EmbeddingFunction:
    """Base class of functions over embeddings."""

    name: str
    call_type: type[EmbedCall]

    def bind(self, arguments: Mapping[str, Any], config: Config) -> BaseCall:
        """Return the call. Raises ``ArgumentError`` or ``ConfigError``."""
        name = arguments.get("endpoint")
        endpoint = find_task_endpoint(self.name, "embedding", name, config)
        length = find_dimensions(endpoint)
        return self.call_type(
            template=build_embedding_template(self.name, endpoint, length),
            endpoint=endpoint,
            answer_type=self.answer_type(length),
            on_error=read_on_error(self.name, arguments),
            on_budget=read_on_budget(self.name, arguments),
            prefix=find_prefix(endpoint, self._read_input_type(arguments)),
        )

    def _read_input_type(
        self, arguments: Mapping[str, Any]
    ) -> Literal["query", "document"]:
        """Return what the texts are, which some models must know. Raises ``ArgumentError``."""
        value = arguments.get("inputType")
        if value is None or value == "document":
            return "document"
        if value == "query":
            return "query"
        raise ArgumentError(
            f"{self.name}: inputType must be 'query' or 'document', not {excerpt(repr(value))}."
        )

    def answer_type(self, length: int | None) -> SQLType:
        """Return the type of an answer; ``length`` is that of the embeddings, None if it is not known."""
        raise NotImplementedError


class Embed(EmbeddingFunction):
    """``ai_embed(content)``: the embedding of a text, an ARRAY<FLOAT>; on DuckDB FLOAT[n].

    n is the length of the vectors. It is known for the packaged model in the process, and for an
    endpoint that sets ``dimensions``; without it the column is FLOAT[]. Texts of similar length
    share a request of up to ``max_batch_size`` texts. A text that exceeds the model's limit is
    truncated there, and the run counts it. Some models distinguish the text to search with from those that are
    searched: ``inputType => 'query'`` embeds it as such, with the model's prefix. A NULL text gives NULL
    without a request.
    """

    name = "ai_embed"
    returns = "ARRAY<FLOAT>"
    parameters = (
        CONTENT,
        *COMMON,
        Parameter(
            "inputType",
            "constant",
            doc="'query': a text to search with; default: 'document'",
        ),
    )
    examples = (
        Example(
            "SELECT array_length(ai_embed('My card was lost.')) AS dimensions", "384"
        ),
    )

    call_type = EmbedCall

    def answer_type(self, length: int | None) -> SQLType:
        """Return an array of ``length`` floats."""
        return SQLType("ARRAY", element=FLOAT, length=length)


AI_EMBED = Embed()
