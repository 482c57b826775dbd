"""Statements that DuckDB has no use for: some do nothing and say so, others are refused with what to use instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiquery.errors import StatementError
from aiquery.sql.databricks.positions import RefusedHere
from aiquery.sql.databricks.refused import REFUSED as FUNCTIONS
from aiquery.sql.databricks.source import find_word

if TYPE_CHECKING:
    from aiquery.sql.databricks.source import Source

_NO_USERS = (
    "DuckDB has no users; give the file of the database the permissions of your system."
)
_NO_VERSIONS = "a table of DuckDB has no earlier versions; CREATE TABLE .. AS SELECT stores a copy."
_NO_STREAMS = "use CREATE OR REPLACE TABLE .. AS SELECT; `aiquery update` asks about new rows only."
_NO_CATALOG = (
    "a catalog of DuckDB is a file: con.execute(\"ATTACH 'name.duckdb' AS name\")."
)
_NO_SCRIPT = "run its statements one after another; IF and loops belong to Python."
_NO_SHARES = "it is for a workspace of Databricks."


@dataclass(frozen=True, slots=True)
class Nothing:
    """A statement that does nothing on DuckDB, and the line that says so."""

    notice: str


REFUSED: tuple[tuple[str, str], ...] = (
    ("GRANT", _NO_USERS),
    ("REVOKE", _NO_USERS),
    ("DENY", _NO_USERS),
    ("SHOW GRANTS", _NO_USERS),
    ("SHOW USERS", _NO_USERS),
    ("SHOW GROUPS", _NO_USERS),
    ("RESTORE", _NO_VERSIONS),
    ("DESCRIBE HISTORY", _NO_VERSIONS),
    ("DESC HISTORY", _NO_VERSIONS),
    ("DESCRIBE DETAIL", "use DESCRIBE EXTENDED."),
    ("DESC DETAIL", "use DESCRIBE EXTENDED."),
    ("DESCRIBE FUNCTION", "docs/reference/databricks-functions.md lists the functions."),
    ("DESC FUNCTION", "docs/reference/databricks-functions.md lists the functions."),
    ("SHOW FUNCTIONS", "docs/reference/databricks-functions.md lists the functions."),
    ("SHOW CREATE TABLE", "use DESCRIBE EXTENDED, or duckdb_tables() on the plain connection."),
    ("SHOW TBLPROPERTIES", "a table of DuckDB has no properties."),
    ("SHOW PARTITIONS", "a table of DuckDB has no partitions; use SELECT DISTINCT."),
    ("SHOW VOLUMES", "files are read by their paths."),
    ("CREATE STREAMING", _NO_STREAMS),
    ("CREATE OR REFRESH", _NO_STREAMS),
    ("CREATE MATERIALIZED", _NO_STREAMS),
    ("CREATE OR REPLACE MATERIALIZED", _NO_STREAMS),
    ("REFRESH MATERIALIZED", _NO_STREAMS),
    ("REFRESH STREAMING", _NO_STREAMS),
    ("CREATE LIVE", _NO_STREAMS),
    ("CREATE FLOW", _NO_STREAMS),
    ("APPLY CHANGES", "use MERGE INTO."),
    ("CREATE CATALOG", _NO_CATALOG),
    ("CREATE FOREIGN", _NO_CATALOG),
    ("DROP CATALOG", 'use con.execute("DETACH name").'),
    ("CREATE VOLUME", "files are read by their paths."),
    ("CREATE EXTERNAL VOLUME", "files are read by their paths."),
    ("CREATE CONNECTION", _NO_CATALOG),
    ("CREATE SHARE", _NO_SHARES),
    ("CREATE RECIPIENT", _NO_SHARES),
    ("CREATE EXTERNAL LOCATION", _NO_SHARES),
    ("CREATE BLOOMFILTER", "DuckDB needs no such index."),
    ("ADD JAR", "DuckDB runs no JVM; con.create_function adds a function in Python."),
    ("ADD FILE", "files are read by their paths."),
    ("LIST FILE", "use glob('path/*') on the plain connection."),
    ("PUT", "files are read by their paths."),
    ("GET", "files are read by their paths."),
    ("LOAD DATA", "use INSERT INTO .. SELECT * FROM read_files(..)."),
    ("INSERT OVERWRITE DIRECTORY", "use con.sql(\"COPY (..) TO 'path'\")."),
    ("INSERT OVERWRITE LOCAL DIRECTORY", "use con.sql(\"COPY (..) TO 'path'\")."),
    ("CONVERT TO DELTA", "use CREATE TABLE delta.`path` AS SELECT * FROM parquet.`path`."),
    ("GENERATE", _NO_SHARES),
    ("REORG", "DuckDB has no deletion vectors."),
    ("UNDROP", "a dropped table of DuckDB is gone."),
    ("BEGIN", _NO_SCRIPT),
    ("CALL", "procedures are for Spark."),
    ("CREATE PROCEDURE", _NO_SCRIPT),
    ("CREATE OR REPLACE PROCEDURE", _NO_SCRIPT),
    ("SIGNAL", _NO_SCRIPT),
    ("DECLARE CURSOR", _NO_SCRIPT),
    ("COMMENT ON CATALOG", "DuckDB stores no comment of a catalog."),
    ("COMMENT ON SCHEMA", "DuckDB stores no comment of a schema."),
    ("COMMENT ON DATABASE", "DuckDB stores no comment of a schema."),
    ("COMMENT ON VOLUME", "files are read by their paths."),
    ("ALTER SHARE", _NO_SHARES),
    ("MERGE WITH SCHEMA EVOLUTION", "add the columns first: ALTER TABLE t ADD COLUMN c INT."),
    ("INSERT WITH SCHEMA EVOLUTION", "add the columns first: ALTER TABLE t ADD COLUMN c INT."),
    ("RESET", "SET the value again."),
)  # fmt: skip
"""The first words of the statements that are refused, and what to use instead."""

ACCEPTED: tuple[tuple[str, str], ...] = (
    ("OPTIMIZE", "DuckDB arranges its tables itself"),
    ("ANALYZE TABLE", "DuckDB collects statistics itself"),
    ("VACUUM", "a table of DuckDB has no old files"),
    ("CACHE TABLE", "DuckDB reads its tables as fast as from a cache"),
    ("CACHE LAZY TABLE", "DuckDB reads its tables as fast as from a cache"),
    ("UNCACHE TABLE", "DuckDB has no cache of tables"),
    ("CLEAR CACHE", "DuckDB has no cache of tables"),
    ("REFRESH TABLE", "DuckDB has no cache of tables"),
    ("REFRESH", "DuckDB has no cache of tables"),
    ("MSCK REPAIR", "a table of DuckDB has no partitions"),
    ("REPAIR TABLE", "a table of DuckDB has no partitions"),
    ("FSCK REPAIR", "DuckDB writes its own files"),
    ("USE WAREHOUSE", "DuckDB runs in this process"),
)
"""The first words of the statements that have nothing to do on DuckDB, and why."""


def refuse(source: Source) -> None:
    """Raise ``StatementError`` for a statement that is not supported."""
    words = source.words
    if source.word(0) == "SET" and "=" not in words and "ZONE" not in words:
        raise StatementError(
            "SET without a value is not supported on DuckDB: use duckdb_settings() on the plain connection."
        )
    if source.word(0) == "CREATE" and "FUNCTION" in words[:6] and "LANGUAGE" in words:
        language = source.word(words.index("LANGUAGE") + 1)
        if language != "SQL":
            raise StatementError(
                f"CREATE FUNCTION .. LANGUAGE {language} is not supported on DuckDB: use con.create_function."
            )
    _refuse_clauses(source)
    for first, advice in REFUSED:
        if source.begins_with(*first.split()):
            raise StatementError(f"{first} is not supported on DuckDB: {advice}")


def _refuse_clauses(source: Source) -> None:
    """Raise ``StatementError`` for what sqlglot does not parse within a statement."""
    words = source.words
    if source.word(0) == "FROM" and find_word(source, "INSERT") < len(words):
        raise StatementError(
            "FROM .. INSERT is not supported on DuckDB: write an INSERT INTO .. SELECT for each table."
        )
    for index, word in enumerate(words[1:-1], 1):
        is_call = words[index + 1] == "(" and words[index - 1] in {"GROUP BY", ","}
        if word == "WINDOW" and is_call:
            raise RefusedHere(
                f"window is not supported on DuckDB: {FUNCTIONS['window']}",
                source.tokens[index].start,
            )


def read_nothing(source: Source) -> Nothing | None:
    """Read a statement that has nothing to do on DuckDB; None for any other statement."""
    if source.begins_with("CACHE") and "SELECT" in source.words:
        return None  # CACHE TABLE t AS SELECT
    for words, reason in ACCEPTED:
        if source.begins_with(*words.split()):
            return Nothing(f"{words} did nothing: {reason}.")
    return None
