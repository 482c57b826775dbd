"""Small files, short functions, flat code. The allow-list may only shrink."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILE_LINES, FUNCTION_LINES, DEPTH = 450, 50, 3
ALLOWED = set()
FILES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py")])
BLOCKS = (ast.For, ast.While, ast.If, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith, ast.Match)


def body_lines(node):
    """Count the lines of a function's body without its docstring.

    The signature does not count: an explicit one has a line for each parameter.
    """
    first = node.body[0]
    is_doc = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    start = first.end_lineno + 1 if is_doc else first.lineno
    return node.end_lineno - start + 1


def depth(node):
    """Count nested blocks; an elif is no deeper than its if."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        chained = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, (isinstance(child, BLOCKS) and not chained) + depth(child))
    return deepest


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_sizes(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (path.name, node.name) not in ALLOWED:
            where = f"{path.name}:{node.lineno} {node.name}"
            assert body_lines(node) <= FUNCTION_LINES, where
            assert depth(node) <= DEPTH, where
