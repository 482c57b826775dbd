"""The embedding models of Google: each generation, and each of the two services, has a method of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from aiquery.providers.embedding_replies import pack_vectors
from aiquery.providers.gemini.payload import to_part
from aiquery.providers.gemini.replies import UsageMetadata, read_usage
from aiquery.providers.http.client import NO_ERROR
from aiquery.requests.request import Response, Usage, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EMBEDDING_CONFIG = "embedContentConfig"


class EmbeddingAPI(NamedTuple):
    """How texts are sent: by which method, and how many at once."""

    method: str
    batch_size: int


_BATCH = EmbeddingAPI("batchEmbedContents", 100)
_SINGLE = EmbeddingAPI("embedContent", 1)
_PREDICT = EmbeddingAPI("predict", 25)
"""Vertex AI takes 250 texts, and 20,000 tokens of all of them."""

_PREDICT_ONE = EmbeddingAPI("predict", 1)
_FIRST_GEMINI = "gemini-embedding-001"


def find_embedding_api(model: str, *, is_vertex: bool) -> EmbeddingAPI:
    """Return how a model takes texts."""
    if not is_vertex:
        return _BATCH
    if _FIRST_GEMINI in model:
        return _PREDICT_ONE
    return _SINGLE if "gemini-embedding" in model else _PREDICT


def build_embedding_request(
    api: EmbeddingAPI, texts: Sequence[str], model: str, config: Mapping[str, object]
) -> tuple[str, dict[str, object]]:
    """Return the method and the body of a request. ``config`` are settings for each text."""
    if api.method == _PREDICT.method:
        instances = [{"content": text} for text in texts]
        return api.method, {"instances": instances, "parameters": config}
    requests: list[dict[str, Any]] = [{"content": to_part(text)} for text in texts]
    for request in requests:
        if config:
            request[EMBEDDING_CONFIG] = config
    if api == _SINGLE:
        return api.method, requests[0]
    return api.method, {"requests": [{"model": model, **one} for one in requests]}


class _Statistics(msgspec.Struct):
    token_count: float | None = None
    truncated: bool | None = None


class _Values(msgspec.Struct):
    values: msgspec.Raw
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct):
    embeddings: _Values


class Embedded(msgspec.Struct, rename="camel"):
    """The fields of a reply that are read, of all three methods."""

    embeddings: list[_Values] | None = None
    embedding: _Values | None = None
    predictions: list[_Prediction] | None = None
    truncated: bool | None = None
    usage_metadata: UsageMetadata | None = None
    error: msgspec.Raw = NO_ERROR


def read_embedded(document: Embedded, count: int) -> Response:
    """Read ``count`` embeddings in the order of their texts. Raises ``InvalidResponse``."""
    found = document.embeddings or []
    if document.embedding is not None:
        found = [document.embedding]
    if document.predictions is not None:
        found = [one.embeddings for one in document.predictions]
    statistics = [one.statistics or _Statistics() for one in found]
    tokens = sum(int(one.token_count or 0) for one in statistics)
    usage = Usage.from_reply(tokens) if tokens else read_usage(document.usage_metadata)
    response = pack_vectors([one.values for one in found], count, usage)
    vectors = [
        Vector(vector.values, truncated=bool(one.truncated or document.truncated))
        for vector, one in zip(response.vectors or (), statistics, strict=True)
    ]
    return msgspec.structs.replace(response, vectors=vectors)
