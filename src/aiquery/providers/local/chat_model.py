"""A chat model in the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.errors import InvalidResponse
from aiquery.providers.local.llama_server import LlamaServer, refusal
from aiquery.providers.local.repetition import RepetitionDetector
from aiquery.providers.local.slots import Slots
from aiquery.requests.request import Response, Usage

if TYPE_CHECKING:
    from aiquery.providers.local.llama_server import ModelSettings, SavedPrompt
    from aiquery.providers.local.slots import Job
    from aiquery.requests.request import Message


class StreamedReply:
    """A reply that is received in parts, in the thread of its slot."""

    def __init__(self, job: Job[Response]) -> None:
        """``job`` may be cancelled at any time."""
        self._job = job
        self._texts: list[str] = []
        self._logprobs: list[tuple[str, float]] = []
        self._usage = Usage()
        self._finish_reason: str | None = None
        self._error: dict[str, Any] | None = None
        self._repetition = RepetitionDetector()

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
        return self._job.is_cancelled or self._repetition.is_found

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


class ChatModel:
    """A loaded chat model."""

    def __init__(self, settings: ModelSettings) -> None:
        """Load the model, which takes a second or two. Raises ``ModelFileError``."""
        self.llama = LlamaServer(settings)
        self.slots = Slots(self.llama, settings.slots)

    async def generate(
        self, payload: dict[str, Any], saved_prompt: SavedPrompt | None = None
    ) -> Response:
        """Return what the model writes. A caller that is cancelled stops it at its next token.

        Raises ``RowError``.
        """

        def stream(job: Job[Response]) -> Response:
            reply = StreamedReply(job)
            request = {**payload, "id_slot": job.slot}
            self.llama.stream(request, reply.receive)
            return reply.build_response()

        return await self.slots.run(stream, saved_prompt)

    def count_tokens(self, text: str) -> int:
        """Return the tokens of a text without those of a template. Raises ``RequestFailed``."""
        return len(self.llama.tokenize(text))

    def count_prompt_tokens(self, messages: list[Message]) -> int:
        """Return the tokens of a conversation in the model's chat template. Raises ``RequestFailed``."""
        return len(self.llama.tokenize_chat(messages))

    async def close(self) -> None:
        """Stop the running requests and unload the model."""
        await self.slots.close()
        self.llama.close()
