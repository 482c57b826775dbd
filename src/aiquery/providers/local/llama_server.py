"""xllamacpp's server with one model: how it is loaded, and its calls besides chat.

xllamacpp's calls block, but release Python's global lock.
"""

from __future__ import annotations

import itertools
import os
import secrets
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from aiquery.errors import ModelFileError, RequestFailed, excerpt
from aiquery.providers.http.too_long import find_fitting_share
from aiquery.providers.local.forked import add_server, remove_server
from aiquery.providers.local.gguf_file import count_state_bytes, read_gguf
from aiquery.providers.local.prompt_folder import (
    make_prompt_folder,
    remove_prompt_folder,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from aiquery.requests.request import Message

TIMEOUT_S = 60.0
"""For calls that compute next to nothing."""

BIAS = 100.0
"""Added to the logit of each permitted token: no other token has a probability left."""

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks the loopback port without a proxy."""

_MIN_PROBABILITY = 1e-30

GPU_RESERVE = 2**30
"""Memory of a GPU that is left for what it computes, in bytes."""

SPIN_COUNT = "1000"
"""How often an OpenMP thread looks for more work before it sleeps: a few microseconds.

A thread that sleeps at once is woken hundreds of times per token: 30 tokens/s against 85 with one request, 130 against
225 with eight. One that spins for longer takes the time of busy cores: with one core busy 12 tokens/s at 10,000
against 31.
"""

Pooling = Literal["", "mean", "cls", "last", "rank"]


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The settings that identify a loaded model.

    slots        requests that it computes at the same time
    context      tokens of a prompt and its answer together, per slot
    gpu_layers   layers on the GPU; None: as many as fit
    pooling      how an embedding model makes one vector of many; "": as its file says
    mmproj       the file of the image projector
    lora         the files of LoRA adapters, with their scales
    """

    path: Path
    task: Literal["chat", "embedding", "rerank"]
    slots: int
    context: int
    threads: int
    gpu_layers: int | None = None
    pooling: Pooling = ""
    mmproj: Path | None = None
    lora: tuple[tuple[Path, float], ...] = ()


@dataclass(frozen=True, eq=False)
class SavedPrompt:
    """The state of a slot that has read the beginning of a prompt. It is equal to itself only."""

    name: str
    tokens: int


_SMALLEST: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("handle_completions", {"prompt": [1], "n_predict": 0}),
    "embedding": ("handle_embeddings", {"input": [[1]]}),
    "rerank": ("handle_rerank", {"query": "a", "documents": ["a"]}),
}
"""The smallest request of each task."""


class LlamaServer:
    """A loaded model."""

    def __init__(self, settings: ModelSettings) -> None:
        """Load the model, which takes a second or two. Raises ``ModelFileError``."""
        # Other users of the machine can connect to the port.
        self._key = secrets.token_hex(16)
        self._names = itertools.count()
        self._task = settings.task
        self._has_answered = False
        # llama.cpp does not save the state of a model that reads images.
        may_save = settings.task == "chat" and settings.mmproj is None
        self._folder = make_prompt_folder() if may_save else None
        self.can_save_prompts = self._folder is not None
        try:
            self.server = load(settings, key=self._key, folder=self._folder)
        except BaseException:
            self._remove_folder()
            raise
        add_server(self.server)

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Return the tokens of a text; ``special``: with those that begin and end a prompt.

        Raises ``RequestFailed``.
        """
        body = {"content": text, "add_special": special, "parse_special": special}
        tokens: list[int] = self._post("tokenize", body)["tokens"]
        return tokens

    def apply_template(self, messages: list[Message]) -> str:
        """Return the prompt of a conversation in the model's chat template. Raises ``RequestFailed``."""
        prompt: str = self._post("apply-template", {"messages": messages})["prompt"]
        return prompt

    def tokenize_chat(self, messages: list[Message]) -> list[int]:
        """Return the tokens of the prompt of a conversation. Raises ``RequestFailed``."""
        return self.tokenize(self.apply_template(messages), special=True)

    def save_prompt(self, slot: int, tokens: list[int]) -> SavedPrompt:
        """Let a free slot read the beginning of a prompt, and save its state. Raises ``RequestFailed``."""
        payload = {
            "prompt": tokens,
            "n_predict": 0,
            "cache_prompt": True,
            "id_slot": slot,
        }
        self.run("handle_completions", payload)
        saved = SavedPrompt(f"{next(self._names)}.bin", len(tokens))
        self._post(f"slots/{slot}?action=save", {"filename": saved.name})
        return saved

    def restore_prompt(self, slot: int, saved: SavedPrompt) -> None:
        """Give a free slot the state that ``save_prompt`` saved. Raises ``RequestFailed``."""
        self._post(f"slots/{slot}?action=restore", {"filename": saved.name})

    def forget_prompt(self, saved: SavedPrompt) -> None:
        """Delete a saved state."""
        if self._folder is not None:
            (self._folder / saved.name).unlink(missing_ok=True)

    def score_tokens(
        self, prompt: list[int], tokens: list[int], *, slot: int = -1
    ) -> dict[int, float]:
        """Return the probability of each token to be the next one, if it is one of ``tokens``: their sum is 1.

        Raises ``RequestFailed``.
        """
        payload = {
            "prompt": prompt,
            "n_predict": 1,
            "cache_prompt": True,
            "samplers": [],
            "n_probs": len(tokens),
            "post_sampling_probs": True,
            "logit_bias": [[token, BIAS] for token in tokens],
            "seed": 0,
            "id_slot": slot,
        }
        reply = self.run("handle_completions", payload)
        (position,) = reply["choices"][0]["logprobs"]["content"]
        found = {item["id"]: float(item["prob"]) for item in position["top_probs"]}
        scores = {
            token: max(found.get(token, 0.0), _MIN_PROBABILITY) for token in tokens
        }
        total = sum(scores.values())
        return {token: score / total for token, score in scores.items()}

    def embed(self, texts: list[list[int]]) -> dict[str, Any]:
        """Return the reply to an embedding request: ``data``, in base64. Raises ``RequestFailed``."""
        payload = {"input": texts, "encoding_format": "base64"}
        return self.run("handle_embeddings", payload)

    def rerank(self, query: str, documents: list[str]) -> dict[str, Any]:
        """Return the reply to a rerank request: ``results``. Raises ``RequestFailed``."""
        return self.run("handle_rerank", {"query": query, "documents": documents})

    def stream(
        self, payload: dict[str, Any], receive: Callable[[dict[str, Any]], bool]
    ) -> None:
        """Answer a conversation in parts, until ``receive`` returns True. Raises ``RequestFailed``."""
        with translate_refusals():
            self.server.handle_chat_completions(payload, receive)
        self._has_answered = True

    def run(self, method: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the reply of one of the library's methods. Raises ``RequestFailed``."""
        with translate_refusals():
            reply: dict[str, Any] = getattr(self.server, method)(payload)
        self._has_answered = True
        if "error" in reply:
            raise refusal(reply["error"])
        return reply

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        """Send to the loopback port of the library, whose Python interface has no tokenizer."""
        with translate_refusals():
            content = msgspec.json.encode(body)
        request = urllib.request.Request(  # noqa: S310  loopback
            f"{self.server.listening_address}/{path}",
            content,
            {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {self._key}",
            },
        )
        try:
            with _OPENER.open(request, timeout=TIMEOUT_S) as reply:
                return msgspec.json.decode(reply.read())
        except urllib.error.HTTPError as error:
            reason = error.read().decode("utf-8", "replace")
            raise RequestFailed(describe_refusal(reason), status=error.code) from None
        except OSError as error:
            raise RequestFailed(
                f"the model did not answer: {error}", retryable=True
            ) from None

    def close(self) -> None:
        """Unload the model, if this process can."""
        if not self._has_answered:
            self._wait_until_it_runs()
        remove_server(self.server)
        self.server = None
        self._remove_folder()

    def _wait_until_it_runs(self) -> None:
        """Let the library's thread answer once: it never ends if it is stopped before it has begun."""
        method, payload = _SMALLEST[self._task]
        with suppress(RequestFailed), translate_refusals():
            getattr(self.server, method)(payload)

    def _remove_folder(self) -> None:
        if self._folder is not None:
            remove_prompt_folder(self._folder)


@contextmanager
def translate_refusals() -> Iterator[None]:
    """Raise ``RequestFailed`` for what xllamacpp raises if it rejects a text or a schema."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError) as error:
        raise RequestFailed(describe_refusal(str(error)), status=400) from None


def describe_refusal(reason: str) -> str:
    """Return the text of an error for a request that the model does not accept."""
    return f"the model refused the request: {excerpt(reason)}"


def refusal(error: dict[str, Any]) -> RequestFailed:
    """Return the error of a reply as that of its row."""
    status = error.get("code", 400)
    message = excerpt(str(error.get("message")))
    too_long = find_fitting_share(status, message)
    hint = ". Raise the endpoint's context_window" if too_long else ""
    return RequestFailed(
        describe_refusal(message) + hint, status=status, too_long=too_long
    )


def import_xllamacpp() -> Any:
    """Return the library, which reads the variables of OpenMP when it is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    import xllamacpp

    return xllamacpp


_gpu_process: int | None = None
"""The process that uses a GPU first. Its forked children cannot: a driver does not survive a fork."""


def list_devices() -> list[dict[str, Any]]:
    """Return the CPU and each GPU: ``type``, ``description`` and ``memory_free`` (bytes).

    Raises ``ModelFileError`` in a child that was forked by a process that uses a GPU.
    """
    global _gpu_process  # noqa: PLW0603
    if _gpu_process not in {None, os.getpid()}:
        raise ModelFileError(
            "this process was forked by one that uses a GPU, and llama.cpp would abort it: start it with the method "
            "spawn or forkserver of multiprocessing."
        )
    devices: list[dict[str, Any]] = import_xllamacpp().get_device_info()
    if has_gpu(devices):
        _gpu_process = os.getpid()
    return devices


def list_gpus(devices: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those of the library's devices that are GPUs."""
    return [device for device in devices if "GPU" in device["type"].name]


def has_gpu(devices: Sequence[dict[str, Any]]) -> bool:
    """Return True if one of the library's devices is a GPU."""
    return bool(list_gpus(devices))


def uses_gpu(settings: ModelSettings, devices: Sequence[dict[str, Any]]) -> bool:
    """Return True if layers of a model are on a GPU."""
    return settings.gpu_layers != 0 and has_gpu(devices)


def count_fitting_layers(
    settings: ModelSettings, devices: Sequence[dict[str, Any]]
) -> int:
    """Return the layers that fit into the memory of the GPUs, with their part of the slots' states.

    llama.cpp would do this itself, but only for its own command line: xllamacpp gives it no buffer for the result.
    """
    gpus = list_gpus(devices)
    free = sum(max(gpu["memory_free"] - GPU_RESERVE, 0) for gpu in gpus)
    file = read_gguf(settings.path)
    layers = int(file.get("block_count"))
    states = settings.slots * settings.context * count_state_bytes(file)
    size = settings.path.stat().st_size + states
    return min(int(free * (layers + 1) // size), layers)


def load(settings: ModelSettings, *, key: str = "", folder: Path | None = None) -> Any:
    """Return xllamacpp's server for a model. Raises ``ModelFileError``.

    key     what a caller of its port has to know
    folder  for the states of its slots
    """
    xllamacpp = import_xllamacpp()
    devices = list_devices()
    on_gpu = uses_gpu(settings, devices)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(settings.path)
    parameters.n_parallel = settings.slots
    parameters.n_ctx = settings.slots * settings.context
    parameters.cpuparams.n_threads = settings.threads
    parameters.cpuparams_batch.n_threads = settings.threads
    if settings.slots == 1 and not on_gpu:
        # Flash attention rounds differently if a slot goes on from another token. Without it, the answer of a row
        # does not depend on the rows before. With more slots it would, and reading takes 1.3 times as long.
        disabled = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.flash_attn_type = disabled
    parameters.warmup = False
    parameters.cache_ram_mib = (
        0  # up to 8 GiB of the states of prompts, which no later row shares
    )
    parameters.verbosity = -1  # the log goes to stderr and would contain the requests
    if key:
        parameters.api_keys = [key]
    if folder is not None:
        parameters.slot_save_path = f"{folder}/"
    if settings.gpu_layers is not None:
        parameters.n_gpu_layers = settings.gpu_layers
    if settings.task != "chat":
        _set_embedding(parameters, settings)
    if settings.mmproj is not None:
        parameters.mmproj.path = str(settings.mmproj)
    if settings.lora:
        parameters.lora_adapters = [
            xllamacpp.CommonAdapterLoraInfo(str(path), scale)
            for path, scale in settings.lora
        ]
    try:
        return _start(parameters, settings, devices if on_gpu else [])
    except (RuntimeError, ValueError) as error:
        tokens = settings.slots * settings.context
        hint = " Fewer slots, a smaller context_window or fewer gpu_layers need less memory of the GPU."
        raise ModelFileError(
            f"model file {settings.path} could not be loaded ({error}): is it complete, and is there memory for it and "
            f"for {tokens:,} tokens (slots x context_window)?{hint if on_gpu else ''}"
        ) from None


def _start(
    parameters: Any, settings: ModelSettings, devices: Sequence[dict[str, Any]]
) -> Any:
    server = import_xllamacpp().Server
    if devices and settings.gpu_layers in {None, -1}:
        # All layers. Where these do not fit, fewer are many times slower, but better than an error.
        with suppress(RuntimeError):
            return server(parameters)
        parameters.n_gpu_layers = count_fitting_layers(settings, devices)
    return server(parameters)


def _set_embedding(parameters: Any, settings: ModelSettings) -> None:
    """Set what the models that write nothing need: a whole text is computed at once."""
    xllamacpp = import_xllamacpp()
    parameters.embedding = True
    parameters.n_batch = max(settings.context, parameters.n_ubatch)
    parameters.n_ubatch = parameters.n_batch
    pooling = "rank" if settings.task == "rerank" else settings.pooling
    if pooling:
        name = f"LLAMA_POOLING_TYPE_{pooling.upper()}"
        parameters.pooling_type = getattr(xllamacpp.llama_pooling_type, name)
