"""The throughput of SQL as a share of the ideal, and its CPU per row.

20,000 distinct rows, lognormal latency of mean 100 ms, 256 in flight, the test endpoint in another process. Two ideals,
both printed: ``mean`` = rows x mean latency / concurrency, which no client can reach because the last requests run
alone; ``schedule`` = the same latencies in the same order on 256 slots that are never idle and have no overhead.
Compared, on the same endpoint, with AsyncOpenAI and a semaphore: read the table, send the requests, write the answers.

    python benchmarks/duckdb_pipeline.py [--rows 20000] [--concurrency 256] [--sigma 0.6 --sigma 1.0]
"""

import asyncio
import heapq
import subprocess
import sys
import tempfile
import time
from typing import Annotated

import duckdb
import typer
from rich.console import Console
from rich.table import Table

import aiquery
from aiquery.testing import lognormal

MEAN_S = 0.1
PROMPT = "'Classify the ticket: my card number ' || i || ' was lost on the way and I would like another one'"


class Stopwatch:
    """Measures wall time and CPU from its creation."""

    def __init__(self):
        self.wall_s = time.monotonic()
        self.cpu_s = time.process_time()

    def elapsed(self):
        """Return the seconds of wall time and of CPU."""
        return time.monotonic() - self.wall_s, time.process_time() - self.cpu_s


class Prompt:
    def __init__(self, prompt):
        self.prompt = prompt


def compute_ideal_s(rows, concurrency, sigma):
    """Return both ideals in seconds, from the latencies that the endpoint draws for these prompts."""
    latency = lognormal(MEAN_S, sigma)
    prompts = duckdb.sql(f"SELECT {PROMPT} FROM range({rows}) r(i)").fetchall()
    waits = [latency(Prompt(prompt)) for (prompt,) in prompts]
    free = [0.0] * concurrency
    for wait in waits:
        heapq.heapreplace(free, free[0] + wait)
    return sum(waits) / concurrency, max(free)


def create_table(con, rows):
    con.execute(f"CREATE OR REPLACE TABLE t AS SELECT i AS id, {PROMPT} AS s FROM range({rows}) r(i)")


def run_aiquery(url, rows, concurrency):
    settings = {"base_url": url, "max_concurrency": concurrency}
    with tempfile.TemporaryDirectory() as folder:
        store = {"store": f"{folder}/a.sqlite"}
        config = {"endpoints": {"m": settings}, "cache": store}
        with aiquery.connect(config=config) as con:
            create_table(con, rows)
            con.sql("SELECT ai_query('m', 'warm-up')")
            watch = Stopwatch()
            con.sql("CREATE TABLE o AS SELECT id, ai_query('m', s) AS r FROM t")
            wall_s, cpu_s = watch.elapsed()
            counts = con.execute("SELECT count(r), count(DISTINCT r) FROM o").fetchall()
            assert counts == [(rows, rows)]
    return wall_s, cpu_s


def run_async_openai(url, rows, concurrency):
    import openai
    import pyarrow as pa

    con = duckdb.connect()
    create_table(con, rows)

    async def go():
        semaphore = asyncio.Semaphore(concurrency)
        client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=2)

        async def send(text):
            async with semaphore:
                messages = [{"role": "user", "content": text}]
                reply = await client.chat.completions.create(model="m", messages=messages, temperature=0.0)
            return reply.choices[0].message.content

        texts = con.execute("SELECT s FROM t ORDER BY id").fetchall()
        answers = await asyncio.gather(*(send(text) for (text,) in texts))
        await client.close()
        return answers

    watch = Stopwatch()
    answers = pa.table({"id": range(rows), "r": asyncio.run(go())})
    con.execute("CREATE TABLE o AS FROM answers")
    assert answers.num_rows == rows
    return watch.elapsed()


def main(
    rows: int = 20_000,
    concurrency: int = 256,
    sigma: Annotated[list[float] | None, typer.Option()] = None,
    peer_rows: int = 4_000,
    repeats: int = 3,
):
    out = Table("sigma", "client", "rows", "wall s", "of mean ideal", "of schedule ideal", "CPU us/row")
    for one_sigma in sigma or [0.6, 1.0]:
        command = [
            sys.executable,
            "-m",
            "aiquery.testing",
            "--latency-mean-s",
            str(MEAN_S),
            "--latency-sigma",
            str(one_sigma),
        ]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        url = server.stdout.readline().strip()
        for name, run, count, times in (
            ("aiquery", run_aiquery, rows, repeats),
            ("AsyncOpenAI + semaphore", run_async_openai, peer_rows, 1),
        ):
            mean_s, schedule_s = compute_ideal_s(count, concurrency, one_sigma)
            for _ in range(times):
                wall_s, cpu_s = run(url, count, concurrency)
                out.add_row(
                    f"{one_sigma}",
                    name,
                    f"{count:,}",
                    f"{wall_s:.2f}",
                    f"{mean_s / wall_s:.3f}",
                    f"{schedule_s / wall_s:.3f}",
                    f"{cpu_s / count * 1e6:.0f}",
                )
        server.terminate()
        server.wait()
    Console(width=110).print(out)


if __name__ == "__main__":
    typer.run(main)
