"""Cross-encoders in the process: how well documents answer a query."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiquery.providers.local.llama_server import LlamaServer
from aiquery.requests.request import Response, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiquery.providers.local.llama_server import ModelSettings


class RerankModel:
    """A loaded cross-encoder."""

    slots = 2
    """One request is prepared while another one is computed."""

    def __init__(self, settings: ModelSettings) -> None:
        """Load the model. Raises ``ModelFileError``."""
        self.llama = LlamaServer(settings)

    def rank(self, query: str, documents: Sequence[str]) -> Response:
        """Return the score of each document, as the model gives it. Raises ``RequestFailed``."""
        reply = self.llama.rerank(query, list(documents))
        rows = sorted(reply["results"], key=lambda row: int(row["index"]))
        usage = Usage(int(reply.get("usage", {}).get("prompt_tokens", 0)))
        return Response(
            scores=[float(row["relevance_score"]) for row in rows], usage=usage
        )

    def count_tokens(self, text: str) -> int:
        """Return the tokens of a text without those that frame it. Raises ``RequestFailed``."""
        return len(self.llama.tokenize(text))

    async def close(self) -> None:
        """Unload the model."""
        await asyncio.to_thread(self.llama.close)
