"""The same value makes the same request, byte for byte, on DuckDB, on Spark and for data frames."""

import json

import pandas as pd
import polars as pl
import pyspark
import pytest

import aiquery
from aiquery import functions
from aiquery.testing import Answer

pytestmark = pytest.mark.spark

VALUES = {  # DuckDB: Spark
    "'text'": "'text'",
    "true": "true",
    "45::TINYINT": "45Y",
    "45::HUGEINT": "45L",
    "1.50": "1.50",
    "0.0000000001::DECIMAL(38, 10)": "CAST(0.0000000001 AS DECIMAL(38, 10))",
    "0.1::FLOAT": "CAST(0.1 AS FLOAT)",
    "1e20::DOUBLE": "1e20D",
    "'nan'::DOUBLE": "double('NaN')",
    "DATE '2024-01-02'": "DATE'2024-01-02'",
    "TIMESTAMP '2024-01-02 03:04:05.6'": "TIMESTAMP_NTZ'2024-01-02 03:04:05.6'",
    "TIMESTAMPTZ '2024-07-02 03:04:05+00'": "TIMESTAMP'2024-07-02 03:04:05+00:00'",
    "INTERVAL '2 days 1.5 seconds'": "INTERVAL '2 00:00:01.5' DAY TO SECOND",
    "'ab'::BLOB": "X'6162'",
    "{'b': [1, NULL], 'a': 'x'}::VARIANT": 'parse_json(\'{"b":[1,null],"a":"x"}\')',
    "NULL::VARCHAR": "CAST(NULL AS STRING)",
}
FUNCTIONS = {
    "ai_query": "ai_query('m', {})",
    "ai_gen": "ai_gen({})",
    "ai_classify": "ai_classify({}, array('a', 'b'))",
    "ai_filter": "ai_filter({}, 'is it good?')",
    "ai_translate": "ai_translate({}, 'de')",
    "ai_agg": "ai_agg({}, 'what?')",
}


@pytest.fixture
def engines(spark):
    """Spark and a DuckDB connection with the same endpoints."""
    sql = spark()
    sql.session.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
    config = {**json.loads(sql.config()), "runs": {"store": "memory:"}}
    con = aiquery.connect(config=config)
    con.execute("SET TimeZone = 'Europe/Berlin'")
    yield sql, con
    con.close()
    sql.session.conf.unset("spark.sql.session.timeZone")


def read_distinct_bodies(server):
    return {json.dumps(request.body, sort_keys=True) for request in server.requests}


def name_values(values):
    return ", ".join(f"{value} AS v{i}" for i, value in enumerate(values))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_value_makes_the_same_request_on_both_engines(engines, function):
    sql, con = engines
    call = FUNCTIONS[function]
    columns = [call.format(f"v{i}") for i in range(len(VALUES))]
    if pyspark.__version__.startswith("4.0"):  # NaN is NULL in its pandas batches
        columns.pop(list(VALUES).index("'nan'::DOUBLE"))
    rows = f"(SELECT {name_values(VALUES)} FROM range(2))"
    for column in columns:
        con.sql(f"SELECT {column.replace('array(', 'list_value(')} FROM {rows}")
    of_duckdb = read_distinct_bodies(sql.server)
    sql.server.forget()
    rows = f"(SELECT {name_values(VALUES.values())} FROM range(2))"
    for column in columns:
        sql.collect(f"SELECT {column} FROM {rows}")
    assert read_distinct_bodies(sql.server) == of_duckdb
    # NULL sends no request, and two values are 45
    assert len(of_duckdb) == len(columns) - 2


def test_a_record_makes_the_same_request_on_both_engines(session, serve):
    server = serve(lambda _: Answer(body=b'{"predictions": ["ok"]}'))
    endpoint = {"provider": "mlflow", "task": "custom", "base_url": server.base_url, "return_type": "STRING"}
    config = {"endpoints": {"c": endpoint}, "cache": {"store": "memory:"}, "runs": {"store": "memory:"}}
    session.conf.set("spark.aiquery.config", json.dumps(config))
    try:
        fields = ", ".join(f"'f{i}', {value}" for i, value in enumerate(VALUES.values()))
        rows = session.sql(f"SELECT ai_query('c', named_struct({fields}))").collect()
        assert rows[0][0] == "ok"
    finally:
        session.conf.unset("spark.aiquery.config")
    fields = ", ".join(f"'f{i}': {value}" for i, value in enumerate(VALUES))
    statement = f"SELECT ai_query('c', {{{fields}}}), sum(1::HUGEINT) FROM range(1)"
    time_zone = session.conf.get("spark.sql.session.timeZone")
    for method in ("sql", "execute"):
        with aiquery.connect(config=config) as con:
            con.execute(f"SET TimeZone = '{time_zone}'")
            getattr(con, method)(statement).fetchall()
    of_spark, of_sql, of_execute = (request.body for request in server.requests)
    assert of_spark == of_sql == of_execute
    assert of_spark["dataframe_records"][0]["f3"] == 45


def test_the_texts_of_a_frame_are_those_of_a_table(engines):
    sql, con = engines
    config = json.loads(sql.config())
    numbers = [2.0, 10.0, 0.1]
    functions.agg(pd.DataFrame({"v": numbers}), "v", instruction="what?", config=config)
    functions.agg(pl.DataFrame({"v": numbers}), "v", instruction="what?", config=config)
    con.sql("SELECT ai_agg(v, 'what?') FROM (VALUES (2.0::DOUBLE), (10.0), (0.1)) AS t(v)")
    sql.collect("SELECT ai_agg(v, 'what?') FROM VALUES (2.0D), (10.0D), (0.1D) AS t(v)")
    prompts = {request.prompt for request in sql.server.requests}
    assert prompts == {'Texts, one JSON string per line:\n- "0.1"\n- "10"\n- "2"'}
