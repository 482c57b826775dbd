"""Peak memory above the table, and rows/s: rows of 1 KB, answered in the process, stored in a SQLite cache.

With --distinct equal to --rows, every row has its own call.

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


def read_resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


class Peak:
    """Samples the resident memory every 10 ms."""

    def __enter__(self):
        self.start = self.peak = read_resident_mb()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()
        return self

    def sample(self):
        while not self.done.wait(0.01):
            self.peak = max(self.peak, read_resident_mb())

    def __exit__(self, *exception):
        self.done.set()
        self.thread.join()


def main(rows: int = 1_000_000, distinct: int = 10_000, wait_s: float = 0.0, concurrency: int = 64):
    options = {"reply": "POSITIVE", "wait_s": wait_s}
    endpoint = {"provider": "fake", "max_concurrency": concurrency, "options": options}
    prompt = f"'Prompt ' || (i % {distinct}) || repeat('x', 1000)"
    with tempfile.TemporaryDirectory() as folder:
        store = {"store": f"{folder}/answers.sqlite"}
        config = {"endpoints": {"m": endpoint}, "cache": store}
        with aiquery.connect(config=config) as con:
            con.sql("SELECT ai_query('m', 'warm-up')")
            empty_mb = read_resident_mb()
            con.execute(f"CREATE TABLE t AS SELECT i AS id, {prompt} AS s FROM range({rows}) r(i)")
            started = time.monotonic()
            with Peak() as memory:
                con.sql("CREATE TABLE o AS SELECT id, ai_query('m', s) AS r FROM t")
            seconds = time.monotonic() - started
            calls = len(con.ledger) - 1
    table_mb = memory.start - empty_mb
    peak_mb = memory.peak - memory.start
    print(
        f"{rows:,} rows of 1 KB, {distinct:,} distinct: table {table_mb:.0f} MB, peak above it {peak_mb:.0f} MB, "
        f"{calls:,} calls, {seconds:.1f} s, {rows / seconds:,.0f} rows/s"
    )


if __name__ == "__main__":
    typer.run(main)
