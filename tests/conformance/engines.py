"""What the conformance tests need of an engine: a table ``t``, SQL over it in DuckDB's words, its types and errors."""

import json
import os

import pyarrow as pa

import aiquery
import duckdb


class DuckDB:
    """A connection of ours, or a plain one with the functions registered."""

    errors = (aiquery.AIQueryError, duckdb.Error)

    def __init__(self, name, config):
        self.name = name
        if name == "duckdb":
            self.con = aiquery.connect(config=config)
        else:
            self.con = duckdb.connect()
            aiquery.register(self.con, config)

    def table(self, **columns):
        frame = pa.table(columns)  # noqa: F841  read by name in the statement below
        self.con.execute("CREATE OR REPLACE TABLE t AS FROM frame")

    def rows(self, sql):
        relation = self.con.sql(sql)
        readers = [
            json.loads if str(kind) == "JSON" else None for kind in relation.types
        ]
        return [tuple(map(read_json, readers, row)) for row in relation.fetchall()]

    def types(self, sql):
        return [row[1] for row in self.con.sql(f"DESCRIBE {sql}").fetchall()]

    def close(self):
        self.con.close()


class Spark:
    """A Spark session; statements are translated from DuckDB's SQL, types and values to DuckDB's."""

    name = "spark"

    def __init__(self, session, config):
        from py4j.protocol import Py4JJavaError
        from pyspark.errors import PySparkException

        self.errors = (PySparkException, Py4JJavaError)
        self.session = session
        # The workers are processes of their own: neither this test's environment nor what it patched is theirs.
        store = {"store": os.environ["AIQUERY_CACHE"]}
        endpoints = {
            name: {"hedge": False, **settings}
            for name, settings in config["endpoints"].items()
        }
        aiquery.register(session, {"cache": store, **config, "endpoints": endpoints})

    def table(self, **columns):
        self.session.createDataFrame(pa.table(columns)).coalesce(
            1
        ).createOrReplaceTempView("t")

    def rows(self, sql):
        return [
            tuple(map(plain, row))
            for row in self.session.sql(translated(sql)).collect()
        ]

    def types(self, sql):
        return [
            duckdb_type(field.dataType)
            for field in self.session.sql(translated(sql)).schema
        ]

    def close(self):
        self.session.conf.unset("spark.aiquery.config")


def translated(sql):
    """Return DuckDB's SQL in Spark's words."""
    import sqlglot

    from aiquery.sql.dialects import DatabricksSQL, DuckDBSQL

    return sqlglot.parse_one(sql, read=DuckDBSQL).transform(in_spark).sql(DatabricksSQL)


def in_spark(node):
    """Return what sqlglot does not translate: TRY, the MAP literal, and ->> on what is a VARIANT there."""
    from sqlglot import exp

    if isinstance(node, exp.Try):
        return exp.Anonymous(this="try", expressions=[node.this.transform(in_spark)])
    if isinstance(node, exp.ToMap):
        pairs = [(item.this, item.expression) for item in node.this.expressions]
        return exp.Anonymous(
            this="map",
            expressions=[
                exp.Literal.string(part.name) for pair in pairs for part in pair
            ],
        )
    if isinstance(node, exp.JSONExtractScalar):
        path = exp.Literal.string(node.expression.sql("spark").strip("'"))
        return exp.Anonymous(
            this="variant_get",
            expressions=[
                node.this.transform(in_spark),
                path,
                exp.Literal.string("string"),
            ],
        )
    return node


def duckdb_type(kind):
    """Return a Spark type as DuckDB writes it."""
    import sqlglot

    if kind.typeName() == "struct":
        fields = ", ".join(
            f'"{field.name}" {duckdb_type(field.dataType)}' for field in kind
        )
        return str(duckdb.type(f"STRUCT({fields})"))
    if kind.typeName() == "array":
        return f"{duckdb_type(kind.elementType)}[]"
    name = sqlglot.exp.DataType.build(kind.simpleString(), dialect="spark").sql(
        "duckdb"
    )
    return "JSON" if name == "VARIANT" else str(duckdb.type(name))


def plain(value):
    """Return a value as DuckDB hands it out: rows are dictionaries, a VARIANT is what its JSON says."""
    if hasattr(value, "asDict"):
        return {name: plain(inner) for name, inner in value.asDict().items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return json.loads(value.toJson()) if hasattr(value, "toJson") else value


def read_json(read, value):
    """Return the value of a column that may be JSON."""
    return value if read is None or value is None else read(value)
