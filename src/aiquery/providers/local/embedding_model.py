"""Embedding models in the process: BERT models in floats run with NumPy, all others with llama.cpp."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Protocol

import numpy as np

from aiquery.errors import ModelFileError, RequestFailed, excerpt
from aiquery.providers.local.bert import BertEncoder, can_run
from aiquery.providers.local.gguf_file import read_gguf
from aiquery.providers.local.llama_server import LlamaServer
from aiquery.requests.request import Response, Usage, Vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from aiquery.providers.local.bert import Matrix
    from aiquery.providers.local.llama_server import ModelSettings

_SPECIAL_TOKENS = 2
"""Tokens that frame a text, at most."""


class Encoder(Protocol):
    """Turns texts into vectors of length 1."""

    limit: int
    """The highest number of tokens of a text."""

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text, however many they are."""

    def encode(self, tokens: Sequence[list[int]]) -> Matrix:
        """Return one vector per list of tokens. Raises ``RequestFailed``."""

    def close(self) -> None:
        """Unload the model."""


class LlamaEncoder:
    """An embedding model that llama.cpp runs."""

    def __init__(self, settings: ModelSettings) -> None:
        """Load the model. Raises ``ModelFileError``."""
        self.limit = settings.context
        self._server = LlamaServer(settings)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text with those that frame it. Raises ``RequestFailed``."""
        return [self._server.tokenize(text, special=True) for text in texts]

    def encode(self, tokens: Sequence[list[int]]) -> Matrix:
        """Return one vector per list of tokens. Raises ``RequestFailed``."""
        reply = self._server.embed(list(tokens))
        rows = sorted(reply["data"], key=lambda row: int(row["index"]))
        vectors = [np.frombuffer(b64decode(row["embedding"]), "<f4") for row in rows]
        return np.array(vectors, np.float32)

    def close(self) -> None:
        """Unload the model."""
        self._server.close()


class EmbeddingModel:
    """A loaded embedding model."""

    slots = 2
    """One request is prepared while another one is computed."""

    def __init__(self, settings: ModelSettings) -> None:
        """Load the model. Raises ``ModelFileError``."""
        file = read_gguf(settings.path)
        if not settings.pooling and not file.get("pooling_type"):
            raise ModelFileError(
                f"model file {settings.path} does not say how it makes one vector of a text; it may be a chat model. "
                'If it is an embedding model, set options = { pooling = "mean" } (or cls, last) for the endpoint.'
            )
        uses_numpy = can_run(file) and not settings.gpu_layers and not settings.pooling
        self.encoder: Encoder
        if uses_numpy:
            self.encoder = BertEncoder(file, settings.threads)
        else:
            self.encoder = LlamaEncoder(settings)

    def embed(self, texts: Sequence[str]) -> Response:
        """Return one vector per text; one that exceeds the limit is truncated and marked. Raises ``RequestFailed``."""
        tokens = self._tokenize(texts)
        used = [truncate(one, self.encoder.limit) for one in tokens]
        matrix = self._encode(used)
        vectors = [
            Vector(pack(row), truncated=len(one) > self.encoder.limit)
            for row, one in zip(matrix, tokens, strict=True)
        ]
        return Response(vectors=vectors, usage=Usage(sum(map(len, used))))

    def embed_whole(self, texts: Sequence[str]) -> tuple[Matrix, list[int]]:
        """Return one vector of length 1 per text, and its number of tokens. Raises ``RequestFailed``.

        A text that exceeds the limit is read in parts; its vector is the mean of theirs.
        """
        tokens = self._tokenize(texts)
        parts = [self._split(one) for one in tokens]
        flat = [part for text in parts for part in text]
        matrix = self._encode(flat)
        starts = np.cumsum([0, *(len(text) for text in parts[:-1])])
        sums = np.add.reduceat(matrix, starts, axis=0)
        sums /= np.linalg.norm(sums, axis=1, keepdims=True)
        return sums, [sum(map(len, text)) for text in parts]

    def count_tokens(self, text: str) -> int:
        """Return the tokens of a text without those that frame it. Raises ``RequestFailed``."""
        return self.count_read_tokens(text) - self.count_read_tokens("")

    def count_read_tokens(self, text: str) -> int:
        """Return the tokens of a text with those that frame it, however many they are. Raises ``RequestFailed``."""
        return len(self._tokenize([text])[0])

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        try:
            return self.encoder.tokenize(texts)
        except (UnicodeError, TypeError) as error:
            raise RequestFailed(
                f"the model could not read the text: {excerpt(str(error))}", status=400
            ) from None

    def _encode(self, tokens: list[list[int]]) -> Matrix:
        vectors = self.encoder.encode(tokens)
        if len(vectors) != len(tokens) or not np.isfinite(vectors).all():
            raise ModelFileError(
                "the model returned no vector for a text: is it an embedding model?"
            )
        return vectors

    def _split(self, tokens: list[int]) -> list[list[int]]:
        """Return the tokens in parts that the model can read, each framed as the whole is."""
        if len(tokens) <= self.encoder.limit:
            return [tokens]
        size = self.encoder.limit - _SPECIAL_TOKENS
        inner = tokens[1:-1]
        return [
            [tokens[0], *inner[i : i + size], tokens[-1]]
            for i in range(0, len(inner), size)
        ]

    async def close(self) -> None:
        """Unload the model."""
        self.encoder.close()


def truncate(tokens: list[int], limit: int) -> list[int]:
    """Return the tokens that a model reads: at most ``limit``, the last special one included."""
    if len(tokens) <= limit:
        return tokens
    return [*tokens[: limit - 1], tokens[-1]]


def pack(vector: npt.NDArray[np.float32]) -> str:
    """Return a vector as the base64 of little-endian 32-bit floats."""
    return b64encode(vector.astype("<f4", copy=False).tobytes()).decode()
