"""The drain of a run in which 1 % of the requests take 20 times as long, with and without hedging.

The drain is the time from the last new request to the last row.

    python benchmarks/drain.py [--rows 4000] [--concurrency 128]
"""

import random
import tempfile
import time

import typer
from rich.console import Console
from rich.table import Table

import aiquery
from aiquery.testing import EndpointServer

MEAN_S = 0.1


def measure_drain(rows, concurrency, hedge, seed):
    """Return the seconds of the drain, and the share of calls beyond the rows."""
    source = random.Random(seed)
    first_call_at = {}

    def latency(question):
        first_call_at.setdefault(question.prompt, question.at_s)
        usual = MEAN_S * source.uniform(0.6, 1.4)
        return 20 * usual if source.random() < 0.01 else usual

    with EndpointServer(latency=latency, keep=False) as server, tempfile.TemporaryDirectory() as folder:
        endpoint = server.endpoint(max_concurrency=concurrency, hedge=hedge)
        config = {"endpoints": {"m": endpoint}, "cache": {"store": f"{folder}/a.sqlite"}}
        with aiquery.connect(config=config) as con:
            con.execute(f"CREATE TABLE t AS SELECT 'row ' || i AS s FROM range({rows}) r(i)")
            con.sql("CREATE TABLE o AS SELECT ai_query('m', s) AS a FROM t")
            end = time.monotonic()
            answers = con.execute("SELECT count(DISTINCT a) FROM o").fetchall()
            assert answers == [(rows,)]
        return end - max(first_call_at.values()), server.calls / rows - 1


def main(rows: int = 4000, concurrency: int = 128, repeats: int = 5):
    out = Table("run", "drain s without", "drain s with", "share", "calls beyond rows")
    for seed in range(repeats):
        plain, _ = measure_drain(rows, concurrency, hedge=False, seed=seed)
        hedged, extra_calls = measure_drain(rows, concurrency, hedge=True, seed=seed)
        out.add_row(f"{seed}", f"{plain:.2f}", f"{hedged:.2f}", f"{hedged / plain:.2f}", f"{extra_calls:.2%}")
    Console(width=100).print(out)


if __name__ == "__main__":
    typer.run(main)
