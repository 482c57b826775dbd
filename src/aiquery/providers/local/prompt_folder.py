"""The folder with the states of a loaded model's slots, which no other user can read."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote, unquote

from aiquery.runtime.processes import is_gone, new_owner

log = logging.getLogger("aiquery")

_PREFIX = "aiquery-prompts-"


def make_prompt_folder() -> Path | None:
    """Return a new folder, and remove those of processes that were killed.

    Returns None if the folder for temporary files cannot be written: then no state is saved.
    """
    parent = Path(tempfile.gettempdir())
    for folder in parent.glob(f"{_PREFIX}*"):
        if is_gone(unquote(folder.name.removeprefix(_PREFIX))):
            # Another user's folder cannot be removed by this one.
            shutil.rmtree(folder, ignore_errors=True)
    folder = parent / f"{_PREFIX}{quote(new_owner(), safe='')}"
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        log.debug("prompts are not saved: %s", error)
        return None
    return folder


def remove_prompt_folder(folder: Path) -> None:
    """Remove the folder of a model that is unloaded."""
    shutil.rmtree(folder, ignore_errors=True)
