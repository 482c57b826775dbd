"""Reads the options of a local endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from aiquery.config.environment import assigned_cores
from aiquery.config.local_models import find_in_catalog
from aiquery.errors import ConfigError, ModelFileError
from aiquery.providers.local.gguf_file import read_gguf
from aiquery.providers.local.llama_server import ModelSettings, Pooling
from aiquery.providers.local.model_file import find_model, is_path
from aiquery.providers.local.tuning import SLOTS, count_cores, default_threads, tune

if TYPE_CHECKING:
    from aiquery.config.endpoint import Endpoint

CONTEXT = 2048
PACKAGED = "smollm2-135m-instruct"
PACKAGED_EMBEDDING = "all-minilm-l6-v2"

LIMITS = {"slots": (1, 256), "threads": (1, 512), "gpu_layers": (-1, 10_000)}
"""The smallest and the largest value of an option. llama.cpp has 256 sequences and 512 threads at most."""

ChooseBy = Literal["embeddings", "token_probabilities", "generation"]

OPTIONS = frozenset(
    {
        "slots",
        "threads",
        "gpu_layers",
        "choose_by",
        "mmproj",
        "lora",
        "pooling",
        "query_prefix",
        "document_prefix",
    }
)


def check_options(endpoint: Endpoint) -> None:
    """Raise ``ConfigError`` for an option that does not exist or has no such value."""
    for name in endpoint.options:
        if name not in OPTIONS:
            known = ", ".join(sorted(OPTIONS))
            raise ConfigError(
                f"endpoint {endpoint.name!r}: unknown option {name!r}; known: {known}."
            )
    for name, (least, most) in LIMITS.items():
        number = endpoint.options.get(name, least)
        if type(number) is not int or not least <= number <= most:
            raise ConfigError(
                f"endpoint {endpoint.name!r}: {name} must be an integer from {least} to {most}, not {number!r}."
            )
    if endpoint.context_window is not None and endpoint.context_window < 1:
        raise ConfigError(
            f"endpoint {endpoint.name!r}: context_window must be a number of tokens, not {endpoint.context_window}."
        )
    known_model = find_in_catalog(endpoint.model)
    if known_model is not None and known_model.task != endpoint.task:
        raise ConfigError(
            f"endpoint {endpoint.name!r}: {endpoint.model} is a model for task = {known_model.task!r}, not "
            f"{endpoint.task!r}."
        )
    for name, kind in (("choose_by", ChooseBy), ("pooling", Pooling)):
        value = endpoint.options.get(name)
        allowed = [item for item in get_args(kind) if item]
        if value is not None and value not in allowed:
            raise ConfigError(
                f"endpoint {endpoint.name!r}: {name} = {value!r} does not exist; allowed: "
                f"{', '.join(allowed)}."
            )


def read_choose_by(endpoint: Endpoint) -> ChooseBy:
    """Return how the endpoint chooses one of a few values. ``check_options`` checks the option."""
    is_packaged = endpoint.model.lower() == PACKAGED
    default = "embeddings" if is_packaged else "token_probabilities"
    return cast("ChooseBy", endpoint.options.get("choose_by", default))


def read_settings(endpoint: Endpoint) -> ModelSettings:
    """Return the settings of the endpoint's model. Downloads its files if necessary.

    Raises ``ConfigError``.
    """
    options = endpoint.options
    path = find_model(endpoint.model)
    threads = options.get("threads")
    slots = options.get("slots", endpoint.max_concurrency)
    gpu_layers = options.get("gpu_layers")
    mmproj = options.get("mmproj")
    if endpoint.task == "chat":
        check_chat_model(path)
        task: Literal["chat", "embedding", "rerank"] = "chat"
        context = endpoint.context_window or CONTEXT
    else:
        task = "rerank" if endpoint.task == "rerank" else "embedding"
        context = endpoint.context_window or read_limit(path)
    settings = ModelSettings(
        path=path,
        task=task,
        slots=int(slots or SLOTS),
        context=context,
        threads=int(threads or usual_threads()),
        gpu_layers=None if gpu_layers is None else int(gpu_layers),
        pooling=cast("Pooling", options.get("pooling", "")),
        mmproj=None if mmproj is None else _find_projector(str(mmproj)),
        lora=_read_adapters(str(options.get("lora", ""))),
    )
    may_tune = task == "chat" and assigned_cores() is None
    if not may_tune or (threads and slots):
        return settings
    return tune(settings, threads=not threads, slots=not slots)


def packaged_embedding_settings() -> ModelSettings:
    """Return the settings of the packaged embedding model, which is prepared if necessary."""
    path = find_model(PACKAGED_EMBEDDING)
    return ModelSettings(
        path=path,
        task="embedding",
        slots=SLOTS,
        context=read_limit(path),
        threads=usual_threads(),
    )


MAX_EMBEDDING_CONTEXT = 8192
"""Tokens of a text at most, unless the endpoint sets ``context_window``: attention takes memory for each pair."""


def read_limit(path: Path) -> int:
    """Return the highest number of tokens that an embedding model reads."""
    limit = read_gguf(path).get("context_length")
    return min(int(limit or CONTEXT), MAX_EMBEDDING_CONTEXT)


def read_dimensions(endpoint: Endpoint) -> int | None:
    """Return the length of the endpoint's vectors; None if the model's file is not on this machine yet."""
    if endpoint.dimensions:
        return endpoint.dimensions
    known = find_in_catalog(endpoint.model)
    if known is not None and known.dimensions:
        return known.dimensions
    if not is_path(endpoint.model):
        return None
    length = read_gguf(Path(endpoint.model).expanduser()).get("embedding_length")
    return None if length is None else int(length)


def check_chat_model(path: Path) -> None:
    """Raise ``ModelFileError`` for a model that writes nothing."""
    file = read_gguf(path)
    kind = file.settings.get("general.type", "model")
    if file.architecture == "clip" or kind != "model":
        raise ModelFileError(
            f"model file {path} is a part of a model (an adapter or a projector): name it in the option lora or mmproj."
        )
    if file.get("pooling_type") or "bert" in file.architecture:
        raise ModelFileError(
            f"model file {path} is an embedding model, which writes nothing: set task = 'embedding' for the endpoint, "
            "or name a chat model."
        )


def _find_projector(model: str) -> Path:
    path = find_model(model)
    if read_gguf(path).architecture != "clip":
        raise ModelFileError(
            f"mmproj: {path} is no image projector. It is a file of the model's repository with mmproj in its name."
        )
    return path


def _find_adapter(model: str) -> Path:
    path = find_model(model)
    if read_gguf(path).settings.get("general.type") != "adapter":
        raise ModelFileError(
            f"lora: {path} is no LoRA adapter in the form of GGUF; llama.cpp's convert_lora_to_gguf.py makes one."
        )
    return path


def _read_adapters(option: str) -> tuple[tuple[Path, float], ...]:
    """Return the adapters of ``a.gguf,b.gguf=0.5``. Raises ``ConfigError``."""
    adapters = []
    for part in filter(None, (item.strip() for item in option.split(","))):
        model, equals, scale = part.partition("=")
        try:
            adapters.append((_find_adapter(model), float(scale) if equals else 1.0))
        except ValueError:
            raise ConfigError(
                f"lora: the scale of {model!r} must be a number, not {scale!r}."
            ) from None
    return tuple(adapters)


def usual_threads() -> int:
    """Return the threads where nothing is measured."""
    return assigned_cores() or default_threads(count_cores())
