"""local: GGUF models in the process through xllamacpp, llama.cpp's server as a library.

Continuous batching over ``slots`` sequences, JSON-schema constrained decoding (lists and strings that the schema leaves
unbounded are bounded, see ``bounded``), and reuse of the prefix that a slot already holds. One model file is loaded
once per process, whatever the endpoints that name it are called.

Options of the endpoint: ``slots`` (default 8), ``threads`` (default half the logical cores, at least two),
``gpu_layers``. The endpoint's ``context`` is that of a slot (default 2048).
"""

from __future__ import annotations

import asyncio
import os
import threading
import urllib.request
from contextlib import suppress
from importlib.util import find_spec
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.errors import (
    InvalidResponse,
    MissingExtra,
    ModelFileError,
    RequestFailed,
    excerpt,
)
from aiquery.providers.model_file import check_model, find_model
from aiquery.providers.too_long import too_long
from aiquery.requests.chat import chat_messages
from aiquery.requests.request import Response, Usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiquery.config.endpoint import Endpoint
    from aiquery.config.environment import Credentials
    from aiquery.requests.request import Message, Request

MAX_TOKENS = 512
"""Sent when neither the call nor the endpoint says: a small model may not stop by itself."""

MAX_ITEMS = 8
MAX_LENGTH = 50
"""Bounds of lists (items) and strings (characters) in a schema that sets none: at one token a character, the worst
that was seen, a full list of full strings still ends within ``MAX_TOKENS``."""

POLL_S = 0.01
"""How often closing looks whether the worker threads have ended, in seconds."""

TOKENIZE_S = 60.0
CONTEXT = 2048
SLOTS = 8


class Job:
    """One request on its way through a worker thread of the model."""

    def __init__(self, payload: dict[str, Any]) -> None:
        """Made on the loop; the worker reports back to that loop."""
        self.payload = payload
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Response] = self.loop.create_future()
        self.cancelled = False
        self.text: list[str] = []
        self.logprobs: list[tuple[str, float]] = []
        self.usage = Usage()
        self.finish: str | None = None
        self.error: dict[str, Any] | None = None

    def hear(self, chunk: dict[str, Any]) -> bool:
        """Take one piece of the reply; True stops the model. Called in the worker thread."""
        if "error" in chunk:
            self.error = chunk["error"]
            return True
        for choice in chunk.get("choices", ()):
            self.text.append(choice["delta"].get("content") or "")
            self.logprobs += [
                (t["token"], t["logprob"])
                for t in (choice.get("logprobs") or {}).get("content") or ()
            ]
            self.finish = choice.get("finish_reason") or self.finish
        if usage := chunk.get("usage"):
            cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
            self.usage = Usage(
                usage["prompt_tokens"], cached, usage["completion_tokens"]
            )
        return self.cancelled

    def response(self) -> Response:
        """Return what was heard, or raise the row's error."""
        if self.error is not None:
            status = self.error.get("code", 400)
            message = excerpt(str(self.error.get("message")))
            too_much = too_long(status, message)
            raise RequestFailed(
                f"the model refused the request: {message}",
                status=status,
                too_long=too_much,
            )
        if self.finish is None:
            raise InvalidResponse("the model stopped without an end")
        truncated = self.finish == "length"
        return Response(
            "".join(self.text),
            usage=self.usage,
            truncated=truncated,
            logprobs=self.logprobs or None,
        )

    def finished(self, outcome: Response | Exception) -> None:
        """Hand the outcome to the loop. Called in the worker thread."""
        with suppress(RuntimeError):  # the loop that asked was closed: nobody waits
            self.loop.call_soon_threadsafe(self._resolve, outcome)

    def _resolve(self, outcome: Response | Exception) -> None:
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Model:
    """A loaded model and one worker thread per slot: xllamacpp's calls block, without the GIL."""

    def __init__(
        self, path: Path, slots: int, context: int, threads: int, gpu_layers: int | None
    ) -> None:
        """Load the model; takes a second or two."""
        self.slots = slots
        self._server = _load(path, slots, context, threads, gpu_layers)
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._running: set[Job] = set()
        self._threads = [
            threading.Thread(target=self._work, name=f"aiquery-local-{i}", daemon=True)
            for i in range(slots)
        ]
        for thread in self._threads:
            thread.start()

    def start(self, payload: dict[str, Any]) -> Job:
        """Queue one request."""
        job = Job(payload)
        self._jobs.put(job)
        return job

    def count_tokens(self, text: str) -> int:
        """Return the tokens of a text, without those of a template."""
        return len(self._ask("tokenize", {"content": text})["tokens"])

    def prompt_tokens(self, messages: list[Message]) -> int:
        """Return the tokens of a conversation in the model's chat template."""
        prompt = self._ask("apply-template", {"messages": messages})["prompt"]
        return len(
            self._ask(
                "tokenize",
                {"content": prompt, "add_special": True, "parse_special": True},
            )["tokens"]
        )

    def _ask(self, what: str, body: dict[str, Any]) -> Any:
        """Ask the loopback port that the library opens: its Python interface has no tokenizer."""
        url = f"{self._server.listening_address}/{what}"
        text = msgspec.json.encode(body)
        asked = urllib.request.Request(url, text, {"Content-Type": "application/json"})  # noqa: S310  loopback
        try:
            with urllib.request.urlopen(asked, timeout=TOKENIZE_S) as reply:  # noqa: S310
                return msgspec.json.decode(reply.read())
        except OSError as error:
            raise RequestFailed(
                f"the model could not count tokens: {error}", retryable=True
            ) from None

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.cancelled:
                self._running.add(job)
                job.finished(self._answer(job))
                self._running.discard(job)

    def _answer(self, job: Job) -> Response | Exception:
        try:
            self._server.handle_chat_completions(job.payload, job.hear)
            return job.response()
        except (RequestFailed, InvalidResponse) as error:
            return error
        except (
            TypeError,
            ValueError,
            RuntimeError,
        ) as error:  # what the binding raises for text or schema it refuses
            return RequestFailed(
                f"the model refused the request: {excerpt(str(error))}", status=400
            )

    async def close(self) -> None:
        """Stop what runs and unload the model. Needs no executor: there is none when the interpreter ends."""
        for job in list(self._running):
            job.cancelled = True
        for _ in self._threads:
            self._jobs.put(None)
        while any(thread.is_alive() for thread in self._threads):  # noqa: ASYNC110  a thread sets no asyncio event
            await asyncio.sleep(POLL_S)
        self._server = None


class _Loaded:
    """A model that is loaded or being loaded, and how many providers use it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.model: Model | None = None
        self.users = 0


_loaded: dict[tuple[object, ...], _Loaded] = {}


class LocalProvider:
    """See the module."""

    remote = False
    context_window = CONTEXT
    max_batch_size = 1
    rate_limits = None

    def __init__(
        self, endpoint: Endpoint, model: Model, release: Callable[[], Model | None]
    ) -> None:
        """Use ``open``."""
        self._endpoint = endpoint
        self._model = model
        self._release = release
        self.slots = model.slots

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise if xllamacpp is not installed or the model file is no GGUF file."""
        if find_spec("xllamacpp") is None:
            raise MissingExtra(
                f"endpoint {endpoint.name!r} runs a model in the process, which needs: pip install 'aiquery[local]'"
            )
        check_model(endpoint.model)

    @classmethod
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return None: it serves no embeddings."""
        del endpoint
        return None

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> LocalProvider:
        """Load the model, or join the one that is loaded already; fetches the file if need be."""
        del credentials
        options = endpoint.options
        path = await asyncio.to_thread(find_model, endpoint.model)
        slots = int(options.get("slots", endpoint.max_concurrency or SLOTS))
        layers = int(options["gpu_layers"]) if "gpu_layers" in options else None
        settings = (
            path,
            slots,
            endpoint.context_window or CONTEXT,
            int(options.get("threads", _threads())),
            layers,
        )
        entry = _loaded.setdefault(settings, _Loaded())
        entry.users += 1
        async with entry.lock:
            if entry.model is None:
                entry.model = await asyncio.to_thread(Model, *settings)

        def release() -> Model | None:
            entry.users -= 1
            return _loaded.pop(settings).model if entry.users == 0 else None

        return cls(endpoint, entry.model, release)

    async def complete(self, request: Request) -> Response:
        """Ask once; a cancelled request stops the model at its next token."""
        payload: dict[str, Any] = {
            "messages": chat_messages(request),
            "max_tokens": MAX_TOKENS,
            **request.template.parameters,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.template.response_format is not None:
            payload["response_format"] = bounded(request.template.response_format)
        job = self._model.start(payload)
        try:
            return await job.future
        finally:
            job.cancelled = True

    async def count_tokens(self, request: Request) -> Response:
        """Count with the model's own tokenizer."""
        return Response(
            value=await asyncio.to_thread(
                self._model.count_tokens, str(request.content)
            )
        )

    async def prompt_tokens(self, request: Request) -> int:
        """Count what the model reads: the messages in its chat template."""
        return await asyncio.to_thread(
            self._model.prompt_tokens, chat_messages(request)
        )

    async def close(self) -> None:
        """Unload the model if nobody else uses it."""
        model = self._release()
        if model is not None:
            await model.close()


def bounded(schema: Any) -> Any:
    """Return a schema whose lists and strings end: a small model that is free to go on may go on to its token limit."""
    if isinstance(schema, list):
        return [bounded(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    limits: dict[str, Any] = {}
    kind = schema.get("type")
    if kind == "array":
        limits = {"maxItems": MAX_ITEMS}
    elif kind in ("string", ["string", "null"]) and not schema.keys() & {
        "enum",
        "const",
        "format",
        "pattern",
    }:
        limits = {"maxLength": MAX_LENGTH}
    return limits | {name: bounded(value) for name, value in schema.items()}


def _threads() -> int:
    cores = os.cpu_count() or 1
    return max(min(cores, 2), cores // 2)


def _load(
    path: Path, slots: int, context: int, threads: int, gpu_layers: int | None
) -> Any:
    # OpenMP threads that spin on busy cores cost up to 8 times the speed; read when the library is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_parallel = slots
    parameters.n_ctx = slots * context
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.warmup = False
    parameters.verbosity = -1  # its log goes to stderr and would hold request texts
    if gpu_layers is not None:
        parameters.n_gpu_layers = gpu_layers
    try:
        return xllamacpp.Server(parameters)
    except (RuntimeError, ValueError) as error:
        raise ModelFileError(
            f"model file {path} could not be loaded: {error}"
        ) from None
