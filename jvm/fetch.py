"""Fetch jars into a folder: ``python jvm/fetch.py FOLDER GROUP:NAME:VERSION ..``.

Apache Ivy does the work, with its default repository. pyspark's jars contain it. A jar whose SHA-256 is not the one in
``jars.sha256`` is deleted, and the command fails.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

from build import HERE, find_jars

from aiquery.engines.spark.driver.java import find_java

IVY_HOME = HERE.parent / ".cache" / "ivy"
HASHES = HERE / "jars.sha256"
FILE_NAME = "[artifact]-[revision].[ext]"


def write_module(path: Path, coordinates: list[str], *, transitive: bool) -> None:
    """Write an Ivy module whose dependencies are the jars to fetch."""
    module = ET.Element("ivy-module", version="2.0")
    ET.SubElement(module, "info", organisation="aiquery", module="jars")
    dependencies = ET.SubElement(module, "dependencies")
    for coordinate in coordinates:
        group, name, version = coordinate.split(":")
        attributes = {"org": group, "name": name, "rev": version, "conf": "default"}
        ET.SubElement(
            dependencies, "dependency", attributes, transitive=str(transitive).lower()
        )
    ET.ElementTree(module).write(path, "utf-8", xml_declaration=True)


def fetch(folder: Path, coordinates: list[str], *, transitive: bool = False) -> None:
    """Write the jars, and with ``transitive`` those that they depend on, into ``folder``."""
    (ivy,) = find_jars().glob("ivy-*.jar")
    with tempfile.TemporaryDirectory() as scratch:
        module = Path(scratch) / "ivy.xml"
        write_module(module, coordinates, transitive=transitive)
        java = [
            str(find_java()),
            f"-Divy.default.ivy.user.dir={IVY_HOME}",
            "-cp",
            str(ivy),
            "org.apache.ivy.Main",
        ]
        options = [
            "-warn",
            "-ivy",
            str(module),
            "-confs",
            "default",
            "-retrieve",
            str(folder.absolute() / FILE_NAME),
        ]
        done = subprocess.run(
            [*java, *options], check=False, capture_output=True, text=True
        )
    if done.returncode != 0:
        output = done.stdout + done.stderr
        sys.exit(
            f"Ivy cannot fetch {' '.join(coordinates)}; check the names and the network.\n{output}"
        )
    check_hashes(folder)


def check_hashes(folder: Path) -> None:
    """Delete the jars of a folder that are not in ``jars.sha256``, and end with an error if there are any."""
    known = set(HASHES.read_text().splitlines())
    for jar in sorted(folder.glob("*.jar")):
        found = hashlib.sha256(jar.read_bytes()).hexdigest()
        if f"{found}  {jar.name}" not in known:
            jar.unlink()
            sys.exit(
                f"{jar.name} has the SHA-256 {found}, which is not in {HASHES}; it was deleted."
            )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("coordinates", nargs="+", metavar="GROUP:NAME:VERSION")
    parser.add_argument(
        "--transitive",
        action="store_true",
        help="also fetch the jars that these depend on",
    )
    options = parser.parse_args()
    fetch(options.folder, options.coordinates, transitive=options.transitive)


if __name__ == "__main__":
    main()
