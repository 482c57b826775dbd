"""Record what Spark answers for random values of the functions in ``tests/dialect/cases.txt``.

    python scripts/record_spark_cases.py [--seed 7] [--rows 40]

Writes the values as a query, and a line for each function with its results in the order of the rows:
``tests/dialect/records/values.sql`` and ``cases.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

from pyspark.errors import PySparkException

TESTS = Path(__file__).parents[1] / "tests" / "dialect"
sys.path.insert(0, str(TESTS))

from record_spark_functions import start_spark  # noqa: E402  the script beside this one
from recorded import RECORDS, normalize  # noqa: E402  the tests' own module

_LETTERS = [
    "a",
    "b",
    "Z",
    "7",
    " ",
    " ",
    "-",
    ",",
    "%",
    "_",
    "'",
    '"',
    "\\",
    "\t",
    "é",
    "e\u0301",
    "ß",
    "Ж",
    "中",
    "😀",
    "ab",
    "A1",
]
_HALF = 0.5
_SOME = 0.4
_FEW = 0.08
_DAYS = ["2024-02-29", "2023-12-31", "2024-01-01", "1999-12-31", "2000-01-31", "1970-01-01", "2024-03-31", "2024-11-03"]


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rows", type=int, default=40)
    arguments = parser.parse_args()
    values = make_values(random.Random(arguments.seed), arguments.rows)  # noqa: S311  not for secrets
    (RECORDS / "values.sql").write_text(values, "utf-8")
    spark = start_spark()
    spark.sql(f"CREATE TEMP VIEW v AS {values}")
    with (RECORDS / "cases.jsonl").open("w", encoding="utf-8") as file:
        for expression in (TESTS / "cases.txt").read_text("utf-8").splitlines():
            try:
                frame = spark.sql(f"SELECT {expression} AS r FROM v ORDER BY i")
                results = [normalize(row[0]) for row in frame.collect()]
            except PySparkException as error:
                print(f"Spark does not run: {expression}: {str(error).splitlines()[0][:120]}")
                continue
            line = {"case": expression, "type": frame.schema[0].dataType.simpleString(), "results": results}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def make_values(chance: random.Random, count: int) -> str:
    """Return a query of random values: texts, numbers, days, times and arrays, some of them NULL."""
    rows = []
    for index in range(count):
        day = chance.choice(_DAYS) if chance.random() < _HALF else _random_day(chance)
        time = f"{chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}"
        fraction = chance.choice(["", "", ".5", ".123456"])
        numbers = [str(chance.randrange(6)) for _ in range(chance.randrange(1, 5))]
        texts = [_quote(_text(chance)) for _ in range(chance.randrange(1, 4))]
        if chance.random() < _SOME:
            numbers[chance.randrange(len(numbers))] = "NULL"
            texts[chance.randrange(len(texts))] = "NULL"
        columns = [
            str(index),
            _or_null(chance, _quote(_text(chance))),
            _quote(_text(chance)),
            _or_null(chance, str(chance.randrange(0, 60))),
            _or_null(chance, f"CAST({_double(chance)!r} AS DOUBLE)"),
            _or_null(chance, f"DATE'{day}'"),
            _or_null(chance, f"TIMESTAMP'{day} {time}{fraction}'"),
            _or_null(chance, f"CAST(array({', '.join(texts)}) AS ARRAY<STRING>)"),
            _or_null(chance, f"CAST(array({', '.join(numbers)}) AS ARRAY<INT>)"),
        ]
        rows.append(f"({', '.join(columns)})")
    return "SELECT * FROM VALUES\n" + ",\n".join(rows) + "\nAS v(i, s, t, n, x, d, ts, a, b)\n"


def _text(chance: random.Random) -> str:
    return "".join(chance.choice(_LETTERS) for _ in range(chance.randrange(0, 9)))


def _random_day(chance: random.Random) -> str:
    return f"{chance.randrange(1971, 2030)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"


def _double(chance: random.Random) -> float:
    return chance.choice([0.5, 2.5, -2.5, 0.125, 1e7, 12345678.9, 1e-4, -0.05, round(chance.uniform(-500, 500), 3)])


def _or_null(chance: random.Random, text: str) -> str:
    return "NULL" if chance.random() < _FEW else text


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


if __name__ == "__main__":
    main()
