"""The page of Spark's functions in the Databricks dialect, from the records that the tests compare with."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

from aiquery.sql.databricks.refused import REFUSED

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = """# Spark's functions in Databricks SQL on DuckDB

The examples that Spark 4.3 documents for its functions, run with `dialect="databricks"` and compared with Spark's own
answers by `tests/dialect`. **Same**: all examples give Spark's result. **In part**: some are refused. **Refused**: the
function raises an error that names it. None gives another result. A function that is not in the table has no example
whose result is the same each time, or shares its name with an operator.

"""


def render(tests: Path) -> str:
    """Return the page; ``tests`` is the folder with the records."""
    refused = set((tests / "records" / "refused.txt").read_text("utf-8").splitlines())
    examples = defaultdict(list)
    for line in (tests / "records" / "functions.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line)
        if not record["sql"].startswith("SET "):
            examples[record["function"]].append(record["sql"] in refused)
    rows = [
        f"| `{name}` | {_describe(name, marks)} |" for name, marks in sorted(examples.items()) if name.isidentifier()
    ]
    named = [marks for name, marks in examples.items() if name.isidentifier()]
    same = sum(not any(marks) for marks in named)
    summary = f"{same} of {len(named)} functions are the same.\n\n"
    return _HEAD + summary + "| function | on DuckDB |\n|---|---|\n" + "\n".join(rows) + "\n"


def _describe(name: str, marks: list[bool]) -> str:
    if not any(marks):
        return "same"
    if not all(marks):
        return f"in part: {marks.count(False)} of {len(marks)} examples"
    hint = REFUSED.get(name)
    return "refused" if hint is None else f"refused: {hint}"
