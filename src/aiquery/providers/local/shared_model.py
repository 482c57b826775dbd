"""The models that are loaded in this process, each once, whatever the number of endpoints that use it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Protocol

from aiquery.providers.local.chat_model import ChatModel
from aiquery.providers.local.embedding_model import EmbeddingModel
from aiquery.providers.local.forked import can_unload
from aiquery.providers.local.rerank_model import RerankModel

if TYPE_CHECKING:
    from aiquery.providers.local.llama_server import ModelSettings


class LoadedModel(Protocol):
    """A model that can be unloaded."""

    async def close(self) -> None:
        """Unload the model."""


class _SharedModel:
    """A model that is loaded or being loaded, and the number of its users."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.model: LoadedModel | None = None
        self.users = 0


_loaded: dict[ModelSettings, _SharedModel] = {}

if hasattr(os, "register_at_fork"):
    # The threads of a model do not run in a forked child, which loads its own.
    os.register_at_fork(after_in_child=_loaded.clear)


async def acquire(settings: ModelSettings) -> LoadedModel:
    """Load the model, or share the one that is loaded; each ``acquire`` needs one ``release``.

    Raises ``ModelFileError``.
    """
    shared = _loaded.setdefault(settings, _SharedModel())
    shared.users += 1
    try:
        async with shared.lock:
            if shared.model is None:
                shared.model = await asyncio.to_thread(_load, settings)
            return shared.model
    except BaseException:
        await release(settings)
        raise


async def release(settings: ModelSettings) -> None:
    """Unload the model if it has no other user. A process that cannot leaves it for the next one."""
    shared = _loaded[settings]
    shared.users -= 1
    if shared.users or (shared.model is not None and not can_unload()):
        return
    del _loaded[settings]
    if shared.model is not None:
        await shared.model.close()


def list_loaded() -> list[ModelSettings]:
    """Return the settings of the models that are loaded in this process."""
    return [settings for settings, shared in _loaded.items() if shared.model]


def _load(settings: ModelSettings) -> LoadedModel:
    if settings.task == "embedding":
        return EmbeddingModel(settings)
    if settings.task == "rerank":
        return RerankModel(settings)
    return ChatModel(settings)
