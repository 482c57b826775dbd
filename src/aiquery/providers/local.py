"""local: GGUF models in the process, through xllamacpp: the server of llama.cpp as a library.

The model decodes ``slots`` requests at the same time, constrains replies to a JSON schema, and
reuses the prefix that a slot already holds. Lists and strings that the schema does not limit get a
limit of 8 items and 50 characters. A process loads a model file once, whatever the number of
endpoints that name it.

Options of the endpoint: ``slots`` (default: 8), ``threads`` (default: half the logical cores, at
least two), and ``gpu_layers``. The endpoint's ``context_window`` is that of one slot (default:
2048).
"""

from __future__ import annotations

import asyncio
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from aiquery.errors import MissingExtra
from aiquery.providers.llama_model import Model, ModelSettings
from aiquery.providers.model_file import check_model, find_model
from aiquery.requests.chat import build_messages
from aiquery.requests.request import Response

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiquery.config.endpoint import Endpoint
    from aiquery.config.environment import Credentials
    from aiquery.requests.request import Request

MAX_TOKENS = 512
"""Sent if neither the call nor the endpoint sets a limit: a small model may not stop by itself."""

MAX_ITEMS = 8
MAX_LENGTH = 50
"""Limits of lists (items) and strings (characters) in a schema that sets none.

At one token a character, the worst observed, a full list of full strings ends within
``MAX_TOKENS``.
"""

CONTEXT = 2048
SLOTS = 8


class _SharedModel:
    """A model that is loaded or being loaded, and the number of providers that use it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.model: Model | None = None
        self.users = 0


_loaded: dict[ModelSettings, _SharedModel] = {}


class LocalProvider:
    """Runs a GGUF model in the process."""

    remote = False
    context_window = CONTEXT
    max_batch_size = 1
    rate_limits = None

    def __init__(self, model: Model, release: Callable[[], Model | None]) -> None:
        """Use ``open``."""
        self._model = model
        self._release = release
        self.slots = model.slots

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise ``ConfigError`` if xllamacpp is not installed or the model file is not GGUF."""
        if find_spec("xllamacpp") is None:
            raise MissingExtra(
                f"endpoint {endpoint.name!r} runs a model in the process, which needs: "
                "pip install 'aiquery[local]'"
            )
        check_model(endpoint.model)

    @classmethod
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return None: the models return no embeddings."""
        del endpoint
        return None

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> LocalProvider:
        """Load the model, or share the one that is loaded. Downloads the file if necessary.

        Raises ``ModelFileError`` or ``MissingExtra``.
        """
        del credentials
        path = await asyncio.to_thread(find_model, endpoint.model)
        settings = _read_settings(endpoint, path)
        shared = _loaded.setdefault(settings, _SharedModel())
        shared.users += 1
        async with shared.lock:
            if shared.model is None:
                shared.model = await asyncio.to_thread(Model, settings)

        def release() -> Model | None:
            shared.users -= 1
            if shared.users:
                return None
            return _loaded.pop(settings).model

        return cls(shared.model, release)

    async def complete(self, request: Request) -> Response:
        """Make one attempt. A cancelled request stops the model at its next token.

        Raises ``RowError``.
        """
        payload: dict[str, Any] = {
            "messages": build_messages(request),
            "max_tokens": MAX_TOKENS,
            **request.template.parameters,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.template.response_format is not None:
            payload["response_format"] = add_limits(request.template.response_format)
        job = self._model.start(payload)
        try:
            return await job.future
        finally:
            job.is_cancelled = True

    async def count_tokens(self, request: Request) -> Response:
        """Return the number of tokens from the model's own tokenizer. Raises ``RequestFailed``."""
        text = str(request.content)
        count = await asyncio.to_thread(self._model.count_tokens, text)
        return Response(value=count)

    async def count_prompt_tokens(self, request: Request) -> int:
        """Return the tokens that the model reads: the messages in its chat template.

        Raises ``RequestFailed``.
        """
        messages = build_messages(request)
        return await asyncio.to_thread(self._model.count_prompt_tokens, messages)

    async def close(self) -> None:
        """Unload the model if no other provider uses it."""
        model = self._release()
        if model is not None:
            await model.close()


def _read_settings(endpoint: Endpoint, path: Path) -> ModelSettings:
    options = endpoint.options
    gpu_layers = options.get("gpu_layers")
    return ModelSettings(
        path=path,
        slots=int(options.get("slots", endpoint.max_concurrency or SLOTS)),
        context=endpoint.context_window or CONTEXT,
        threads=int(options.get("threads", default_threads())),
        gpu_layers=None if gpu_layers is None else int(gpu_layers),
    )


def default_threads() -> int:
    """Return half the logical cores, but at least two if there are two."""
    cores = os.cpu_count() or 1
    return max(min(cores, 2), cores // 2)


_LIMITING_KEYS = frozenset({"enum", "const", "format", "pattern"})
"""A string with one of these keys has a limit."""


def add_limits(schema: Any) -> Any:
    """Return a schema whose lists and strings have a maximum length.

    A small model that may continue often continues until its token limit.
    """
    if isinstance(schema, list):
        return [add_limits(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    limited: dict[str, Any] = {}
    json_type = schema.get("type")
    is_string = json_type in ("string", ["string", "null"])
    if json_type == "array":
        limited["maxItems"] = MAX_ITEMS
    elif is_string and not schema.keys() & _LIMITING_KEYS:
        limited["maxLength"] = MAX_LENGTH
    for name, value in schema.items():
        limited[name] = add_limits(value)
    return limited
