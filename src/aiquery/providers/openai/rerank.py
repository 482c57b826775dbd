"""The rerank API of servers: what is sent, and how a reply is read.

Cohere, Jina, Voyage, vLLM, SGLang, llama.cpp and LiteLLM take ``documents``, TEI takes ``texts``. Cohere and most
others return ``results`` with a ``relevance_score``, Voyage ``data``, TEI a list with a ``score``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from aiquery.errors import InvalidResponse
from aiquery.providers.http.client import NO_ERROR
from aiquery.requests.request import Response, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.requests.request import Request

_OK = 200


class _Ranked(msgspec.Struct):
    index: int
    relevance_score: float | None = None
    score: float | None = None


class _RerankUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class Reranked(msgspec.Struct):
    """The fields of a rerank reply that are read."""

    results: list[_Ranked] | None = None
    data: list[_Ranked] | None = None
    usage: _RerankUsage | None = None
    error: msgspec.Raw = NO_ERROR


RERANK_REPLY: type[Any] = Reranked | list[_Ranked]  # type: ignore[assignment]


def build_rerank_payload(
    request: Request, options: Mapping[str, object]
) -> dict[str, object]:
    """Return the body of a request. The option ``rerank_form = "tei"`` chooses the form of TEI."""
    content = cast("dict[str, object]", request.content)
    if options.get("rerank_form") == "tei":
        return {"query": content["query"], "texts": content["documents"]}
    return {
        "model": request.template.model,
        "query": content["query"],
        "documents": content["documents"],
    }


def read_scores(document: Reranked | list[_Ranked], request: Request) -> Response:
    """Read the scores of the request's documents, in their order. Raises ``InvalidResponse``."""
    content = cast("dict[str, list[str]]", request.content)
    count = len(content["documents"])
    usage = Usage()
    if isinstance(document, Reranked):
        rows = document.results or document.data or []
        if document.usage is not None:
            tokens = document.usage.prompt_tokens or document.usage.total_tokens
            usage = Usage.from_reply(tokens)
    else:
        rows = document
    scores: dict[int, float | None] = {}
    for row in rows:
        given = row.score if row.relevance_score is None else row.relevance_score
        scores[row.index] = given
    if (
        set(scores) != set(range(count))
        or len(rows) != count
        or None in scores.values()
    ):
        raise InvalidResponse(
            f"the reply has {len(scores)} scores for {count} documents", status=_OK
        )
    return Response(scores=[scores[i] or 0.0 for i in range(count)], usage=usage)
