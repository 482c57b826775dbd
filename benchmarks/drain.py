"""The drain: 1 % of requests take 20 times as long. Time from the last new request to the last row, with and without
asking late ones a second time.

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


def ask(rows, concurrency, hedge, seed):
    source, seen = random.Random(seed), {}

    def latency(question):
        seen.setdefault(question.prompt, question.at_s)
        return MEAN_S * source.uniform(0.6, 1.4) * (20 if source.random() < 0.01 else 1)

    with (
        EndpointServer(latency=latency, keep=False) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        endpoint = server.endpoint(max_concurrency=concurrency, hedge=hedge)
        config = {
            "endpoints": {"m": endpoint},
            "cache": {"store": f"{folder}/a.sqlite"},
        }
        with aiquery.connect(config=config) as con:
            con.execute(
                f"CREATE TABLE t AS SELECT 'row ' || i AS s FROM range({rows}) r(i)"
            )
            con.sql("CREATE TABLE o AS SELECT ai_query('m', s) AS a FROM t")
            end = time.monotonic()
            assert con.execute("SELECT count(DISTINCT a) FROM o").fetchall() == [
                (rows,)
            ]
        return end - max(seen.values()), server.calls / rows - 1


def main(rows: int = 4000, concurrency: int = 128, repeats: int = 5):
    out = Table("run", "drain s without", "drain s with", "share", "calls beyond rows")
    for seed in range(repeats):
        without, _ = ask(rows, concurrency, hedge=False, seed=seed)
        with_copies, more = ask(rows, concurrency, hedge=True, seed=seed)
        out.add_row(
            f"{seed}",
            f"{without:.2f}",
            f"{with_copies:.2f}",
            f"{with_copies / without:.2f}",
            f"{more:.2%}",
        )
    Console(width=100).print(out)


if __name__ == "__main__":
    typer.run(main)
