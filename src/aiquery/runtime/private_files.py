"""Files and folders that other users of the machine cannot read: they have texts and answers of tables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_private_folder(path: Path) -> None:
    """Create a folder, and those above it that are missing, for this user only. One that exists stays as it is."""
    for folder in [*reversed(path.parents), path]:
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)


def create_private_file(path: Path) -> None:
    """Create an empty file that only this user can read and write. One that exists stays as it is."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
