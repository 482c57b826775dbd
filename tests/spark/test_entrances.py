"""The same statement through every interface of Spark; the configuration alone adds the functions."""

import json
import time
from contextlib import closing

import pytest

from aiquery.spark import settings
from aiquery.tracking.store import RunStore

pytestmark = pytest.mark.spark
STATEMENT = "SELECT id, ai_query('m', s) AS answer FROM VALUES (1, 'a'), (2, NULL), (3, 'bb') AS t(id, s) ORDER BY id"
ANSWERS = [(1, "echo: a"), (2, None), (3, "echo: bb")]

CLIENT = """
import sys

class NoAiquery:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "aiquery":
            raise ImportError("this client does not have aiquery")

sys.meta_path.insert(0, NoAiquery())
from pyspark.sql import SparkSession
from pyspark.sql.functions import expr
spark = SparkSession.builder.remote(sys.argv[1]).getOrCreate()
print([tuple(row) for row in spark.sql(sys.argv[2]).collect()])
print([tuple(row) for row in spark.sql("SELECT engine, rows, state FROM aiquery_runs()").collect()])
frame = spark.createDataFrame([("x",), ("bad",)], "s string").withColumn("a", expr("TRY(ai_query('m', s))"))
print([tuple(row) for row in frame.filter("a IS NULL").collect()])
try:
    spark.sql("SELECT ai_query('m', 'x', retrunType => 'INT')").collect()
except Exception as error:
    print(type(error).__name__, str(error).splitlines()[0])
try:
    spark.sql("SELECT ai_query('nowhere', 'x')").collect()
except Exception as error:
    print(type(error).__name__, error.getCondition(), error.getSqlState())
"""

CLIENT_WITH_AIQUERY = """
import sys
import aiquery
from pyspark.sql import SparkSession
from aiquery.spark.functions import ai_query
spark = SparkSession.builder.remote(sys.argv[1]).getOrCreate()
aiquery.register(spark, {"endpoints": {"mine": {"provider": "fake"}}, "cache": {"store": "memory:"}})
frame = spark.createDataFrame([("5",)], "s string")
print(frame.select(ai_query("mine", frame.s, return_type="INT").alias("a")).collect()[0].a)
from aiquery import functions
print(frame.select(functions.query(frame, "s", endpoint="mine", return_type="INT")).collect()[0][0])
print(functions.summarize_agg(frame, "s", endpoint="mine"))
"""

RUNNING_SESSION = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[2]").getOrCreate()
spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
spark.sql("SELECT * FROM VALUES (1, 'a'), (2, NULL), (3, 'bb') AS t(id, s)").createOrReplaceTempView("before")
old = spark.table("before")
import aiquery
aiquery.register(spark, sys.argv[1])
aiquery.register(spark, sys.argv[1])
print([tuple(row) for row in spark.sql("SELECT id, ai_query('m', s) FROM before ORDER BY id").collect()])
print(spark.conf.get("spark.sql.session.timeZone"))
twice = spark.sql("SELECT ai_query('m', 'once ' || id) FROM range(20) WHERE ai_query('m', 'once ' || id) LIKE 'e%'")
print(twice.count())
print([row[0] for row in old.selectExpr("ai_query('m', 'old ' || s)").collect()])
spark.stop()
spark = SparkSession.builder.master("local[2]").getOrCreate()
aiquery.register(spark, sys.argv[1])
spark.range(5).selectExpr("ai_query('m', 'again ' || id)").collect()
print([tuple(row) for row in spark.sql("SELECT engine, rows, state FROM aiquery_runs() ORDER BY run").collect()][-1])
print(aiquery.last_run().rows, aiquery.last_run().state)
from aiquery.spark import estimate
print(estimate(spark.range(7).selectExpr("ai_query('m', 'new ' || id)")).requests)
"""


@pytest.fixture
def commands(tmp_path, serve):
    """The commands of Spark with a configuration; ``commands.server`` is the endpoint."""
    from processes import Commands

    from aiquery.testing import Answer

    server = serve(lambda q: Answer(status=400) if q.prompt == "bad" else f"echo: {q.prompt}")
    runs = {"store": str(tmp_path / "runs.sqlite")}
    config = {"endpoints": {"m": server.endpoint(hedge=False)}, "cache": {"store": "memory:"}, "runs": runs}
    options = {**settings(json.dumps(config)), "spark.master": "local[2]"}
    commands = Commands(tmp_path, options)
    commands.server = server
    return commands


def test_the_spark_sql_command(commands):
    output = commands.run("spark-sql", "-e", STATEMENT)
    assert [line.split("\t") for line in output.splitlines()[-3:]] == [
        ["1", "echo: a"], ["2", "NULL"], ["3", "echo: bb"],
    ]  # fmt: skip
    assert sorted(commands.server.prompts) == ["a", "bb"]
    path = commands.folder / "runs.sqlite"
    with closing(RunStore(str(path), keep_days=1, max_bytes=1e6)) as store:
        # the sidecar writes the run after the driver has ended
        while (run := store.runs()[0].progress).state == "running":
            time.sleep(0.1)
    assert (run.state, run.rows) == ("done", 3)


def test_jdbc_through_the_thrift_server(commands):
    from processes import find_free_port

    port = find_free_port()
    thrift = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"
    hive = (
        "--hiveconf", f"hive.server2.thrift.port={port}",
        "--hiveconf", "hive.server2.thrift.bind.host=127.0.0.1",
    )  # fmt: skip
    with commands.serving(port, "--class", thrift, "spark-internal", *hive):
        url = f"jdbc:hive2://127.0.0.1:{port}"
        options = ("-u", url, "--silent=true", "--outputformat=csv2")
        output = commands.run("beeline", *options, "-e", STATEMENT)
    words = output.split()
    assert words[-6:] == ["id,answer", "1,echo:", "a", "2,NULL", "3,echo:", "bb"]
    assert sorted(commands.server.prompts) == ["a", "bb"]


def test_connect_with_and_without_aiquery_in_the_client(commands):
    from processes import find_free_port

    port = find_free_port()
    connect = "org.apache.spark.sql.connect.service.SparkConnectServer"
    binding = f"spark.connect.grpc.binding.port={port}"
    options = ("--class", connect, "--conf", binding, "spark-internal")
    with commands.serving(port, *options):
        url = f"sc://127.0.0.1:{port}"
        output = commands.python(CLIENT, url, STATEMENT)
        answers, runs, failed, error, unknown = output.splitlines()
        assert answers == str(ANSWERS)
        assert runs == "[('spark', 3, 'done')]"
        assert failed == "[('bad', None)]"
        assert error.startswith("AnalysisException")
        assert "argument 'retrunType' is not known" in error
        assert unknown == "AnalysisException REMOTE_FUNCTION_HTTP_FAILED_ERROR 57012"
        assert commands.python(CLIENT_WITH_AIQUERY, url).splitlines() == ["0", "0", 'echo: - "5"']
    assert sorted(commands.server.prompts) == ["a", "bad", "bb", "x"]


def test_register_with_a_running_session(tmp_path, serve):
    from processes import Commands

    server = serve()
    config = tmp_path / "mine.toml"
    config.write_text(
        f'[endpoints.m]\nbase_url = "{server.base_url}"\nhedge = false\n[cache]\nstore = "memory:"\n'
        f'[runs]\nstore = "{tmp_path}/runs.sqlite"\n',
        "utf-8",
    )
    commands = Commands(tmp_path, {"spark.master": "local[2]"})
    output = commands.python(RUNNING_SESSION, str(config))
    assert output.splitlines() == [
        str(ANSWERS),
        "Asia/Tokyo",
        "20",
        "['echo: old a', None, 'echo: old bb']",
        "('spark', 5, 'done')",
        "5 done",
        "7",
    ]
    assert sum(prompt.startswith("once") for prompt in server.prompts) == 20
