"""Spark: the cost of a row without a model, the share of an endpoint in use, and one limit over many partitions.

python benchmarks/spark.py [overhead] [throughput] [limit] [--rows 1000000] [--master local[2]]

Each part is measured side by side in one session:
overhead     ai_query on the fake provider and an identity Arrow UDF, CPU-seconds of all cores per row
throughput   an endpoint of 100 ms (mean, log-normal) at 256 in flight: rows/s / ideal
limit        200 partitions on 8 task slots of a local cluster: the share in use of 64 slots, and of a limit per minute
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import aiquery.spark
from aiquery.testing import EndpointServer
from duckdb_pipeline import MEAN_S, PROMPT, compute_ideal_s


def start_session(master):
    spark = aiquery.spark.session(
        master,
        spark__ui__enabled="false",
        spark__ui__showConsoleProgress="false",
        spark__driver__host="127.0.0.1",
        spark__driver__bindAddress="127.0.0.1",
    )
    spark.sparkContext.setLogLevel("OFF")
    return spark


def measure_s(frame):
    """Return the seconds of a frame, whose rows are dropped."""
    started = time.monotonic()
    frame.write.format("noop").mode("overwrite").save()
    return time.monotonic() - started


def configure(spark, endpoint, max_mb=1000):
    """Set the configuration. Another ``max_mb`` makes a new client, with an empty cache."""
    config = {"endpoints": {"m": endpoint}, "cache": {"store": "memory:", "max_mb": max_mb}}
    spark.conf.set("spark.aiquery.config", json.dumps(config))


def measure_overhead(spark, rows):
    """Print microseconds per row and core: the seconds of both cores, divided by the rows."""
    import pyarrow as pa
    from pyspark.sql.functions import arrow_udf

    @arrow_udf("string")
    def identity(column: pa.Array) -> pa.Array:
        return column

    configure(spark, {"provider": "fake"})
    cores = 2
    texts = spark.range(0, rows, 1, cores).selectExpr("'row ' || id AS s")
    measure_s(texts.select(identity("s")))
    repeated = spark.range(0, rows, 1, cores).selectExpr("'row ' || id % 1000 AS s")
    for name, source in (("all distinct", texts), ("1,000 distinct", repeated)):
        measure_s(source.limit(1000).selectExpr("ai_query('m', s) AS a"))
        for i in range(2):
            configure(spark, {"provider": "fake"}, max_mb=10 + i)
            identity_s = measure_s(source.select(identity("s")))
            call_s = measure_s(source.selectExpr("ai_query('m', s) AS a"))
            overhead_us = (call_s - identity_s) * cores / rows * 1e6
            print(
                f"{rows:,} rows, {name}: identity {identity_s:.1f} s, ai_query {call_s:.1f} s: "
                f"{overhead_us:.1f} us per row and core",
                flush=True,
            )


def measure_throughput(spark, rows):
    """Print the throughput with 256 in flight as a share of both ideals of ``duckdb_pipeline.py``."""
    command = [sys.executable, "-m", "aiquery.testing", "--latency-mean-s", str(MEAN_S), "--latency-sigma", "0.6"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    endpoint = {"base_url": server.stdout.readline().strip(), "max_concurrency": 256, "hedge": False}
    mean_s, schedule_s = compute_ideal_s(rows, 256, 0.6)
    configure(spark, endpoint, max_mb=1)
    measure_s(spark.range(0, 500, 1, 2).selectExpr("ai_query('m', 'warm ' || id) AS a"))
    statement = f"SELECT ai_query('m', {PROMPT}) AS a FROM range(0, {rows}, 1, 2) AS r(i)"
    for i in range(3):
        configure(spark, endpoint, max_mb=10 + i)
        run_s = measure_s(spark.sql(statement))
        shares = f"{mean_s / run_s:.3f} of the mean ideal, {schedule_s / run_s:.3f} of the schedule ideal"
        print(f"{rows:,} rows: {run_s:.1f} s, {shares}", flush=True)
    server.kill()


@contextmanager
def sample(server, rows):
    """Sample the time, the calls and the number in flight, while work remains."""
    samples = []
    has_ended = threading.Event()

    def take_samples():
        while not has_ended.wait(0.02):
            if 0 < server.calls < rows:
                samples.append((time.monotonic(), server.calls, server.in_flight))

    thread = threading.Thread(target=take_samples)
    thread.start()
    yield samples
    has_ended.set()
    thread.join()


def measure_limit(rows):
    """Print the shares of slots and of the rate in use over 200 partitions."""
    spark = start_session("local-cluster[2,4,1024]")
    with EndpointServer(latency=1.0, keep=False) as server:
        configure(spark, server.endpoint(max_concurrency=64, hedge=False))
        measure_s(spark.range(0, 64, 1, 8).selectExpr("ai_query('m', 'warm ' || id) AS a"))
        server.forget()
        with sample(server, rows) as samples:
            measure_s(call_rows(spark, rows))
        used = statistics.mean(in_flight for _, _, in_flight in samples) / 64
        print(
            f"max_concurrency 64: peak {server.peak_in_flight}, mean in use {used:.3f}, calls {server.calls} of {rows}"
        )
    per_minute = 1500
    with EndpointServer(latency=0.2, keep=False, requests_per_minute=per_minute) as server:
        configure(spark, server.endpoint(hedge=False))
        requests = 4 * per_minute
        with sample(server, requests) as samples:
            measure_s(call_rows(spark, requests))
        used = compute_calls_per_minute(samples) / per_minute
        throttled = server.statuses[429] / requests
        print(f"{per_minute} requests/min, learned: {used:.3f} of it used, 429s {throttled:.4f}")
    spark.stop()


def call_rows(spark, rows):
    frame = spark.range(0, rows, 1, 200)
    return frame.selectExpr("ai_query('m', 'row ' || id) AS a")


def compute_calls_per_minute(samples):
    """Return the rate after the first minute, which begins with a burst."""
    later = [sample for sample in samples if sample[0] > samples[0][0] + 60]
    began_at, first_calls, _ = later[0]
    ended_at, last_calls, _ = later[-1]
    return (last_calls - first_calls) / (ended_at - began_at) * 60


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["overhead", "throughput", "limit"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--master", default=f"local[{os.cpu_count()}]")
    options = parser.parse_args()
    if set(options.parts) - {"limit"}:
        spark = start_session(options.master)
        if "overhead" in options.parts:
            measure_overhead(spark, options.rows)
        if "throughput" in options.parts:
            measure_throughput(spark, min(options.rows, 30_000))
        spark.stop()
    if "limit" in options.parts:
        measure_limit(4000)


if __name__ == "__main__":
    main()
