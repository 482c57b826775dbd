"""Cross-encoders in the process: how well documents answer a query."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aiquery.errors import ModelFileError
from aiquery.providers.local.gguf_file import read_gguf
from aiquery.providers.local.llama_server import LlamaServer
from aiquery.requests.request import Response, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiquery.providers.local.llama_server import ModelSettings


GENERATIVE = frozenset({"qwen3"})
"""Architectures whose scores llama.cpp returns as probabilities; all others return logits."""


_HEADS = frozenset({"cls.weight", "cls.output.weight"})
"""Tensors of which a cross-encoder has one at least."""


def to_probability(logit: float) -> float:
    """Return the logistic function of a number."""
    if logit < 0:
        power = math.exp(logit)
        return power / (1 + power)
    return 1 / (1 + math.exp(-logit))


class RerankModel:
    """A loaded cross-encoder."""

    slots = 2
    """One request is prepared while another one is computed."""

    def __init__(self, settings: ModelSettings) -> None:
        """Load the model. Raises ``ModelFileError``."""
        file = read_gguf(settings.path)
        self._returns_logits = file.architecture not in GENERATIVE
        if not _HEADS & file.tensors.keys():
            raise ModelFileError(
                f"model file {settings.path} is no cross-encoder: it has no head that scores a pair of texts; use a "
                "reranker, e.g. local:bge-reranker-v2-m3."
            )
        self.llama = LlamaServer(settings)

    def rank(self, query: str, documents: Sequence[str]) -> Response:
        """Return the score of each document, from 0 to 1. Raises ``RequestFailed``."""
        reply = self.llama.rerank(query, list(documents))
        rows = sorted(reply["results"], key=lambda row: int(row["index"]))
        usage = Usage(int(reply.get("usage", {}).get("prompt_tokens", 0)))
        scores = [float(row["relevance_score"]) for row in rows]
        if self._returns_logits:
            scores = [to_probability(score) for score in scores]
        return Response(scores=scores, usage=usage)

    def count_tokens(self, text: str) -> int:
        """Return the tokens of a text without those that frame it. Raises ``RequestFailed``."""
        return len(self.llama.tokenize(text))

    async def close(self) -> None:
        """Unload the model. At the end of the interpreter there is no executor to do it in."""
        self.llama.close()
