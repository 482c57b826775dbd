"""The provider of models in the process."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import msgspec

from aiquery.errors import MissingExtra
from aiquery.providers.local import shared_model
from aiquery.providers.local.chat_model import ChatModel
from aiquery.providers.local.embedding_model import EmbeddingModel
from aiquery.providers.local.model_file import check_model
from aiquery.providers.local.references import reference_digest
from aiquery.providers.local.repetition import may_be_runaway
from aiquery.providers.local.rerank_model import RerankModel
from aiquery.providers.local.settings import (
    CONTEXT,
    PACKAGED_EMBEDDING,
    check_options,
    packaged_embedding_settings,
    read_choose_by,
    read_dimensions,
    read_settings,
)
from aiquery.providers.local.shared_prompt import SharedPrompts
from aiquery.providers.local.similarity import (
    SimilarityChooser,
    answer_blank,
    content_text,
)
from aiquery.providers.local.token_scores import CALIBRATION_TEXTS, TokenChooser
from aiquery.requests.chat import build_messages
from aiquery.requests.request import Response

if TYPE_CHECKING:
    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint
    from aiquery.providers.local.llama_server import ModelSettings
    from aiquery.providers.local.settings import ChooseBy
    from aiquery.providers.local.shared_model import LoadedModel
    from aiquery.requests.request import Request

EXTRA = ("xllamacpp", "gguf", "safetensors", "tokenizers", "threadpoolctl")
"""The modules of the extra ``local``. An older environment may have some of them only."""

MAX_TOKENS = 512
"""Sent if neither the call nor the endpoint sets a limit: a small model may not stop by itself."""

AGAINST_REPETITION = {"frequency_penalty": 0.5, "repeat_last_n": 128}
"""Settings for a second attempt: a token is less probable the more often it was written.

All 8 of 100 replies that ran away ended by themselves with these; the best of five settings. They are not
set at first: they would also change a text that the model copies.
"""


class LocalProvider:
    """Runs GGUF models in the process."""

    remote = False
    context_window = CONTEXT
    max_batch_size = 256
    rate_limits = None

    def __init__(
        self, settings: ModelSettings, model: LoadedModel, choose_by: ChooseBy
    ) -> None:
        """Use ``open``."""
        self._settings = settings
        self._model = model
        self._choose_by = choose_by
        self._shared_prompts: SharedPrompts | None = None
        self._tokens: TokenChooser | None = None
        self._similarity: SimilarityChooser | None = None
        self._similarity_settings: ModelSettings | None = None
        self._lock = asyncio.Lock()
        self.slots = EmbeddingModel.slots
        if isinstance(model, ChatModel):
            self.slots = settings.slots
            self._shared_prompts = SharedPrompts(model.llama, model.slots)
            self._tokens = TokenChooser(model, self._shared_prompts)

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise ``ConfigError`` if the extra is not installed, or for a model or option that does not exist."""
        if any(find_spec(name) is None for name in EXTRA):
            raise MissingExtra(
                f"endpoint {endpoint.name!r} runs a model in the process, which needs: "
                "pip install 'aiquery[local]'"
            )
        check_options(endpoint)
        check_model(endpoint.model)

    @classmethod
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return the length of the endpoint's embeddings; None if the file is not here yet."""
        return read_dimensions(endpoint)

    @classmethod
    def scoring(cls, endpoint: Endpoint) -> str:
        """Return how one of a few values is chosen, with what that depends on; "": the model writes it."""
        choose_by = read_choose_by(endpoint)
        if choose_by == "generation":
            return ""
        way = PACKAGED_EMBEDDING
        if choose_by == "token_probabilities":
            way = f"{CALIBRATION_TEXTS} texts"
        return f"{choose_by} {way} {reference_digest()}"

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> LocalProvider:
        """Load the model, or share the one that is loaded. Downloads the file if necessary.

        Raises ``ModelFileError`` or ``MissingExtra``.
        """
        del credentials
        settings = await asyncio.to_thread(read_settings, endpoint)
        model = await shared_model.acquire(settings)
        return cls(settings, model, read_choose_by(endpoint))

    async def complete(self, request: Request) -> Response:
        """Make one attempt. A cancelled request stops the model at its next token.

        Raises ``RowError``.
        """
        model = self._model
        if isinstance(model, EmbeddingModel):
            texts = [str(text) for text in cast("list[str]", request.content)]
            return await asyncio.to_thread(model.embed, texts)
        if isinstance(model, RerankModel):
            return await _rank(model, request)
        if request.template.scoring:
            chosen = await self._choose(request)
            if chosen is not None:
                return chosen
        return await self._generate(request)

    async def _generate(self, request: Request) -> Response:
        """Return what the model writes. A reply that repeats itself is written once more, against repetition."""
        template = request.template
        messages = build_messages(request)
        payload: dict[str, Any] = {
            "messages": messages,
            "max_tokens": MAX_TOKENS,
            **template.parameters,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if template.response_format is not None:
            payload["response_format"] = template.response_format
        saved_prompt = None
        shared_prompts = cast("SharedPrompts", self._shared_prompts)
        if request.image is None:
            saved_prompt = await shared_prompts.find(template.digest, messages)
        model = cast("ChatModel", self._model)
        response = await model.generate(payload, saved_prompt)
        was_cut = response.truncated and template.response_format is not None
        if not response.repeats and not (was_cut and may_be_runaway(response.text)):
            return response
        payload |= AGAINST_REPETITION
        repaired = await model.generate(payload, saved_prompt)
        usage = response.usage.plus(repaired.usage)
        return msgspec.structs.replace(repaired, usage=usage)

    # --- one of a few values

    async def _choose(self, request: Request) -> Response | None:
        """Return the reply without generation; None if it has to be written."""
        if request.follow_up or request.image is not None:
            return None
        choices = request.template.choices
        if choices is not None and not content_text(request.content).strip():
            return answer_blank(choices)
        if self._choose_by == "embeddings" and choices is not None:
            chooser = await self._open_similarity()
            return await chooser.choose(request)
        return await cast("TokenChooser", self._tokens).choose(request)

    async def _open_similarity(self) -> SimilarityChooser:
        async with self._lock:
            if self._similarity is None:
                settings = await asyncio.to_thread(packaged_embedding_settings)
                model = await shared_model.acquire(settings)
                self._similarity = SimilarityChooser(cast("EmbeddingModel", model))
                self._similarity_settings = settings
            return self._similarity

    # --- tokens

    async def count_tokens(self, request: Request) -> Response:
        """Return the number of tokens from the model's own tokenizer. Raises ``RequestFailed``."""
        text = str(request.content)
        model = cast("ChatModel | EmbeddingModel | RerankModel", self._model)
        count = await asyncio.to_thread(model.count_tokens, text)
        return Response(value=count)

    async def count_prompt_tokens(self, request: Request) -> int:
        """Return the tokens that the model reads: the messages in its chat template.

        Raises ``RequestFailed``.
        """
        model = self._model
        if not isinstance(model, ChatModel):
            response = await self.count_tokens(request)
            return int(cast("int", response.value))
        is_scored = bool(request.template.scoring) and request.template.choices
        if is_scored and self._choose_by == "embeddings":
            chooser = await self._open_similarity()
            return await asyncio.to_thread(chooser.count_tokens, request)
        messages = build_messages(request)
        return await asyncio.to_thread(model.count_prompt_tokens, messages)

    async def close(self) -> None:
        """Unload the models if no other provider uses them."""
        if self._shared_prompts is not None:
            await self._shared_prompts.close()
        if self._similarity_settings is not None:
            await shared_model.release(self._similarity_settings)
        await shared_model.release(self._settings)


async def _rank(model: RerankModel, request: Request) -> Response:
    content = cast("dict[str, Any]", request.content)
    return await asyncio.to_thread(model.rank, content["query"], content["documents"])
