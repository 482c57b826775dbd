"""ai_rerank: how well a document answers a query, by a cross-encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.functions.arguments import (
    COMMON,
    find_task_endpoint,
    read_on_budget,
    read_on_error,
)
from aiquery.functions.call import BaseCall, build_plain_template
from aiquery.interfaces import Example, Parameter
from aiquery.requests.parsing import ScoreParser
from aiquery.requests.sql_types import SQLType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.config.settings import Config

FLOAT = SQLType("FLOAT")


class Rerank:
    """``ai_rerank(query, document)``: how well a document answers a query, a FLOAT.

    A cross-encoder reads both texts together, which is more exact than the cosine of two embeddings and
    costs a computation per pair: use it on the best rows of a search, ``ORDER BY ai_rerank('..', text) DESC``.
    The endpoint has ``task = "rerank"``: a model in the process, or a server with ``/rerank`` (Cohere,
    Jina, vLLM, TEI). A higher score is a better answer; its range is that of the model, for most of them
    0 to 1. Documents with the same query share a request of up to ``max_batch_size`` documents. A NULL
    query or document gives NULL without a request.
    """

    name = "ai_rerank"
    returns = "FLOAT"
    parameters = (
        Parameter(
            "query",
            "value",
            required=True,
            doc="the question or search words; NULL gives NULL without a request",
        ),
        Parameter(
            "document",
            "column",
            required=True,
            doc="the text that may answer it; NULL gives NULL without a request",
        ),
        *COMMON,
    )
    examples = (
        Example(
            "SELECT ai_rerank('How do I reset my PIN?', 'You change the PIN at any machine.') AS score",
            "0.75",
            reply="0.75",
        ),
    )

    def bind(self, arguments: Mapping[str, Any], config: Config) -> BaseCall:
        """Return the call. Raises ``ArgumentError`` or ``ConfigError``."""
        name = arguments.get("endpoint")
        endpoint = find_task_endpoint(self.name, "rerank", name, config)
        parser = ScoreParser()
        return BaseCall(
            template=build_plain_template(
                self.name, endpoint, parser, parser.key_name, answer_type=FLOAT
            ),
            endpoint=endpoint,
            answer_type=FLOAT,
            on_error=read_on_error(self.name, arguments),
            on_budget=read_on_budget(self.name, arguments),
            column_names=("query", "document"),
        )


AI_RERANK = Rerank()
