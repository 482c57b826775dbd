"""The reply of ``/embeddings`` in OpenAI's format."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from aiquery.errors import InvalidResponse
from aiquery.providers.embedding_replies import pack_vectors
from aiquery.providers.http.client import NO_ERROR
from aiquery.providers.openai.usage import ReportedUsage, read_usage

if TYPE_CHECKING:
    from aiquery.requests.request import Response

_OK = 200


class _Vector(msgspec.Struct):
    embedding: msgspec.Raw
    index: int | None = None


class Embeddings(msgspec.Struct):
    """The fields of an embeddings reply that are read."""

    data: list[_Vector] | None = None
    usage: ReportedUsage | None = None
    error: msgspec.Raw = NO_ERROR


def read_embeddings(document: Embeddings, count: int) -> Response:
    """Read ``count`` embeddings in the order of their texts. Raises ``InvalidResponse``."""
    found = document.data or []
    has_order = len(found) == count  # otherwise the error of a wrong number
    if has_order and all(vector.index is not None for vector in found):
        found = sorted(found, key=lambda vector: vector.index or 0)
        if [vector.index for vector in found] != list(range(count)):
            raise InvalidResponse(
                f"the indices of the embeddings are not 0 to {count - 1}", status=_OK
            )
    vectors = [vector.embedding for vector in found]
    return pack_vectors(vectors, count, read_usage(document.usage))
