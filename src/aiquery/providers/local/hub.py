"""Downloads files of the Hugging Face hub, or of a mirror of it, into the cache that its client uses."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiquery.errors import MissingExtra, ModelFileError, excerpt
from aiquery.providers.local.download import compute_sha256

_DEFAULT_QUANT = "Q4_K_M"
_HASH = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
"""What the hub calls a file: its SHA-1 in git, or its SHA-256."""

_SHA256_DIGITS = 64
_PART = re.compile(r"-\d{5}-of-(?P<count>\d{5})\.gguf$")


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
        paths = [
            _download_file(hub, repo, part, mirror) for part in list_parts(filename)
        ]
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
    return paths[0]


def _download_file(hub: Any, repo: str, filename: str, mirror: str | None) -> Path:
    """Return one file. What a killed process has downloaded is used; the hub's client would begin again.

    The file appears in the cache when it is whole and has the right hash. Raises ``ModelFileError`` and the
    errors of the client.
    """
    url = hub.hf_hub_url(repo, filename, endpoint=mirror)
    file = hub.get_hf_file_metadata(url)
    if file.etag and not _HASH.fullmatch(file.etag):
        # It becomes the name of a file.
        raise ModelFileError(
            f"hub file {url}: its ETag is not a hash; ask who runs the mirror."
        )
    if file.etag and file.size and file.size <= hub.constants.MAX_HTTP_DOWNLOAD_SIZE:
        folder = hub.file_download.repo_folder_name(repo_id=repo, repo_type="model")
        blob = Path(hub.constants.HF_HUB_CACHE, folder, "blobs", file.etag)
        blob.parent.mkdir(parents=True, exist_ok=True)
        with hub.utils.WeakFileLock(blob.with_name(f"{blob.name}.aiquery-lock")):
            if not blob.exists():
                _download_blob(hub, url, file, blob)
    # The client finds the file and names it, or downloads one that is too large for HTTP by its own protocol.
    return Path(hub.hf_hub_download(repo, filename, endpoint=mirror))


def _download_blob(hub: Any, url: str, file: Any, blob: Path) -> None:
    headers = hub.utils.build_hf_headers()
    if urlsplit(url).netloc != urlsplit(file.location).netloc:
        # The files are on another server, which must not see the user's token.
        headers.pop("authorization", None)
    part = blob.with_name(f"{blob.name}.aiquery-part")
    with part.open("ab") as stream:
        if stream.tell() > file.size:
            stream.truncate(0)
        hub.file_download.http_get(
            file.location,
            stream,
            resume_size=stream.tell(),
            headers=headers,
            expected_size=file.size,
            displayed_filename=Path(urlsplit(url).path).name,
        )
    # The name that the hub gives to a large file is its SHA-256.
    if len(blob.name) == _SHA256_DIGITS:
        found = compute_sha256(part)
        if found != blob.name:
            part.unlink()
            raise ModelFileError(
                f"hub file {url}: the downloaded file has the SHA-256 {found}, not {blob.name}; it was deleted. "
                "Download it again, or ask who runs the mirror."
            )
    part.replace(blob)


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
        filename = min(matching, key=_by_name, default="")
    if not filename or not set(names).issuperset(list_parts(filename)):
        return None
    return folder / list_parts(filename)[0]


def _import_hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.file_download
        import huggingface_hub.utils
    except ImportError:
        raise MissingExtra(
            "models from the Hugging Face hub need: pip install 'aiquery[local]'"
        ) from None
    return huggingface_hub


def _transport_errors() -> tuple[type[Exception], ...]:
    """Return the errors of the hub's HTTP client."""
    import httpx2

    return (httpx2.HTTPError,)


def _is_model(name: str) -> bool:
    return name.endswith(".gguf") and "mmproj" not in name.lower()


def pick_file(names: list[str], quant: str, repo: str) -> str:
    """Return the GGUF file of a quantization, or the only one. Raises ``ModelFileError``.

    An image projector (``mmproj``) is no model.
    """
    models = [name for name in names if _is_model(name)]
    matching = [name for name in models if quant.lower() in name.lower()]
    if matching:
        return min(matching, key=_by_name)
    if len({list_parts(name)[0] for name in models}) != 1:
        known = ", ".join(models) or "none"
        raise ModelFileError(f"{repo} has no GGUF file for {quant!r}; it has: {known}")
    return min(models)


def _by_name(name: str) -> tuple[int, str]:
    """Sort the plainest name first, and the parts of a file by their numbers."""
    return len(name), name


def list_parts(name: str) -> list[str]:
    """Return the files that a model consists of: a large one is split, and llama.cpp is given the first part."""
    found = _PART.search(name)
    if found is None:
        return [name]
    count = int(found["count"])
    start = name[: found.start()]
    return [f"{start}-{i:05}-of-{count:05}.gguf" for i in range(1, count + 1)]
