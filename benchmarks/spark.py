"""Spark: what a row costs without a model, what of an endpoint is used, and one limit over many partitions.

python benchmarks/spark.py [overhead] [throughput] [limit] [--rows 1000000] [--master local[2]]

Each part is measured side by side in one session:
overhead     ai_query on the fake provider beside an identity Arrow UDF, CPU-seconds of all cores per row
throughput   an endpoint of 100 ms (mean, log-normal) at 256 in flight: rows/s / ideal
limit        200 partitions on 8 slots of a local cluster: places in use of 64; requests per minute in use, and 429s
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
from duckdb_pipeline import MEAN_S, PROMPT, ideal_s


def session(master):
    spark = aiquery.spark.session(
        master,
        spark__ui__enabled="false",
        spark__ui__showConsoleProgress="false",
        spark__driver__host="127.0.0.1",
        spark__driver__bindAddress="127.0.0.1",
    )
    spark.sparkContext.setLogLevel("OFF")
    return spark


def seconds(frame):
    """Return how long a frame takes that goes nowhere."""
    started = time.monotonic()
    frame.write.format("noop").mode("overwrite").save()
    return time.monotonic() - started


def configured(spark, endpoint, max_mb=1000):
    config = {
        "endpoints": {"m": endpoint},
        "cache": {"store": "memory:", "max_mb": max_mb},
    }
    spark.conf.set("spark.aiquery.config", json.dumps(config))


def overhead(spark, rows):
    """Print microseconds per row and core: the seconds of both cores, divided by the rows."""
    import pyarrow as pa
    from pyspark.sql.functions import arrow_udf

    @arrow_udf("string")
    def identity(column: pa.Array) -> pa.Array:
        return column

    configured(spark, {"provider": "fake"})
    cores = 2
    texts = spark.range(0, rows, 1, cores).selectExpr("'row ' || id AS s")
    seconds(texts.select(identity("s")))
    for distinct, source in (
        ("all distinct", texts),
        (
            "1,000 distinct",
            spark.range(0, rows, 1, cores).selectExpr("'row ' || id % 1000 AS s"),
        ),
    ):
        seconds(source.limit(1000).selectExpr("ai_query('m', s) AS a"))
        for i in range(2):
            configured(
                spark, {"provider": "fake"}, 10 + i
            )  # another configuration is another run: nothing is known
            plain = seconds(source.select(identity("s")))
            ours = seconds(source.selectExpr("ai_query('m', s) AS a"))
            beyond = (ours - plain) * cores / rows * 1e6
            told = f"{rows:,} rows, {distinct}: identity {plain:.1f} s, ai_query {ours:.1f} s"
            print(f"{told}: {beyond:.1f} us per row and core", flush=True)


def throughput(spark, rows):
    """Print the share of what 256 in flight can give, by both ideals of ``duckdb_pipeline.py``."""
    command = [
        sys.executable,
        "-m",
        "aiquery.testing",
        "--latency-mean-s",
        str(MEAN_S),
        "--latency-sigma",
        "0.6",
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    endpoint = {
        "base_url": server.stdout.readline().strip(),
        "max_concurrency": 256,
        "hedge": False,
    }
    mean_s, schedule_s = ideal_s(rows, 256, 0.6)
    configured(spark, endpoint, 1)
    seconds(spark.range(0, 500, 1, 2).selectExpr("ai_query('m', 'warm ' || id) AS a"))
    for i in range(3):
        configured(
            spark, endpoint, 10 + i
        )  # another configuration is another run: nothing is known
        took = seconds(
            spark.sql(
                f"SELECT ai_query('m', {PROMPT}) AS a FROM range(0, {rows}, 1, 2) AS r(i)"
            )
        )
        shares = f"{mean_s / took:.3f} of the mean ideal, {schedule_s / took:.3f} of the schedule ideal"
        print(f"{rows:,} rows: {took:.1f} s, {shares}", flush=True)
    server.kill()


@contextmanager
def watched(server, rows):
    """Sample the time, the calls so far and how many are in flight, while work remains."""
    samples, over = [], threading.Event()

    def look():
        while not over.wait(0.02):
            if 0 < server.calls < rows:
                samples.append((time.monotonic(), server.calls, server.in_flight))

    thread = threading.Thread(target=look)
    thread.start()
    yield samples
    over.set()
    thread.join()


def limit(rows):
    """Print places and rates in use over 200 partitions."""
    spark = session("local-cluster[2,4,1024]")
    with EndpointServer(latency=1.0, keep=False) as server:
        configured(spark, server.endpoint(max_concurrency=64, hedge=False))
        seconds(
            spark.range(0, 64, 1, 8).selectExpr("ai_query('m', 'warm ' || id) AS a")
        )
        server.forget()
        with watched(server, rows) as samples:
            seconds(
                spark.range(0, rows, 1, 200).selectExpr(
                    "ai_query('m', 'row ' || id) AS a"
                )
            )
        used = statistics.mean(in_flight for _, _, in_flight in samples) / 64
        print(
            f"max_concurrency 64: peak {server.peak_in_flight}, mean in use {used:.3f}, calls {server.calls} of {rows}"
        )
    per_minute = 1500
    with EndpointServer(
        latency=0.2, keep=False, requests_per_minute=per_minute
    ) as server:
        configured(spark, server.endpoint(hedge=False))
        asked = 4 * per_minute
        with watched(server, asked) as samples:
            seconds(
                spark.range(0, asked, 1, 200).selectExpr(
                    "ai_query('m', 'row ' || id) AS a"
                )
            )
        began, first, _ = next(
            s for s in samples if s[0] > samples[0][0] + 60
        )  # past the burst of the start
        ended, last, _ = samples[-1]
        used = (last - first) / (ended - began) * 60 / per_minute
        refused = server.statuses[429] / asked
        print(
            f"{per_minute} requests/min, learned: {used:.3f} of it used, 429s {refused:.4f}"
        )
    spark.stop()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=["overhead", "throughput", "limit"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--master", default=f"local[{os.cpu_count()}]")
    options = parser.parse_args()
    if set(options.parts) - {"limit"}:
        spark = session(options.master)
        if "overhead" in options.parts:
            overhead(spark, options.rows)
        if "throughput" in options.parts:
            throughput(spark, min(options.rows, 30_000))
        spark.stop()
    if "limit" in options.parts:
        limit(4000)


if __name__ == "__main__":
    main()
