"""The cost of observing: the progress line, an estimate of 100,000 rows, the page of a run with 100,000 attempts.

Progress: 20,000 distinct rows, lognormal latency of mean 100 ms, 256 in flight, with and without a line that is drawn
on a terminal in memory, in turns. The figures are the minimum of CPU and the median of throughput. Chromium draws the
page, and its clock measures the time until the last plot.

    python benchmarks/observing.py [--rows 20000] [--repeats 5]
"""

import io
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

import aiquery
from aiquery.reporting import progress as reporting
from aiquery.reporting.html.page import render_page
from duckdb_pipeline import MEAN_S, PROMPT, Stopwatch


def run_statement(url, rows, folder):
    """Return the seconds of wall time and of CPU of a statement, and its configuration."""
    settings = {"base_url": url, "max_concurrency": 256, "price": {"input": 1.0, "output": 2.0}}
    config = {"endpoints": {"m": settings}, "cache": {"store": f"{folder}/{time.time()}/a.sqlite"}}
    with aiquery.connect(config=config) as con:
        con.execute(f"CREATE TABLE t AS SELECT i AS id, {PROMPT} AS s FROM range({rows}) r(i)")
        con.sql("SELECT ai_query('m', 'warm-up')")
        watch = Stopwatch()
        con.sql("CREATE TABLE o AS SELECT id, ai_query('m', s) AS r FROM t")
        wall_s, cpu_s = watch.elapsed()
    return wall_s, cpu_s, config


def draw_in_memory():
    """Draw the progress line on a terminal in memory."""
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    lines = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
        auto_refresh=False,
    )
    reporting._terminal = lambda: lines


def measure_progress(url, rows, repeats, folder, out):
    wall_s = {None: [], "terminal": []}
    cpu_s = {None: [], "terminal": []}
    for _ in range(repeats):
        for display in (None, "terminal"):
            aiquery.show_progress(display)
            wall, cpu, _ = run_statement(url, rows, folder)
            wall_s[display].append(wall)
            cpu_s[display].append(cpu)
    aiquery.show_progress(None)
    plain_s, shown_s = (statistics.median(wall_s[display]) for display in (None, "terminal"))
    plain_cpu_s, shown_cpu_s = (min(cpu_s[display]) for display in (None, "terminal"))
    out.add_row("throughput with the line / without", f"{plain_s / shown_s:.4f}")
    out.add_row("CPU with the line / without", f"{shown_cpu_s / plain_cpu_s:.4f}")
    out.add_row("CPU per row without, us", f"{plain_cpu_s / rows * 1e6:.1f}")


def measure_estimate(url, out):
    settings = {"base_url": url, "price": {"input": 1.0, "output": 2.0}, "max_tokens": 50}
    config = {"endpoints": {"m": settings}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        con.execute(f"CREATE TABLE t AS SELECT i AS id, {PROMPT} AS s FROM range(100000) r(i)")
        started = time.monotonic()
        estimate = con.estimate("SELECT ai_query('m', s) FROM t")
        seconds = time.monotonic() - started
        out.add_row("estimate of 100,000 distinct rows, s", f"{seconds:.2f}")
        assert (estimate.requests, len(con.ledger)) == (100_000, 0)


def read_run(con):
    """Return the record and the attempts of the run with the most rows."""
    sql = "SELECT run FROM aiquery_runs() ORDER BY rows DESC LIMIT 1"
    ((name,),) = con.sql(sql).fetchall()

    def read(store):
        record = next(run for run in store.runs() if run.progress.run == name)
        return record, store.attempts(name)

    return con._session.client.read_history(read)


def measure_page(url, folder, out):
    *_, config = run_statement(url, 100_000, folder)
    with aiquery.connect(config=config) as con:
        started = time.monotonic()
        record, attempts = read_run(con)
        text = render_page(record, attempts)
        seconds = time.monotonic() - started
        out.add_row("page of 100,000 attempts: written in, s", f"{seconds:.2f}")
    runs_path = Path(config["cache"]["store"]).parent / "runs.sqlite"
    bytes_per_attempt = runs_path.stat().st_size / len(attempts)
    out.add_row("  MB", f"{len(text.encode()) / 1e6:.2f}")
    out.add_row("  runs.sqlite, bytes per attempt", f"{bytes_per_attempt:.0f}")
    file = Path(folder) / "page.html"
    file.write_text(text, "utf-8")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--timeout=10000",
        "--dump-dom",
        f"file://{file}",
    ]
    times = []
    for _ in range(3):
        dom = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        times.append(int(re.search(r'data-drawn-ms="(\d+)"', dom)[1]))
    out.add_row("  every plot drawn after, s (median of 3)", f"{statistics.median(times) / 1000:.2f}")


def main(rows: int = 20_000, repeats: int = 5):
    out = Table("what", "figure")
    command = [sys.executable, "-m", "aiquery.testing", "--latency-mean-s", str(MEAN_S), "--latency-sigma", "0.6"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().strip()
    draw_in_memory()
    with tempfile.TemporaryDirectory() as folder:
        measure_progress(url, rows, repeats, folder, out)
        measure_estimate(url, out)
        measure_page(url, folder, out)
    server.terminate()
    server.wait()
    Console(width=110).print(out)


if __name__ == "__main__":
    typer.run(main)
