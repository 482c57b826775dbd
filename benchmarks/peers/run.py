"""Peers side by side: one column of prompts, one endpoint process, each peer in its own environment.

Every peer sends the same prompts, with the same number in flight if it has a setting for it. uv makes the environments.

    python benchmarks/peers/run.py [--rows 2000] [--concurrency 64] [--only daft_prompt]
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
UV = HERE.parent.parent / ".cache" / "uv" / "bin" / "uv"
AIQUERY = "aiquery_sql"


def find_peers():
    names = {path.stem for path in HERE.glob("*_*.py")}
    return [AIQUERY, *sorted(names - {AIQUERY})]


def run_peer(name, url, rows, concurrency):
    """Return the figures of a peer, or None and the last line of its error."""
    script = [str(HERE / f"{name}.py"), url, str(rows), str(concurrency)]
    runner = [str(UV), "run", "--quiet", "--no-project", "--script"]
    if name == AIQUERY:
        runner = [sys.executable]
    process = subprocess.run([*runner, *script], capture_output=True, text=True, check=False, timeout=570)
    for line in reversed(process.stdout.splitlines()):
        if line.startswith('{"rows"'):
            return json.loads(line), ""
    errors = process.stderr.strip().splitlines() or ["no output"]
    return None, errors[-1][:80]


def main(
    rows: int = 2000,
    concurrency: int = 64,
    latency_mean_s: float = 0.05,
    only: Annotated[list[str] | None, typer.Option()] = None,
):
    command = [sys.executable, str(HERE / "endpoint.py"), str(latency_mean_s)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().strip()
    out = Table("client", "rows/s", "CPU us/row", "aiquery's rows/s", "times")
    first_rate = None
    for name in only or find_peers():
        figures, error = run_peer(name, url, rows, concurrency)
        if figures is None:
            out.add_row(name, "-", "-", "-", error)
            continue
        rate = figures["rows"] / figures["wall_s"]
        first_rate = first_rate or rate
        cpu_us = figures["cpu_s"] / figures["rows"] * 1e6
        out.add_row(name, f"{rate:,.0f}", f"{cpu_us:,.0f}", f"{first_rate:,.0f}", f"{first_rate / rate:.1f}")
    server.terminate()
    server.wait()
    Console(width=120).print(out)


if __name__ == "__main__":
    typer.run(main)
