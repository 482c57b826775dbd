"""Executors in other processes: one limit; lost executors, retried tasks, speculative tasks and killed jobs."""

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
def run(frame):
    frame.write.format("noop").mode("overwrite").save()

def texts(prefix, rows, partitions):
    return spark.range(0, rows, 1, partitions).selectExpr("id", f"'{prefix} ' || id AS s")

# many partitions, one limit
run(texts("limit", 600, 60).selectExpr("ai_query('m', s)"))

# a task that fails once, after its rows were answered
def fail_once(batches):
    for batch in batches:
        yield batch
    if TaskContext.get().attemptNumber() == 0 and TaskContext.get().partitionId() == 0:
        raise RuntimeError("on purpose")

answered = texts("retried", 100, 4).selectExpr("id", "ai_query('m', s) AS a")
print(answered.mapInPandas(fail_once, "id BIGINT, a STRING").count(), flush=True)

# a slow task, which Spark starts twice
run(texts("slow", 40, 8).selectExpr("ai_query('m', s)"))

# an executor that is lost
def kill():
    time.sleep(1.5)
    executors = subprocess.run(["pgrep", "-f", "CoarseGrainedExecutorBackend.*" + spark.sparkContext.applicationId],
                               capture_output=True, text=True).stdout.split()
    print("executors", len(executors), flush=True)
    os.kill(int(executors[0]), signal.SIGKILL)

threading.Thread(target=kill).start()
rows = texts("lost", 400, 4).selectExpr("id", "ai_query('m', s) AS a").collect()
print(sorted(tuple(row) for row in rows) == [(i, f"echo: lost {i}") for i in range(400)], flush=True)
spark.stop()
"""


def latency(question):
    """Return the latency: the last rows of "slow" are slow, and an executor is lost during the rows of "lost"."""
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
    options = {
        **settings(json.dumps(config)),
        "spark.master": "local-cluster[2,2,1024]",
        "spark.speculation": "true",
        "spark.speculation.interval": "100ms",
        "spark.speculation.quantile": "0.3",
        "spark.speculation.multiplier": "1.1",
        "spark.speculation.minTaskRuntime": "200ms",
    }
    output = Commands(tmp_path, options).python(SCRIPT)
    assert output.split("\n")[:3] == ["100", "executors 2", "True"]
    prompts = {
        name: [prompt for prompt in server.prompts if prompt.startswith(name)]
        for name in ("limit", "retried", "slow", "lost")
    }
    # the peak before an executor is lost, whose requests may still be in flight
    assert peaks["retried"] == 16
    assert sorted(prompts["limit"]) == sorted(f"limit {i}" for i in range(600))
    assert sorted(prompts["retried"]) == sorted(f"retried {i}" for i in range(100))
    assert sorted(prompts["slow"]) == sorted(f"slow {i}" for i in range(40))
    assert 400 <= len(prompts["lost"]) <= 400 + 16
    assert len(set(prompts["lost"])) == 400


QUERY = """spark.range(0, 4000, 1, 4).selectExpr("ai_query('m', 'row ' || id) AS a").collect()"""
SCRIPTS = {
    "a script that ends": f"""
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
{QUERY}
""",
    "a session that continues": f"""
import sys, time
from concurrent.futures import ThreadPoolExecutor
import aiquery.spark

spark = aiquery.spark.session("local[4]", sys.argv[1])
context = spark.sparkContext
another_thread = ThreadPoolExecutor(1)
another_thread.submit(context.setLocalProperty, "mine", "of its connection to the JVM").result()
try:
    {QUERY}
except KeyboardInterrupt:
    value = another_thread.submit(context.getLocalProperty, "mine").result()
    print("interrupted", spark.range(3).count(), "property", value, flush=True)
time.sleep(60)
""",
}
OUTPUTS = {
    "a script that ends": "",
    "a session that continues": "interrupted 3 property of its connection to the JVM\n",
}


@pytest.mark.parametrize("kind", SCRIPTS)
def test_no_request_is_sent_after_ctrl_c(kind, tmp_path, serve):
    from processes import Commands

    server = serve(latency=0.2)
    config = json.dumps(
        {"endpoints": {"m": server.endpoint(max_concurrency=8, hedge=False)}, "cache": {"store": "memory:"}}
    )
    commands = Commands(tmp_path, {**settings(config), "spark.master": "local[4]"})
    with commands.running(SCRIPTS[kind], config) as script:
        while server.calls < 20:
            assert script.poll() is None
            time.sleep(0.05)
        script.send_signal(signal.SIGINT)
        calls = wait_for_last_call(server)
        output = script.stdout.readline()
        assert output == OUTPUTS[kind], commands.stderr.read_text()
    assert server.calls == calls < 1000


def wait_for_last_call(server):
    """Return the calls after a second without a call, in which 40 would come; a slow machine needs time to stop."""
    calls = -1
    while calls < server.calls < 1000:
        calls = server.calls
        time.sleep(1.0)
    return calls


def test_no_request_is_sent_after_a_job_is_killed(spark):
    sql = spark(latency=0.2, max_concurrency=8)
    context = sql.session.sparkContext
    frame = sql.session.range(0, 4000, 1, 4).selectExpr("ai_query('m', 'row ' || id) AS a")
    errors = []

    def run():
        context.setJobGroup("ours", "to be killed", interruptOnCancel=True)
        try:
            frame.write.format("noop").mode("overwrite").save()
        except Exception as error:  # noqa: BLE001  any error of a killed job
            errors.append(str(error))

    job = threading.Thread(target=run)
    job.start()
    while sql.server.calls < 20:
        time.sleep(0.05)
    context.cancelJobGroup("ours")
    calls = wait_for_last_call(sql.server)
    job.join()
    assert "cancelled" in errors[0].lower()
    assert sql.server.calls == calls < 1000
