"""The package: one version, one direction of imports, dense nowhere, and complete when it is built."""

import ast
import io
import subprocess
import sys
import tokenize
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import aiquery

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "aiquery"
JAR = "src/aiquery/engines/spark/aiquery-spark.jar"
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.STRING,
    tokenize.NEWLINE,
    tokenize.NL,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def test_there_is_one_version():
    assert version("aiquery") == aiquery.__version__


def is_code(token):
    if token.type in NOT_CODE:
        return False
    return not tokenize.tok_name[token.type].startswith("FSTRING")


def tokens_per_line(path):
    """Count the tokens of each line that has code: without comments, strings, newlines and indents."""
    counts = {}
    reader = io.StringIO(path.read_text("utf-8")).readline
    for token in tokenize.generate_tokens(reader):
        if is_code(token):
            row = token.start[0]
            counts[row] = counts.get(row, 0) + 1
    return list(counts.values())


def test_lines_are_not_dense():
    counts = sorted(count for path in SOURCE.rglob("*.py") for count in tokens_per_line(path))
    assert counts[int(0.9 * len(counts))] < 16


def test_files_are_short():
    sizes = sorted(len(path.read_text("utf-8").splitlines()) for path in SOURCE.rglob("*.py"))
    scala = [len(path.read_text("utf-8").splitlines()) for path in (ROOT / "jvm").rglob("*.scala")]
    assert sizes[len(sizes) // 2] < 180
    assert max(scala) <= 450


def imports_at_run_time(path, modules):
    """Yield the modules of the package that a module imports at its top level."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def test_imports_have_no_circle():
    modules = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        modules[".".join(parts).removesuffix(".__init__")] = path
    graph = {
        name: {found for found in imports_at_run_time(path, modules) if found in modules}
        for name, path in modules.items()
    }
    # Modules without imports of their own are removed until only circles are left.
    while leaves := [name for name, needs in graph.items() if not needs & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert graph == {}


def test_the_tree_names_no_registry():
    hosts = ("repo1.maven" + ".org", "pypi" + ".org", "registry.npmjs" + ".org")
    listed = subprocess.run(
        ["git", "ls-files"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    if not listed:
        pytest.skip("not a checkout")
    for name in listed:
        path = ROOT / name
        if path.suffix in {".lock", ".jar"} or not path.is_file():
            continue
        text = path.read_text("utf-8", errors="replace")
        assert not any(host in text for host in hosts), name
    assert "derby.log" not in listed


def build(tree, target):
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", tree / "out"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def tree(tmp_path):
    """A copy of what a build reads."""
    import shutil

    for name in ("src", "docs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.jar"))
    for name in ("pyproject.toml", "build_hook.py", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for path in ROOT.glob("[A-Z]*.md"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_a_build_without_the_spark_jar_fails_and_names_the_fix(tree, target):
    done = build(tree, target)
    assert done.returncode != 0
    assert "aiquery-spark.jar is missing" in done.stderr
    assert "make jar" in done.stderr


def test_a_wheel_has_the_spark_jar_the_types_and_the_data(tree):
    (tree / JAR).write_bytes(b"jar")
    done = build(tree, "wheel")
    assert done.returncode == 0, done.stderr
    (wheel,) = (tree / "out").glob("*.whl")
    assert aiquery.__version__ in wheel.name
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "aiquery/engines/spark/aiquery-spark.jar",
        "aiquery/py.typed",
        "aiquery/functions/__init__.pyi",
        "aiquery/spark/functions.pyi",
        "aiquery/data/vendors.toml",
        "aiquery/data/tickets.csv",
        "aiquery/data/report.html",
    ):
        assert name in names
