"""The caller's Python variables that a statement names as tables.

DuckDB looks for them in the frames above it, and the nearest frames are those of this package: a data frame called
``result`` must not be confused with a variable of this package. So a statement is run from a frame that has only the
caller's variables.
"""

from __future__ import annotations

import functools
import keyword
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PACKAGE = str(Path(__file__).parents[2])
_LIBRARIES = ("pandas.", "polars.", "pyarrow.", "numpy.", "duckdb.", "_duckdb.")


def find_variables(text: str) -> dict[str, Any]:
    """Return the tables that the names in a statement refer to, in the frames of the package's caller."""
    names = _names(text)
    found: dict[str, Any] = {}
    for variables in _frames():
        for name in names - found.keys():
            if name in variables and _is_table(variables[name]):
                found[name] = variables[name]
    return found


def _frames() -> Iterator[Mapping[str, Any]]:
    """Yield the variables of each frame outside of this package, the nearest first, as DuckDB searches them."""
    frame = sys._getframe(1)  # noqa: SLF001  Python has no other way to the caller's variables
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            yield frame.f_locals
            yield frame.f_globals
        frame = frame.f_back  # type: ignore[assignment]


def run_with(
    variables: Mapping[str, Any], call: Callable[[str], Any], text: str
) -> Any:
    """Return ``call(text)``, called from a frame in which the variables are local."""
    names = tuple(sorted(variables))
    values = [variables[name] for name in names]
    return _make_caller(names)(call, text, *values)


def _names(text: str) -> set[str]:
    raw = text.encode()
    tokens = duckdb.tokenize(text)
    ends = [start for start, _ in tokens[1:]]
    ends.append(len(raw))
    words = set()
    for (start, kind), end in zip(tokens, ends, strict=True):
        if kind.name in {"identifier", "keyword"}:
            word = raw[start:end].decode().split("--")[0].split("/*")[0]
            words.add(word.strip().strip('"'))
    return {
        word for word in words if word.isidentifier() and not keyword.iskeyword(word)
    }


def _is_table(value: Any) -> bool:
    if isinstance(value, type):
        return False
    if isinstance(value, dict | list):
        return True
    if f"{type(value).__module__}.".startswith(_LIBRARIES):
        return True
    return hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")


@functools.lru_cache(maxsize=64)
def _make_caller(names: tuple[str, ...]) -> Callable[..., Any]:
    """Return a function with the parameters ``names``, which are identifiers: DuckDB finds parameters, not closures."""
    parameters = ", ".join(("_aiquery_call", "_aiquery_text", *names))
    namespace: dict[str, Any] = {}
    source = f"def run({parameters}):\n    return _aiquery_call(_aiquery_text)\n"
    exec(source, {}, namespace)  # noqa: S102  only identifiers are put in
    run: Callable[..., Any] = namespace["run"]
    return run
