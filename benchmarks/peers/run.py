"""Peers side by side: one column of prompts, one endpoint process, each peer in an environment of its own.

Every peer asks the same prompts with the same number in flight where it lets us say so. Environments are made by uv.

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
OURS = "aiquery_sql"


def peers():
    return [
        OURS,
        *sorted(path.stem for path in HERE.glob("*_*.py") if path.stem != OURS),
    ]


def ask(name, url, rows, concurrency):
    script = [str(HERE / f"{name}.py"), url, str(rows), str(concurrency)]
    runner = (
        [sys.executable]
        if name == OURS
        else [str(UV), "run", "--quiet", "--no-project", "--script"]
    )
    done = subprocess.run(
        [*runner, *script], capture_output=True, text=True, check=False, timeout=570
    )
    for line in reversed(done.stdout.splitlines()):
        if line.startswith('{"rows"'):
            return json.loads(line), ""
    return None, (done.stderr.strip().splitlines() or ["no output"])[-1][:80]


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
    ours = None
    for name in only or peers():
        result, error = ask(name, url, rows, concurrency)
        if result is None:
            out.add_row(name, "-", "-", "-", error)
            continue
        rate = result["rows"] / result["wall_s"]
        ours = ours or rate
        cpu = result["cpu_s"] / result["rows"] * 1e6
        out.add_row(
            name, f"{rate:,.0f}", f"{cpu:,.0f}", f"{ours:,.0f}", f"{ours / rate:.1f}"
        )
    server.terminate()
    server.wait()
    Console(width=120).print(out)


if __name__ == "__main__":
    typer.run(main)
