"""Executors in processes of their own: one limit; lost executors, retried and speculative tasks; killed jobs."""

import json
import signal
import threading
import time

import pytest

from aiquery.spark import settings
from aiquery.testing import Answer

pytestmark = pytest.mark.spark

SCRIPT = """
import json, os, signal, subprocess, sys, threading, time
from pyspark import TaskContext
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
run = lambda frame: frame.write.format("noop").mode("overwrite").save()

def texts(prefix, rows, partitions):
    return spark.range(0, rows, 1, partitions).selectExpr("id", f"'{prefix} ' || id AS s")

# many partitions, one limit
run(texts("limit", 600, 60).selectExpr("ai_query('m', s)"))

# a task that fails once, after its rows were answered
def once(batches):
    for batch in batches:
        yield batch
    if TaskContext.get().attemptNumber() == 0 and TaskContext.get().partitionId() == 0:
        raise RuntimeError("on purpose")

answered = texts("retried", 100, 4).selectExpr("id", "ai_query('m', s) AS a")
print(answered.mapInPandas(once, "id BIGINT, a STRING").count(), flush=True)

# a task that is asked twice because it is slow
run(texts("slow", 40, 8).selectExpr("ai_query('m', s)"))

# an executor that is lost
def kill():
    time.sleep(1.5)
    mine = subprocess.run(["pgrep", "-f", "CoarseGrainedExecutorBackend.*" + spark.sparkContext.applicationId],
                          capture_output=True, text=True).stdout.split()
    print("killed", len(mine), flush=True)
    os.kill(int(mine[0]), signal.SIGKILL)

threading.Thread(target=kill).start()
rows = texts("lost", 400, 4).selectExpr("id", "ai_query('m', s) AS a").collect()
print(sorted(tuple(row) for row in rows) == [(i, f"echo: lost {i}") for i in range(400)], flush=True)
spark.stop()
"""


def latency(question):
    """Make the last rows of "slow" slow, those of "lost" so slow that an executor can be lost meanwhile."""
    name, _, number = question.prompt.partition(" ")
    return {"slow": 4.0 if int(number) >= 35 else 0.05, "lost": 0.2}.get(name, 0.05)


def test_executors_in_other_processes(tmp_path, serve):
    from processes import Commands

    peaks = {}

    def reply(question):
        peaks.setdefault(question.prompt.partition(" ")[0], server.peak_in_flight)
        return Answer()

    server = serve(reply, latency=latency)
    config = {
        "endpoints": {"m": server.endpoint(max_concurrency=16, hedge=False)},
        "cache": {"store": str(tmp_path / "answers.sqlite")},
    }
    commands = Commands(
        tmp_path,
        {
            **settings(json.dumps(config)),
            "spark.master": "local-cluster[2,2,1024]",
            "spark.speculation": "true",
            "spark.speculation.interval": "100ms",
            "spark.speculation.quantile": "0.3",
            "spark.speculation.multiplier": "1.1",
            "spark.speculation.minTaskRuntime": "200ms",
        },
    )
    assert commands.python(SCRIPT).split("\n")[:3] == ["100", "killed 2", "True"]
    asked = {
        name: [p for p in server.prompts if p.startswith(name)]
        for name in ("limit", "retried", "slow", "lost")
    }
    assert (
        peaks["retried"] == 16
    )  # of what came before: a lost executor's requests may still be with the endpoint
    assert sorted(asked["limit"]) == sorted(f"limit {i}" for i in range(600))
    assert sorted(asked["retried"]) == sorted(f"retried {i}" for i in range(100))
    assert sorted(asked["slow"]) == sorted(f"slow {i}" for i in range(40))
    assert 400 <= len(asked["lost"]) <= 400 + 16
    assert len(set(asked["lost"])) == 400


QUERY = """spark.range(0, 4000, 1, 4).selectExpr("ai_query('m', 'row ' || id) AS a").collect()"""
SCRIPTS = {
    "a script that ends": f"""
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
{QUERY}
""",
    "a session that goes on": f"""
import sys, time
from concurrent.futures import ThreadPoolExecutor
import aiquery.spark

spark = aiquery.spark.session("local[4]", sys.argv[1])
context = spark.sparkContext
another_thread = ThreadPoolExecutor(1)
another_thread.submit(context.setLocalProperty, "kept", "by its connection to the JVM").result()
try:
    {QUERY}
except KeyboardInterrupt:
    kept = another_thread.submit(context.getLocalProperty, "kept").result()
    print("interrupted", spark.range(3).count(), "kept", kept, flush=True)
time.sleep(60)
""",
}
SAYS = {
    "a script that ends": "",
    "a session that goes on": "interrupted 3 kept by its connection to the JVM\n",
}


@pytest.mark.parametrize("kind", SCRIPTS)
def test_ctrl_c_asks_nothing_more(kind, tmp_path, serve):
    from processes import Commands

    server = serve(latency=0.2)
    config = json.dumps(
        {
            "endpoints": {"m": server.endpoint(max_concurrency=8, hedge=False)},
            "cache": {"store": "memory:"},
        }
    )
    commands = Commands(tmp_path, {**settings(config), "spark.master": "local[4]"})
    with commands.running(SCRIPTS[kind], config) as script:
        while server.calls < 20:
            assert script.poll() is None
            time.sleep(0.05)
        script.send_signal(signal.SIGINT)
        calls = calls_once_still(server)
        said = script.stdout.readline()
        assert said == SAYS[kind], commands.stderr.read_text()
    assert server.calls == calls < 1000


def calls_once_still(server):
    """Wait until a second goes by without a call, where 40 would come; the machine may be slow to hear of the end."""
    calls = -1
    while calls < server.calls < 1000:
        calls = server.calls
        time.sleep(1.0)
    return calls


def test_a_job_that_is_killed_asks_nothing_more(spark):
    sql = spark(latency=0.2, max_concurrency=8)
    context = sql.session.sparkContext
    frame = sql.session.range(0, 4000, 1, 4).selectExpr(
        "ai_query('m', 'row ' || id) AS a"
    )
    failed = []

    def run():
        context.setJobGroup("ours", "to be killed", interruptOnCancel=True)
        try:
            frame.write.format("noop").mode("overwrite").save()
        except Exception as error:  # noqa: BLE001  whatever Spark makes of a killed job
            failed.append(str(error))

    job = threading.Thread(target=run)
    job.start()
    while sql.server.calls < 20:
        time.sleep(0.05)
    context.cancelJobGroup("ours")
    calls = calls_once_still(sql.server)
    job.join()
    assert "cancelled" in failed[0].lower()
    assert sql.server.calls == calls < 1000
