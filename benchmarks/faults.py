"""Every fault alone at 5 % of the requests, and all together: rows that were answered, calls per row, seconds.

A row is right if it has its answer, or its own error where the fault is for good.

    python benchmarks/faults.py [--rows 2000]
"""

import random
import time

import typer
from rich.console import Console
from rich.table import Table

import aiquery
from aiquery.testing import Answer, EndpointServer
from aiquery.testing.faults import PERMANENT, TRANSIENT


def ask(faults, rows):
    source, given = random.Random(3), {}

    def reply(question):
        if question.prompt in given:
            return Answer()
        given[question.prompt] = source.choice(faults) if source.random() < 0.05 else ""
        return {**TRANSIENT, **PERMANENT, "": Answer()}[given[question.prompt]]

    with EndpointServer(reply, latency=0.005, keep=False) as server:
        endpoint = server.endpoint(
            max_concurrency=64,
            hedge=False,
            timeout={"connect_s": 2, "read_s": 0.5, "attempt_s": 2},
        )
        with aiquery.connect(
            config={"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}}
        ) as con:
            con.execute(
                f"CREATE TABLE t AS SELECT 'row ' || i AS s FROM range({rows}) r(i)"
            )
            started = time.monotonic()
            found = con.sql(
                "SELECT s, ai_query('m', s, failOnError => false) AS r FROM t"
            ).fetchall()
            seconds = time.monotonic() - started
    right = sum(
        row["result"] == f"echo: {text}"
        or (given[text] in PERMANENT and row["errorMessage"] is not None)
        for text, row in found
    )
    return len(found), right, server.calls / rows, seconds


def main(rows: int = 2000):
    out = Table("fault, 5 % of the requests", "rows out", "right", "calls per row", "s")
    cases = {"none": [""], **{name: [name] for name in (*TRANSIENT, *PERMANENT)}}
    cases["all together"] = [*TRANSIENT, *PERMANENT]
    for name, faults in cases.items():
        count, right, calls, seconds = ask(faults, rows)
        out.add_row(name, f"{count:,}", f"{right:,}", f"{calls:.3f}", f"{seconds:.2f}")
    Console(width=100).print(out)


if __name__ == "__main__":
    typer.run(main)
