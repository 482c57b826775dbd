"""The embedding models of Bedrock: each family has a form of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.errors import InvalidResponse
from aiquery.providers.embedding_replies import pack_vectors
from aiquery.providers.http.client import NO_ERROR
from aiquery.requests.request import Response, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.config.endpoint import Endpoint

_OK = 200
_COHERE = "cohere.embed"
_COHERE_WITH_LENGTH = "embed-v4"
_COHERE_TEXTS = 96
_TITAN_WITH_LENGTH = "titan-embed-text-v2"
_NOVA = "amazon.nova"
_TOKENS_HEADER = b"x-amzn-bedrock-input-token-count"


class _ByType(msgspec.Struct):
    float: list[msgspec.Raw] | None = None


class BedrockEmbeddings(msgspec.Struct, rename="camel"):
    """The fields of a reply that are read: of Titan, of Cohere, and of Nova."""

    embedding: msgspec.Raw | None = None
    embeddings: msgspec.Raw | None = None
    input_text_token_count: int | None = None
    error: msgspec.Raw = NO_ERROR


class _NovaVector(msgspec.Struct):
    embedding: msgspec.Raw


def find_batch_size(model: str) -> int:
    """Return how many texts one request may have."""
    return _COHERE_TEXTS if _COHERE in model else 1


def build_embedding_payload(endpoint: Endpoint, texts: list[Any]) -> dict[str, object]:
    """Return the body of a request whose texts shall not be cut.

    The length of the vectors is that of the setting ``dimensions``; what they are for, that of the option ``purpose``.
    """
    model, length = endpoint.model, endpoint.dimensions
    if _COHERE in model:
        payload: dict[str, object] = {
            "texts": texts,
            "input_type": endpoint.options.get("purpose", "search_document"),
            "truncate": "NONE",
            "embedding_types": ["float"],
        }
        if length is not None and _COHERE_WITH_LENGTH in model:
            payload["output_dimension"] = length
        return payload
    if _NOVA in model:
        parameters: dict[str, object] = {
            "embeddingPurpose": endpoint.options.get("purpose", "GENERIC_INDEX"),
            "text": {"truncationMode": "NONE", "value": texts[0]},
        }
        if length is not None:
            parameters["embeddingDimension"] = length
        return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": parameters}
    payload = {"inputText": texts[0]}
    if length is not None and _TITAN_WITH_LENGTH in model:
        payload["dimensions"] = length
    return payload


def read_bedrock_embeddings(
    document: BedrockEmbeddings, headers: Mapping[bytes, bytes], count: int
) -> Response:
    """Read ``count`` embeddings in the order of their texts. Raises ``InvalidResponse``."""
    tokens = headers.get(_TOKENS_HEADER, b"")
    usage = Usage.from_reply(int(tokens) if tokens.isdigit() else None)
    if not tokens:
        usage = Usage.from_reply(document.input_text_token_count)
    if document.embedding is not None:
        return pack_vectors([document.embedding], count, usage)
    if document.embeddings is None:
        raise InvalidResponse("the reply has no embeddings", status=_OK)
    return pack_vectors(_find_vectors(document.embeddings), count, usage)


def _find_vectors(embeddings: msgspec.Raw) -> list[msgspec.Raw]:
    """Return the vectors of a list, or of those by type of number, or of those by kind of medium."""
    for form in (list[_NovaVector], _ByType, list[msgspec.Raw]):
        try:
            found: Any = msgspec.json.decode(embeddings, type=form)
        except msgspec.DecodeError:
            continue  # it has another form
        if isinstance(found, _ByType):
            return found.float or []
        return [one.embedding if isinstance(one, _NovaVector) else one for one in found]
    raise InvalidResponse("the embeddings of the reply are no list", status=_OK)
