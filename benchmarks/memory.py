"""Peak memory above the table, and rows/s: rows of 1 KB, answered in the process, kept in a SQLite store.

With --distinct as many as --rows, every row is a call of its own.

    python benchmarks/memory.py [--rows 1000000] [--distinct 10000] [--wait-s 0.1 --concurrency 400]
"""

import os
import tempfile
import threading
import time
from pathlib import Path

import typer

import aiquery

PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


class Peak:
    """Samples the resident memory every 10 ms."""

    def __enter__(self):
        self.start = self.peak = resident_mb()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()
        return self

    def sample(self):
        while not self.done.wait(0.01):
            self.peak = max(self.peak, resident_mb())

    def __exit__(self, *exception):
        self.done.set()
        self.thread.join()


def main(
    rows: int = 1_000_000,
    distinct: int = 10_000,
    wait_s: float = 0.0,
    concurrency: int = 64,
):
    options = {"reply": "POSITIVE", "wait_s": wait_s}
    endpoint = {"provider": "fake", "max_concurrency": concurrency, "options": options}
    with (
        tempfile.TemporaryDirectory() as folder,
        aiquery.connect(
            config={
                "endpoints": {"m": endpoint},
                "cache": {"store": f"{folder}/answers.sqlite"},
            }
        ) as con,
    ):
        con.sql("SELECT ai_query('m', 'warm-up')")
        empty = resident_mb()
        con.execute(f"CREATE TABLE t AS SELECT i AS id, 'Prompt ' || (i % {distinct}) || repeat('x', 1000) AS s "
                    f"FROM range({rows}) r(i)")  # fmt: skip
        started = time.monotonic()
        with Peak() as memory:
            con.sql("CREATE TABLE o AS SELECT id, ai_query('m', s) AS r FROM t")
        seconds = time.monotonic() - started
        print(f"{rows:,} rows of 1 KB, {distinct:,} distinct: table {memory.start - empty:.0f} MB, "
              f"peak above it {memory.peak - memory.start:.0f} MB, {len(con.ledger) - 1:,} calls, "
              f"{seconds:.1f} s, {rows / seconds:,.0f} rows/s")  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
