"""Reads what the prompts of a call have in common once, for all slots.

The rows of a call differ in their texts only; instructions, schema and examples are the same. The first two
requests of a call show what their prompts begin with. One slot reads that and saves its state, and the
others restore it, which takes milliseconds where reading takes seconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict
from typing import TYPE_CHECKING

from aiquery.errors import RowError
from aiquery.runtime.task_set import TaskSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiquery.providers.local.llama_server import LlamaServer, SavedPrompt
    from aiquery.providers.local.slots import Slots
    from aiquery.requests.request import Message

log = logging.getLogger("aiquery")

MIN_TOKENS = 32
"""A shorter beginning is read by each slot."""

MAX_CALLS = 8
"""Calls that are remembered at most: each has a file of the size of its state, e.g. 23 kB per token of a model with
135 million parameters."""


class _Call:
    """What is known of one call."""

    def __init__(self, first: asyncio.Task[list[int]]) -> None:
        self.first = first
        """The tokens of the first request."""
        self.reading: asyncio.Task[SavedPrompt | None] | None = None
        """Begins with the second request."""


class SharedPrompts:
    """The beginnings of the prompts of each call."""

    def __init__(self, llama: LlamaServer, slots: Slots) -> None:
        """Read nothing before ``find``. All methods run on one loop."""
        self._llama = llama
        self._slots = slots
        self._calls: OrderedDict[bytes, _Call] = OrderedDict()
        self._tasks = TaskSet("shared prompts")

    async def find(self, call: bytes, messages: list[Message]) -> SavedPrompt | None:
        """Return what a request begins with, if a slot can restore it.

        The first request of a call does not wait if there is no second one yet. Without a saved prompt a
        request takes longer, and has the same answer.
        """
        if not self._llama.can_save_prompts:
            return None
        known = self._calls.get(call)
        if known is None:
            known = _Call(self._tasks.spawn(self._tokenize(messages)))
            self._calls[call] = known
            self._forget_oldest()
            await asyncio.wait([known.first])
            if known.reading is None:
                return None
        elif known.reading is None:
            known.reading = self._tasks.spawn(self._read(known, messages))
        # A request that is cancelled must not cancel what others wait for.
        return await asyncio.shield(known.reading)

    async def _read(self, known: _Call, messages: list[Message]) -> SavedPrompt | None:
        tokens = await self._tokenize(messages)
        shared = tokens[: count_shared([await known.first, tokens])]
        if len(shared) < MIN_TOKENS:
            return None
        try:
            return await self._slots.run(
                lambda job: self._llama.save_prompt(job.slot, shared)
            )
        except RowError as error:
            log.debug("the beginning of a call's prompts could not be saved: %s", error)
            return None

    async def _tokenize(self, messages: list[Message]) -> list[int]:
        """Return the tokens of a prompt; none if the model cannot read it, which its own attempt reports."""
        try:
            return await asyncio.to_thread(self._llama.tokenize_chat, messages)
        except RowError:
            return []

    async def close(self) -> None:
        """Stop reading."""
        await self._tasks.close()

    def _forget_oldest(self) -> None:
        if len(self._calls) <= MAX_CALLS:
            return
        _, oldest = self._calls.popitem(last=False)
        reading = oldest.reading
        if reading is not None and reading.done():
            saved_prompt = reading.result()
            if saved_prompt is not None:
                self._llama.forget_prompt(saved_prompt)


def count_shared(prompts: Sequence[list[int]]) -> int:
    """Return the number of tokens that all prompts begin with."""
    return len(os.path.commonprefix(prompts))  # noqa: RUF071  lists of tokens, not paths
