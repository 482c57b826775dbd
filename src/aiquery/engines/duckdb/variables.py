"""The caller's Python variables that a statement names as tables.

DuckDB looks for them in the frame that calls it, which is one of this package: a data frame called ``result`` must not
be confused with a variable of this package. So a statement is run from a frame that has only the caller's variables.
The variables of the caller's own callers are not found, as in DuckDB, unless ``python_scan_all_frames`` is set.
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


def find_variables(text: str, *, all_frames: bool) -> dict[str, Any]:
    """Return the tables that the names in a statement refer to, in the frame of the package's caller.

    all_frames  also in the frames above it
    """
    names = _names(text)
    found: dict[str, Any] = {}
    for variables in _frames(all_frames=all_frames):
        for name in names - found.keys():
            if name in variables and _is_table(variables[name]):
                found[name] = variables[name]
    return found


def _frames(*, all_frames: bool) -> Iterator[Mapping[str, Any]]:
    """Yield the variables of the nearest frame outside of this package, or of each, as DuckDB searches them."""
    frame = sys._getframe(1)  # noqa: SLF001  Python has no other way to the caller's variables
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            yield frame.f_locals
            yield frame.f_globals
            if not all_frames:
                return
        frame = frame.f_back  # type: ignore[assignment]


def run_with(
    variables: Mapping[str, Any], call: Callable[[str], Any], text: str
) -> Any:
    """Return ``call(text)``, called from a frame with the variables; ``call`` is DuckDB's own function."""
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
