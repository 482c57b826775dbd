"""A chat model in the process, and the threads that run its requests."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from aiquery.errors import InvalidResponse, RequestFailed
from aiquery.providers.local.llama_server import (
    LlamaServer,
    refusal,
    translate_refusals,
)
from aiquery.providers.local.repetition import RepetitionDetector
from aiquery.requests.request import Response, Usage

if TYPE_CHECKING:
    from aiquery.providers.local.llama_server import ModelSettings
    from aiquery.requests.request import Message

POLL_S = 0.01
"""How often ``close`` checks whether the threads have ended, in seconds."""


class Job:
    """One request to the model. The loop creates it, and a thread of the model runs it."""

    def __init__(self, payload: dict[str, Any]) -> None:
        """``future`` belongs to the running loop."""
        self.payload = payload
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Response] = self.loop.create_future()
        self.is_cancelled = False
        self._texts: list[str] = []
        self._logprobs: list[tuple[str, float]] = []
        self._usage = Usage()
        self._finish_reason: str | None = None
        self._error: dict[str, Any] | None = None
        self._repetition = RepetitionDetector()

    # --- called in the model's thread

    def receive(self, chunk: dict[str, Any]) -> bool:
        """Record one part of the reply. Returns True to stop the model."""
        if "error" in chunk:
            self._error = chunk["error"]
            return True
        for choice in chunk.get("choices", ()):
            self._receive_choice(choice)
        usage = chunk.get("usage")
        if usage:
            details = usage.get("prompt_tokens_details", {})
            self._usage = Usage(
                tokens_in=usage["prompt_tokens"],
                tokens_cached=details.get("cached_tokens", 0),
                tokens_out=usage["completion_tokens"],
            )
        return self.is_cancelled or self._repetition.is_found

    def _receive_choice(self, choice: dict[str, Any]) -> None:
        text = choice["delta"].get("content") or ""
        self._texts.append(text)
        self._repetition.add(text)
        logprobs = choice.get("logprobs") or {}
        for token in logprobs.get("content") or ():
            self._logprobs.append((token["token"], token["logprob"]))
        self._finish_reason = choice.get("finish_reason") or self._finish_reason

    def build_response(self) -> Response:
        """Return the received reply. Raises ``RowError``."""
        if self._error is not None:
            raise refusal(self._error)
        text = "".join(self._texts)
        if self._repetition.is_found:
            # A stopped reply ends without its usage; a part of it is a token.
            usage = Usage(tokens_out=len(self._texts))
            return Response(text=text, usage=usage, truncated=True, repeats=True)
        if self._finish_reason is None:
            raise InvalidResponse("the model stopped without an end")
        return Response(
            text=text,
            usage=self._usage,
            truncated=self._finish_reason == "length",
            logprobs=self._logprobs or None,
        )

    def finish(self, outcome: Response | Exception) -> None:
        """Set the outcome of ``future``, on its loop."""
        # The loop may be closed: then there are no waiters.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._resolve, outcome)

    def _resolve(self, outcome: Response | Exception) -> None:
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class ChatModel:
    """A loaded chat model with one thread per slot."""

    def __init__(self, settings: ModelSettings) -> None:
        """Load the model, which takes a second or two. Raises ``ModelFileError``."""
        self.slots = settings.slots
        self.llama = LlamaServer(settings)
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._running: set[Job] = set()
        self._threads: list[threading.Thread] = []
        for i in range(settings.slots):
            name = f"aiquery-local-{i}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def start(self, payload: dict[str, Any]) -> Job:
        """Queue one request."""
        job = Job(payload)
        self._jobs.put(job)
        return job

    def count_tokens(self, text: str) -> int:
        """Return the tokens of a text without those of a template. Raises ``RequestFailed``."""
        return len(self.llama.tokenize(text))

    def count_prompt_tokens(self, messages: list[Message]) -> int:
        """Return the tokens of a conversation in the model's chat template. Raises ``RequestFailed``."""
        prompt = self.llama.apply_template(messages)
        return len(self.llama.tokenize(prompt, special=True))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.is_cancelled:
                self._running.add(job)
                job.finish(self._run(job))
                self._running.discard(job)

    def _run(self, job: Job) -> Response | Exception:
        try:
            with translate_refusals():
                self.llama.server.handle_chat_completions(job.payload, job.receive)
            return job.build_response()
        except (RequestFailed, InvalidResponse) as error:
            return error

    async def close(self) -> None:
        """Stop the running requests and unload the model.

        It polls the threads: at the end of the interpreter there is no executor to wait in.
        """
        for job in list(self._running):
            job.is_cancelled = True
        for _ in self._threads:
            self._jobs.put(None)
        while any(thread.is_alive() for thread in self._threads):  # noqa: ASYNC110  see above
            await asyncio.sleep(POLL_S)
        self.llama.close()
