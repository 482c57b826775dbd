"""Measures how fast a loaded model reads and writes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from aiquery.errors import RequestFailed
from aiquery.providers.local.llama_server import LlamaServer

if TYPE_CHECKING:
    from concurrent.futures import Future

    from aiquery.providers.local.llama_server import ModelSettings

SAMPLE_S = 0.4
"""How long the writing of tokens is measured, in seconds, .."""

MIN_TOKENS = 3
""".. and for so many tokens of each slot at least, .."""

MAX_SAMPLE_S = 3.0
""".. but not longer than this."""

_POLL_S = 0.005
_PROMPT_WORDS = 32


class SpeedTest:
    """A model that is loaded to be measured."""

    def __init__(self, settings: ModelSettings) -> None:
        """Load the model. Raises ``ModelFileError``, or ``RequestFailed`` if it does not answer."""
        self._llama = LlamaServer(settings)
        try:
            self._complete("Hello", 1)  # the first call reads the weights from the disk
        except BaseException:
            self.close()
            raise

    def measure_reading(self) -> float:
        """Return the tokens of a prompt that are read per second. Raises ``RequestFailed``."""
        words = " ".join(f"word{i}" for i in range(_PROMPT_WORDS))
        started = time.monotonic()
        tokens = self._complete(words, 1)
        return tokens / (time.monotonic() - started)

    def measure_writing(self, slots: int) -> float:
        """Return the tokens that so many slots together write per second. Raises ``RequestFailed``."""
        counts = [0] * slots
        is_over = threading.Event()
        with ThreadPoolExecutor(slots) as pool:
            running = [
                pool.submit(self._write, slot, counts, is_over) for slot in range(slots)
            ]
            try:
                rate = _measure_rate(counts, running)
            finally:
                is_over.set()
        if not rate:
            raise RequestFailed("the model wrote nothing")
        return rate

    def _write(self, slot: int, counts: list[int], is_over: threading.Event) -> None:
        def receive(chunk: dict[str, Any]) -> bool:
            counts[slot] += len(chunk.get("choices", ()))
            return is_over.is_set()

        payload = self._payload(f"Count from {slot}.", 4096) | {"stream": True}
        self._llama.stream(payload, receive)

    def _complete(self, text: str, tokens: int) -> int:
        payload = self._payload(text, tokens)
        reply = self._llama.run("handle_chat_completions", payload)
        return int(reply["usage"]["prompt_tokens"])

    @staticmethod
    def _payload(text: str, tokens: int) -> dict[str, Any]:
        messages = [{"role": "user", "content": text}]
        return {
            "messages": messages,
            "max_tokens": tokens,
            "temperature": 0.0,
            "ignore_eos": True,
        }

    def close(self) -> None:
        """Unload the model."""
        self._llama.close()


def _measure_rate(counts: list[int], running: list[Future[None]]) -> float:
    """Return how fast the sum of the counts grows per second, from when all have begun until one has ended."""

    def go_on() -> bool:
        time.sleep(_POLL_S)
        return not any(task.done() for task in running)

    while not all(counts) and go_on():
        pass
    started = time.monotonic()
    before = list(counts)
    while not _is_enough(started, before, counts) and go_on():
        pass
    return (sum(counts) - sum(before)) / (time.monotonic() - started)


def _is_enough(started: float, before: list[int], counts: list[int]) -> bool:
    seconds = time.monotonic() - started
    if seconds > MAX_SAMPLE_S:
        return True
    pairs = zip(counts, before, strict=True)
    return seconds >= SAMPLE_S and all(now - then >= MIN_TOKENS for now, then in pairs)
