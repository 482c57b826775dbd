"""A loaded GGUF model, and the threads that run its requests.

xllamacpp's calls block, but release Python's global lock.
"""

from __future__ import annotations

import asyncio
import os
import threading
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.errors import InvalidResponse, ModelFileError, RequestFailed, excerpt
from aiquery.providers.too_long import find_fitting_share
from aiquery.requests.request import Response, Usage

if TYPE_CHECKING:
    from pathlib import Path

    from aiquery.requests.request import Message

POLL_S = 0.01
"""How often ``close`` checks whether the threads have ended, in seconds."""

TOKENIZE_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The settings that identify a loaded model.

    slots        requests that it decodes at the same time
    context      tokens of a prompt and its answer together, per slot
    gpu_layers   layers on the GPU; None: xllamacpp decides
    """

    path: Path
    slots: int
    context: int
    threads: int
    gpu_layers: int | None = None


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
        return self.is_cancelled

    def _receive_choice(self, choice: dict[str, Any]) -> None:
        self._texts.append(choice["delta"].get("content") or "")
        logprobs = choice.get("logprobs") or {}
        for token in logprobs.get("content") or ():
            self._logprobs.append((token["token"], token["logprob"]))
        self._finish_reason = choice.get("finish_reason") or self._finish_reason

    def build_response(self) -> Response:
        """Return the received reply. Raises ``RowError``."""
        if self._error is not None:
            status = self._error.get("code", 400)
            message = excerpt(str(self._error.get("message")))
            raise RequestFailed(
                f"the model refused the request: {message}",
                status=status,
                too_long=find_fitting_share(status, message),
            )
        if self._finish_reason is None:
            raise InvalidResponse("the model stopped without an end")
        return Response(
            text="".join(self._texts),
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


class Model:
    """A loaded model with one thread per slot."""

    def __init__(self, settings: ModelSettings) -> None:
        """Load the model, which takes a second or two. Raises ``ModelFileError``."""
        self.slots = settings.slots
        self._server = load(settings)
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
        reply = self._post("tokenize", {"content": text})
        return len(reply["tokens"])

    def count_prompt_tokens(self, messages: list[Message]) -> int:
        """Return the tokens of a conversation in the model's chat template.

        Raises ``RequestFailed``.
        """
        prompt = self._post("apply-template", {"messages": messages})["prompt"]
        body = {"content": prompt, "add_special": True, "parse_special": True}
        return len(self._post("tokenize", body)["tokens"])

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        """Send to the loopback port of the library, whose Python interface has no tokenizer."""
        request = urllib.request.Request(  # noqa: S310  loopback
            f"{self._server.listening_address}/{path}",
            msgspec.json.encode(body),
            {"Content-Type": "application/json"},
        )
        timeout = TOKENIZE_TIMEOUT_S
        try:
            with urllib.request.urlopen(request, timeout=timeout) as reply:  # noqa: S310
                return msgspec.json.decode(reply.read())
        except OSError as error:
            raise RequestFailed(
                f"the model could not count tokens: {error}", retryable=True
            ) from None

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.is_cancelled:
                self._running.add(job)
                job.finish(self._run(job))
                self._running.discard(job)

    def _run(self, job: Job) -> Response | Exception:
        try:
            self._server.handle_chat_completions(job.payload, job.receive)
            return job.build_response()
        except (RequestFailed, InvalidResponse) as error:
            return error
        except (TypeError, ValueError, RuntimeError) as error:
            # xllamacpp raises these for a text or a schema that it rejects.
            reason = excerpt(str(error))
            message = f"the model refused the request: {reason}"
            return RequestFailed(message, status=400)

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
        self._server = None


def load(settings: ModelSettings) -> Any:
    """Return xllamacpp's server for a model. Raises ``ModelFileError``."""
    # OpenMP threads that spin on busy cores make it up to 8 times slower. The library reads the
    # variables when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(settings.path)
    parameters.n_parallel = settings.slots
    parameters.n_ctx = settings.slots * settings.context
    parameters.cpuparams.n_threads = settings.threads
    parameters.cpuparams_batch.n_threads = settings.threads
    parameters.warmup = False
    parameters.verbosity = -1  # the log goes to stderr and would contain the requests
    if settings.gpu_layers is not None:
        parameters.n_gpu_layers = settings.gpu_layers
    try:
        return xllamacpp.Server(parameters)
    except (RuntimeError, ValueError) as error:
        raise ModelFileError(
            f"model file {settings.path} could not be loaded: {error}"
        ) from None
