"""Every fault alone at 5 % of the requests, and all faults together: correct rows, calls per row, seconds.

A row is correct if it has its own answer, or its own error after a permanent fault.

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

ANSWERS = {**TRANSIENT, **PERMANENT, "": Answer()}


def measure(faults, rows):
    source = random.Random(3)
    fault_by_prompt = {}

    def reply(question):
        if question.prompt in fault_by_prompt:
            return Answer()
        fault = source.choice(faults) if source.random() < 0.05 else ""
        fault_by_prompt[question.prompt] = fault
        return ANSWERS[fault]

    with EndpointServer(reply, latency=0.005, keep=False) as server:
        endpoint = server.endpoint(
            max_concurrency=64, hedge=False, timeout={"connect_s": 2, "read_s": 0.5, "attempt_s": 2}
        )
        config = {"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}}
        with aiquery.connect(config=config) as con:
            con.execute(f"CREATE TABLE t AS SELECT 'row ' || i AS s FROM range({rows}) r(i)")
            started = time.monotonic()
            results = con.sql("SELECT s, ai_query('m', s, failOnError => false) AS r FROM t").fetchall()
            seconds = time.monotonic() - started
    correct = [text for text, value in results if is_correct(text, value, fault_by_prompt)]
    return len(results), len(correct), server.calls / rows, seconds


def is_correct(text, value, fault_by_prompt):
    if fault_by_prompt[text] in PERMANENT and value["errorMessage"] is not None:
        return True
    return value["result"] == f"echo: {text}"


def main(rows: int = 2000):
    out = Table("fault, 5 % of the requests", "rows out", "right", "calls per row", "s")
    cases = {"none": [""], **{name: [name] for name in (*TRANSIENT, *PERMANENT)}}
    cases["all together"] = [*TRANSIENT, *PERMANENT]
    for name, faults in cases.items():
        count, correct, calls, seconds = measure(faults, rows)
        out.add_row(name, f"{count:,}", f"{correct:,}", f"{calls:.3f}", f"{seconds:.2f}")
    Console(width=100).print(out)


if __name__ == "__main__":
    typer.run(main)
