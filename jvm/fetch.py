"""Fetch jars from Maven Central into a folder: ``python jvm/fetch.py FOLDER GROUP:NAME:VERSION ..``."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from urllib.request import urlopen

CENTRAL = "https://repo1.maven.org/maven2"


def fetch(folder: Path, coordinate: str) -> None:
    """Write one jar, if it is what its checksum says."""
    group, name, version = coordinate.split(":")
    url = f"{CENTRAL}/{group.replace('.', '/')}/{name}/{version}/{name}-{version}.jar"
    with urlopen(url) as answer, urlopen(f"{url}.sha1") as checksum:  # noqa: S310  an https URL of ours
        jar, expected = answer.read(), checksum.read().decode().split()[0]
    if hashlib.sha1(jar).hexdigest() != expected:  # noqa: S324  the checksum that Maven Central keeps
        raise SystemExit(f"{url}: the checksum is not {expected}; fetch it again.")
    (folder / f"{name}-{version}.jar").write_bytes(jar)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for one in sys.argv[2:]:
        fetch(target, one)
