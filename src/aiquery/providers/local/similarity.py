"""Chooses one of a few values by the similarity of the text and of texts that say what a value means.

One embedding of the text, and no generation. The score of a value is the cosine with its meaning,
minus the mean cosine of the reference texts with it. Its probability is the softmax of the scores.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from aiquery.providers.local.references import reference_texts
from aiquery.requests.request import Response, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiquery.providers.local.bert import Matrix
    from aiquery.providers.local.embedding_model import EmbeddingModel
    from aiquery.requests.request import Choices, Content, Request

MAX_BATCH = 64
"""Texts that are embedded together."""

_MAX_MEANINGS = 10_000
"""Meanings in memory at most. A condition may be another one in each row."""


class SimilarityChooser:
    """Chooses values with an embedding model. Requests that arrive together are embedded together."""

    def __init__(self, model: EmbeddingModel) -> None:
        """``model`` is open until ``close``."""
        self._model = model
        self._waiting: list[tuple[Request, asyncio.Future[Response]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._references: Matrix | None = None
        self._meanings: dict[tuple[str, ...], tuple[Matrix, float]] = {}

    async def choose(self, request: Request) -> Response:
        """Return the reply with the most probable value, and its probability. Raises ``RowError``."""
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    def count_tokens(self, request: Request) -> int:
        """Return the tokens that are read for a request. Raises ``RequestFailed``."""
        return self._model.count_read_tokens(content_text(request.content))

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch = [job for job in self._waiting[:MAX_BATCH] if not job[1].done()]
                del self._waiting[:MAX_BATCH]
                await self._answer(batch)
        finally:
            self._worker = None

    async def _answer(
        self, batch: list[tuple[Request, asyncio.Future[Response]]]
    ) -> None:
        requests = [request for request, _ in batch]
        outcomes: Sequence[Response | Exception]
        try:
            outcomes = await asyncio.to_thread(self._choose_all, requests)
        except Exception as error:  # noqa: BLE001  each request of the batch raises it
            outcomes = [error] * len(batch)
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _choose_all(self, requests: list[Request]) -> list[Response]:
        if not requests:
            return []
        texts = [content_text(request.content) for request in requests]
        vectors, counts = self._model.embed_whole(texts)
        return [
            self._choose(request, vector, count)
            for request, vector, count in zip(requests, vectors, counts, strict=True)
        ]

    def _choose(self, request: Request, vector: Any, tokens: int) -> Response:
        choices = request.template.choices
        if choices is None:
            raise AssertionError("a request without choices cannot be scored")
        scores = self._score(choices, request.content, vector)
        powers = np.exp(choices.scale * (scores - scores.max()))
        best = int(powers.argmax())
        value = choices.options[best].value
        return Response(
            text=msgspec.json.encode({choices.field: value}).decode(),
            usage=Usage(tokens),
            confidence=round(float(powers[best] / powers.sum()), 6),
        )

    def _score(self, choices: Choices, content: Content, vector: Any) -> Any:
        scores = []
        for option in choices.options:
            score = option.bias
            texts = option.fill(content)
            if texts:
                meaning, usual = self._find_meaning(texts)
                score += float(vector @ meaning) - usual
            scores.append(score)
        return np.array(scores)

    def _find_meaning(self, texts: tuple[str, ...]) -> tuple[Any, float]:
        """Return the mean vector of texts, with length 1, and the mean cosine of the reference texts with it."""
        found = self._meanings.get(texts)
        if found is None:
            mean = self._model.embed_whole(texts)[0].sum(axis=0)
            mean /= np.linalg.norm(mean)
            if self._references is None:
                self._references = self._model.embed_whole(reference_texts())[0]
            found = (mean, float((self._references @ mean).mean()))
            if len(self._meanings) >= _MAX_MEANINGS:
                self._meanings.clear()
            self._meanings[texts] = found
        return found


def answer_blank(choices: Choices) -> Response:
    """Return the reply for a text without a character that is visible: nothing speaks for any value."""
    value = choices.options[0].value if choices.blank is None else choices.blank
    return Response(
        text=msgspec.json.encode({choices.field: value}).decode(),
        confidence=round(1 / len(choices.options), 6),
    )


def content_text(content: Content) -> str:
    """Return the text of a row that is classified."""
    if isinstance(content, dict):
        return str(content.get("content", ""))
    return str(content)
