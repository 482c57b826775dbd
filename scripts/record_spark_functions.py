"""Record what Spark answers to the examples that it documents for its functions: ``tests/dialect/records``.

Run it once for a version of Spark: ``python scripts/record_spark_functions.py``. The tests compare DuckDB with the
records, so that they need no JVM.
"""

import json
import re
import sys
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

TESTS = Path(__file__).parents[1] / "tests" / "dialect"
sys.path.insert(0, str(TESTS))

from recorded import RECORDS, normalize, sort_rows  # noqa: E402  the tests' own module

_EXAMPLE = re.compile(r"^\s*> (.*?);\s*$", re.MULTILINE | re.DOTALL)
_DIFFERENT_EACH_TIME = re.compile(
    r"\b(rand|randn|uuid|current_|now\(|curdate|localtime|unix_timestamp\(\)|monotonically|input_file|spark_partition|user\(|version|"
    r"session_user|java_method|reflect|shuffle|randstr|uniform|raise_error|assert_true|kll_|theta_|hll_|bitmap|"
    r"count_min|from_avro|to_avro|from_protobuf|to_protobuf|schema_of_avro)",
    re.IGNORECASE,
)


def main() -> None:
    """Write a line for each example whose result is the same each time."""
    spark = start_spark()
    names = [row[0] for row in spark.sql("SHOW FUNCTIONS").collect()]
    RECORDS.mkdir(exist_ok=True)
    (RECORDS / "names.txt").write_text("\n".join(names) + "\n", "utf-8")
    with (RECORDS / "functions.jsonl").open("w", encoding="utf-8") as file:
        for name in names:
            for sql in _examples(spark, name):
                record = _run(spark, sql)
                if record is not None:
                    line = {"function": name, "sql": sql, **record}
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
    _record_statements(spark)


def start_spark() -> SparkSession:
    """Return a session in UTC that logs nothing."""
    return (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.log.level", "OFF")
        .getOrCreate()
    )


def _record_statements(spark: SparkSession) -> None:
    """Record the statements of ``statements.txt``. One that Spark does not run is printed."""
    with (RECORDS / "statements.jsonl").open("w", encoding="utf-8") as file:
        for sql in (TESTS / "statements.txt").read_text("utf-8").splitlines():
            record = _run(spark, sql)
            if record is None:
                print(f"Spark does not run: {sql}")
            else:
                file.write(json.dumps({"sql": sql, **record}, ensure_ascii=False) + "\n")


def _examples(spark: SparkSession, name: str) -> list[str]:
    try:
        described = spark.sql(f"DESCRIBE FUNCTION EXTENDED `{name}`").collect()
    except PySparkException:
        return []
    text = "\n".join(row[0] for row in described)
    found = [" ".join(match.split()) for match in _EXAMPLE.findall(text)]
    return [sql for sql in found if not _DIFFERENT_EACH_TIME.search(sql)]


def _run(spark: SparkSession, sql: str) -> dict[str, object] | None:
    try:
        frame = spark.sql(sql)
        rows = [[normalize(value) for value in row] for row in frame.collect()]
    except PySparkException:
        return None
    types = [field.dataType.simpleString() for field in frame.schema.fields]
    return {"types": types, "rows": sort_rows(rows)}


if __name__ == "__main__":
    main()
