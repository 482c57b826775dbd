"""The embedding models of Bedrock: each family has a form of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.errors import InvalidResponse
from aiquery.providers.embedding_replies import pack_vectors
from aiquery.providers.http import NO_ERROR
from aiquery.requests.request import Response, Usage

if TYPE_CHECKING:
    from aiquery.config.endpoint import Endpoint

_OK = 200
_COHERE = "cohere.embed"
_COHERE_TEXTS = 96
_INPUT_TYPE = "search_document"


class _ByType(msgspec.Struct):
    float: list[msgspec.Raw] | None = None


class BedrockEmbeddings(msgspec.Struct, rename="camel"):
    """The fields of a reply that are read: of Titan, and of Cohere."""

    embedding: msgspec.Raw | None = None
    embeddings: list[msgspec.Raw] | _ByType | None = None
    input_text_token_count: int | None = None
    error: msgspec.Raw = NO_ERROR


def find_batch_size(model: str) -> int:
    """Return how many texts one request may have."""
    return _COHERE_TEXTS if _COHERE in model else 1


def build_embedding_payload(endpoint: Endpoint, texts: list[Any]) -> dict[str, object]:
    """Return the body of a request. The length of the vectors is that of the setting ``dimensions``."""
    if _COHERE in endpoint.model:
        payload: dict[str, object] = {
            "texts": texts,
            "input_type": endpoint.options.get("input_type", _INPUT_TYPE),
            "embedding_types": ["float"],
        }
        if endpoint.dimensions is not None and "embed-v4" in endpoint.model:
            payload["output_dimension"] = endpoint.dimensions
        return payload
    payload = {"inputText": texts[0]}
    if endpoint.dimensions is not None:
        payload["dimensions"] = endpoint.dimensions
    return payload


def read_bedrock_embeddings(document: BedrockEmbeddings, count: int) -> Response:
    """Read ``count`` embeddings in the order of their texts. Raises ``InvalidResponse``."""
    found = document.embeddings
    vectors = found.float if isinstance(found, _ByType) else found
    if document.embedding is not None:
        vectors = [document.embedding]
    if vectors is None:
        raise InvalidResponse("the reply has no embeddings", status=_OK)
    usage = Usage.from_reply(document.input_text_token_count)
    return pack_vectors(vectors, count, usage)
