"""Plain English: words that a reader must read twice do not occur. See docs/concepts/glossary.md."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BANNED = "nobody|somebody|everybody|whoever|told|kept|anew|beforehand|(?:its|their) like"
"""The glossary names the plain words to use instead. ``not_kept`` is a former name, which an error must contain."""

PATTERN = re.compile(rf"(?<![a-z])(?!kept\b(?<=not_kept))(?:{BANNED})(?![a-z])", re.IGNORECASE)
"""Also finds a word that is a part of a name."""

FOLDERS = ("src", "jvm", "tests", "benchmarks", "docs", "examples", "scripts", "packages")
SUFFIXES = {".py", ".pyi", ".scala", ".md", ".toml", ".html", ".sql", ".ipynb"}
FILES = sorted(
    [
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SUFFIXES and path != Path(__file__)
    ]
    + [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_banned_word(path):
    found = [
        f"{path.relative_to(ROOT)}:{i}: {line.strip()}"
        for i, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if PATTERN.search(line)
    ]
    assert found == []
