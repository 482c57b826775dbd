"""The caller's Python variables that a statement names as tables.

DuckDB looks for them in the frames above it, and the nearest of those are ours: a data frame that is called ``result``
must not be taken for a variable of this package. So the statement is run from a frame that has just the caller's.
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

_OURS = str(Path(__file__).parents[2])
_LIBRARIES = ("pandas.", "polars.", "pyarrow.", "numpy.", "duckdb.", "_duckdb.")


def named_in(text: str) -> dict[str, Any]:
    """Return what the names in a statement stand for in the frames of whoever called this package."""
    names = _names(text)
    found: dict[str, Any] = {}
    for variables in _variables():
        for name in names - found.keys():
            if name in variables and _is_table(variables[name]):
                found[name] = variables[name]
    return found


def _variables() -> Iterator[Mapping[str, Any]]:
    """Yield the variables of each frame that is not this package's, the nearest first, as DuckDB looks for them."""
    frame = sys._getframe(1)  # noqa: SLF001  there is no other way to the caller's variables
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_OURS):
            yield frame.f_locals
            yield frame.f_globals
        frame = frame.f_back  # type: ignore[assignment]


def run_with(
    variables: Mapping[str, Any], call: Callable[[str], Any], text: str
) -> Any:
    """Return what ``call(text)`` does, called from a frame in which the variables are local."""
    names = tuple(sorted(variables))
    return _caller(names)(call, text, *(variables[name] for name in names))


def _names(text: str) -> set[str]:
    raw = text.encode()
    tokens = duckdb.tokenize(text)
    ends = [start for start, _ in tokens[1:]] + [len(raw)]
    words = {
        raw[start:end].decode().split("--")[0].split("/*")[0].strip().strip('"')
        for (start, kind), end in zip(tokens, ends, strict=True)
        if kind.name in {"identifier", "keyword"}
    }
    return {
        word for word in words if word.isidentifier() and not keyword.iskeyword(word)
    }


def _is_table(value: Any) -> bool:
    if isinstance(value, type):
        return False
    known = f"{type(value).__module__}.".startswith(_LIBRARIES) or isinstance(
        value, dict | list
    )
    return (
        known
        or hasattr(value, "__arrow_c_stream__")
        or hasattr(value, "__arrow_c_array__")
    )


@functools.lru_cache(maxsize=64)
def _caller(names: tuple[str, ...]) -> Callable[..., Any]:
    """Return a function with the parameters ``names``, which are identifiers: DuckDB sees parameters, not closures."""
    parameters = ", ".join(("_aiquery_call", "_aiquery_text", *names))
    made: dict[str, Any] = {}
    exec(f"def run({parameters}):\n    return _aiquery_call(_aiquery_text)\n", {}, made)  # noqa: S102  names only
    run: Callable[..., Any] = made["run"]
    return run
