"""The vectors of an embedding reply, in the form that the client stores."""

from __future__ import annotations

from array import array
from base64 import b64encode
from typing import TYPE_CHECKING

import msgspec

from aiquery.errors import InvalidResponse
from aiquery.limits import MAX_BATCH_REPLY_BYTES, MAX_REPLY_BYTES, MAX_VECTOR_BYTES
from aiquery.requests.request import Response, Usage, Vector

if TYPE_CHECKING:
    from collections.abc import Sequence

_OK = 200


def pack_vectors(
    embeddings: Sequence[msgspec.Raw], count: int, usage: Usage
) -> Response:
    """Return the vectors of ``count`` texts. Raises ``InvalidResponse`` for another number, or unequal lengths."""
    if len(embeddings) != count:
        raise InvalidResponse(
            f"the reply has {len(embeddings)} embeddings for {count} texts", status=_OK
        )
    vectors = [_pack(embedding) for embedding in embeddings]
    if len(set(map(len, vectors))) > 1:
        raise InvalidResponse(
            "the embeddings of the reply have different lengths", status=_OK
        )
    return Response(vectors=[Vector(vector) for vector in vectors], usage=usage)


def limit_batch_reply(count: int) -> int:
    """Return the highest number of bytes of a reply with ``count`` embeddings."""
    return min(MAX_REPLY_BYTES + count * MAX_VECTOR_BYTES, MAX_BATCH_REPLY_BYTES)


def _pack(embedding: msgspec.Raw) -> str:
    """Return an embedding, a JSON array or the base64 of 32-bit floats, as base64."""
    text = memoryview(embedding)
    if len(text) > MAX_VECTOR_BYTES:
        raise InvalidResponse(
            f"an embedding of the reply is longer than {MAX_VECTOR_BYTES} bytes",
            status=_OK,
        )
    try:
        floats = msgspec.json.decode(text, type=list[float] | str)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidResponse(
            f"an embedding of the reply is not of the expected form: {error}",
            status=_OK,
        ) from None
    if isinstance(floats, str):
        return floats
    return b64encode(array("f", floats).tobytes()).decode()
