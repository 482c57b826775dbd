"""What seeing costs: the progress line, an estimate of 100,000 rows, the page of a run with 100,000 attempts.

Progress: 20,000 distinct rows, lognormal latency of mean 100 ms, 256 in flight, with and without a line that is drawn
on a terminal in memory, in turns: the smallest of each counts for CPU, the median for throughput. The page is drawn by
Chromium; its own clock says when the last plot was there.

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
from aiquery.reporting import progress as line
from aiquery.reporting.html.page import render_page
from duckdb_pipeline import MEAN_S, PROMPT


def ask(url, rows, folder):
    settings = {
        "base_url": url,
        "max_concurrency": 256,
        "price": {"input": 1.0, "output": 2.0},
    }
    config = {
        "endpoints": {"m": settings},
        "cache": {"store": f"{folder}/{time.time()}/a.sqlite"},
    }
    with aiquery.connect(config=config) as con:
        con.execute(
            f"CREATE TABLE t AS SELECT i AS id, {PROMPT} AS s FROM range({rows}) r(i)"
        )
        con.sql("SELECT ai_query('m', 'warm-up')")
        wall, cpu = time.monotonic(), time.process_time()
        con.sql("CREATE TABLE o AS SELECT id, ai_query('m', s) AS r FROM t")
        return time.monotonic() - wall, time.process_time() - cpu, config


def in_memory():
    """Let the line be drawn on a terminal that is a buffer."""
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    lines = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
        auto_refresh=False,
    )
    line._terminal = lambda: lines


def progress(url, rows, repeats, folder, out):
    found = {"nowhere": [], "terminal": []}
    for _ in range(repeats):
        for where, runs in found.items():
            aiquery.show_progress(None if where == "nowhere" else where)
            runs.append(ask(url, rows, folder)[:2])
    aiquery.show_progress(None)
    wall = {
        where: statistics.median(wall for wall, _ in runs)
        for where, runs in found.items()
    }
    cpu = {where: min(cpu for _, cpu in runs) for where, runs in found.items()}
    out.add_row(
        "throughput with the line / without",
        f"{wall['nowhere'] / wall['terminal']:.4f}",
    )
    out.add_row(
        "CPU with the line / without", f"{cpu['terminal'] / cpu['nowhere']:.4f}"
    )
    out.add_row("CPU per row without, us", f"{cpu['nowhere'] / rows * 1e6:.1f}")


def estimate(url, out):
    settings = {
        "base_url": url,
        "price": {"input": 1.0, "output": 2.0},
        "max_tokens": 50,
    }
    with aiquery.connect(
        config={"endpoints": {"m": settings}, "cache": {"store": "memory:"}}
    ) as con:
        con.execute(
            f"CREATE TABLE t AS SELECT i AS id, {PROMPT} AS s FROM range(100000) r(i)"
        )
        began = time.monotonic()
        found = con.estimate("SELECT ai_query('m', s) FROM t")
        out.add_row(
            "estimate of 100,000 distinct rows, s", f"{time.monotonic() - began:.2f}"
        )
        assert (found.requests, len(con.ledger)) == (100_000, 0)


def drawn(url, folder, out):
    *_, config = ask(url, 100_000, folder)
    with aiquery.connect(config=config) as con:
        began = time.monotonic()
        name = con.sql(
            "SELECT run FROM aiquery_runs() ORDER BY rows DESC LIMIT 1"
        ).fetchall()[0][0]
        kept, attempts = con._session.client.read_history(
            lambda store: (
                next(one for one in store.runs() if one.progress.run == name),
                store.attempts(name),
            )
        )
        text = render_page(kept, attempts)
        out.add_row(
            "page of 100,000 attempts: written in, s", f"{time.monotonic() - began:.2f}"
        )
    out.add_row("  MB", f"{len(text.encode()) / 1e6:.2f}")
    out.add_row(
        "  runs.sqlite, bytes per attempt", f"{size_of(config) / len(attempts):.0f}"
    )
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
    out.add_row(
        "  every plot drawn after, s (median of 3)",
        f"{statistics.median(times) / 1000:.2f}",
    )


def size_of(config):
    return (Path(config["cache"]["store"]).parent / "runs.sqlite").stat().st_size


def main(rows: int = 20_000, repeats: int = 5):
    out = Table("what", "figure")
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
    url = server.stdout.readline().strip()
    in_memory()
    with tempfile.TemporaryDirectory() as folder:
        progress(url, rows, repeats, folder, out)
        estimate(url, out)
        drawn(url, folder, out)
    server.terminate()
    server.wait()
    Console(width=110).print(out)


if __name__ == "__main__":
    typer.run(main)
