"""The engines of the conformance tests: a table ``t``, SQL in DuckDB's dialect, types and errors."""

import json
import os

import duckdb
import pyarrow as pa

import aiquery


class DuckDB:
    """A connection of aiquery, or a plain connection with the functions registered."""

    errors = (aiquery.AIQueryError, duckdb.Error)

    def __init__(self, name, config):
        self.name = name
        if name == "duckdb":
            self.con = aiquery.connect(config=config)
        else:
            self.con = duckdb.connect()
            aiquery.register(self.con, config)

    def table(self, **columns):
        frame = pa.table(columns)  # noqa: F841  the statement below reads it by name
        self.con.execute("CREATE OR REPLACE TABLE t AS FROM frame")

    def rows(self, sql):
        relation = self.con.sql(sql)
        are_json = [str(dtype) == "JSON" for dtype in relation.types]
        return [tuple(map(read_value, row, are_json)) for row in relation.fetchall()]

    def types(self, sql):
        return [row[1] for row in self.con.sql(f"DESCRIBE {sql}").fetchall()]

    def close(self):
        self.con.close()


class Spark:
    """A Spark session. Statements are translated from DuckDB's SQL, and types and values to those of DuckDB."""

    name = "spark"

    def __init__(self, session, config):
        from py4j.protocol import Py4JJavaError
        from pyspark.errors import PySparkException

        self.errors = (PySparkException, Py4JJavaError)
        self.session = session
        # The workers are other processes, without the environment and the patches of the test.
        store = {"store": os.environ["AIQUERY_CACHE"]}
        endpoints = {name: {"hedge": False, **settings} for name, settings in config["endpoints"].items()}
        aiquery.register(session, {"cache": store, **config, "endpoints": endpoints})

    def table(self, **columns):
        frame = self.session.createDataFrame(pa.table(columns))
        frame.coalesce(1).createOrReplaceTempView("t")

    def rows(self, sql):
        rows = self.session.sql(translate(sql)).collect()
        return [tuple(map(convert_value, row)) for row in rows]

    def types(self, sql):
        schema = self.session.sql(translate(sql)).schema
        return [convert_type(field.dataType) for field in schema]

    def close(self):
        self.session.conf.unset("spark.aiquery.config")


def translate(sql):
    """Translate DuckDB's SQL to Spark SQL."""
    import sqlglot

    from aiquery.sql.databricks.dialect import DatabricksSQL
    from aiquery.sql.dialects import DuckDBSQL

    tree = sqlglot.parse_one(sql, read=DuckDBSQL)
    return tree.transform(translate_node).sql(DatabricksSQL)


def translate_node(node):
    """Translate the nodes that sqlglot does not: TRY, the MAP literal, and ->>, which is on a VARIANT in Spark."""
    from sqlglot import exp

    if isinstance(node, exp.Try):
        arguments = [node.this.transform(translate_node)]
        return exp.Anonymous(this="try", expressions=arguments)
    if isinstance(node, exp.ToMap):
        arguments = []
        for item in node.this.expressions:
            arguments.append(exp.Literal.string(item.this.name))
            arguments.append(exp.Literal.string(item.expression.name))
        return exp.Anonymous(this="map", expressions=arguments)
    if isinstance(node, exp.JSONExtractScalar):
        value = node.this.transform(translate_node)
        path = exp.Literal.string(node.expression.sql("spark").strip("'"))
        arguments = [value, path, exp.Literal.string("string")]
        return exp.Anonymous(this="variant_get", expressions=arguments)
    return node


def convert_type(dtype):
    """Return a Spark type as DuckDB writes it."""
    import sqlglot

    if dtype.typeName() == "struct":
        fields = ", ".join(f'"{field.name}" {convert_type(field.dataType)}' for field in dtype)
        return str(duckdb.type(f"STRUCT({fields})"))
    if dtype.typeName() == "array":
        return f"{convert_type(dtype.elementType)}[]"
    data_type = sqlglot.exp.DataType.build(dtype.simpleString(), dialect="spark")
    name = data_type.sql("duckdb")
    return "JSON" if name == "VARIANT" else str(duckdb.type(name))


def convert_value(value):
    """Return a value as DuckDB returns it: a row as a dictionary, a VARIANT as the value of its JSON."""
    if hasattr(value, "asDict"):
        items = value.asDict().items()
        return {name: convert_value(inner) for name, inner in items}
    if isinstance(value, list):
        return [convert_value(inner) for inner in value]
    return json.loads(value.toJson()) if hasattr(value, "toJson") else value


def read_value(value, is_json):
    """Return the value of a column of DuckDB, parsed if the column is JSON."""
    return json.loads(value) if is_json and value is not None else value
