"""Requests and tokens of eight queries about film reviews, beside LOTUS with the same scripted model.

The reviews are made up, the model is a script at an HTTP endpoint: a review passes if a word is in it. The tokens are
those that the endpoint counts, four characters each. LOTUS runs in an environment of its own, which uv makes (5.8 GB).

    python benchmarks/needed.py [--without-lotus]
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

import aiquery
from aiquery.testing import EndpointServer

HERE = Path(__file__).parent
UV = HERE.parent / ".cache" / "uv" / "bin" / "uv"
FILMS = 200
REVIEWS = 4_000
TABLES = f"""
CREATE TABLE films AS SELECT i AS film, 'Film ' || i AS title, 1990 + i % 35 AS year FROM range({FILMS}) r(i);
CREATE TABLE reviews AS SELECT i AS review, (i * 7919) % {FILMS} AS film, i AS posted,
  'Review ' || i || ': I saw this film with friends. The acting was '
  || CASE WHEN hash(i) % 10 < 3 THEN 'wonderful' ELSE 'plain' END || ', the story had its moments, and it felt '
  || CASE WHEN hash(i * 31) % 10 < 2 THEN 'endless' ELSE 'brisk' END || ' to me. I would watch it again.' AS text
FROM range({REVIEWS}) r(i);
"""
PRAISES = "Does the review praise the acting?"
SLOW = "Does the review complain about the running time?"
QUERIES = {
    "reviews of one film": f"SELECT review FROM reviews WHERE ai_filter(text, '{PRAISES}') AND film = 7",
    "any 5": f"SELECT review FROM reviews WHERE ai_filter(text, '{PRAISES}') LIMIT 5",
    "the newest 10": f"SELECT review FROM reviews WHERE ai_filter(text, '{PRAISES}') ORDER BY posted DESC LIMIT 10",
    "join": "SELECT title, review FROM reviews JOIN films USING (film) "
    f"WHERE ai_filter(text, '{PRAISES}') AND year = 2001",
    "films with a praise": "SELECT title FROM films WHERE year > 2015 AND film IN "
    f"(SELECT film FROM reviews WHERE ai_filter(text, '{PRAISES}'))",
    "is there one": f"SELECT EXISTS (SELECT 1 FROM reviews WHERE ai_filter(text, '{SLOW}'))",
    "two conditions": f"SELECT count(*) FROM reviews WHERE ai_filter(text, '{PRAISES}') AND ai_filter(text, '{SLOW}')",
    "count": f"SELECT count(*) FROM reviews WHERE ai_filter(text, '{PRAISES}')",
}


def answer(question):
    word = "endless" if "running time" in question.prompt else "wonderful"
    return "true" if word in question.prompt else "false"


class Meter:
    """Requests and input tokens of the endpoint since ``begin``."""

    def __init__(self, server):
        self.server = server
        self.begin()

    def begin(self):
        self.server.forget()
        self.tokens = self.server.usage["prompt_tokens"]

    def read(self):
        return {"requests": self.server.calls, "tokens": self.server.usage["prompt_tokens"] - self.tokens}


def measure_aiquery(server):
    meter = Meter(server)
    figures = {}
    config = {
        "endpoints": {"m": server.endpoint(hedge=False)},
        "defaults": {"chat": "m"},
        "cache": {"store": "memory:"},
        "runs": {"store": "memory:"},
    }
    for name, sql in QUERIES.items():
        meter.begin()
        with aiquery.connect(config=config) as con:
            con.raw.execute(TABLES)
            rows = len(con.sql(sql).fetchall())
        figures[name] = {"rows": rows, **meter.read()}
    return figures


def measure_lotus(server):
    """Run the LOTUS script, which asks the server to forget before each query, and return its figures by query."""
    with tempfile.TemporaryDirectory() as folder:
        with aiquery.connect() as con:
            con.raw.execute(TABLES)
            for table in ("films", "reviews"):
                con.raw.execute(f"COPY {table} TO '{folder}/{table}.csv'")
        command = [str(UV), "run", "--quiet", "--no-project", "--script", str(HERE / "needed_lotus.py")]
        process = subprocess.Popen(
            [*command, server.base_url, folder, PRAISES, SLOW], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        figures = {}
        meter = Meter(server)
        for line in process.stdout:
            if not line.startswith("{"):
                continue
            said = json.loads(line)
            if "begin" in said:
                meter.begin()
            else:
                figures[said["end"]] = {"rows": said["rows"], **meter.read()}
            process.stdin.write("\n")
            process.stdin.flush()
        process.wait()
    return figures


def main(*, without_lotus: bool = False):
    with EndpointServer(answer) as server:
        ours = measure_aiquery(server)
        lotus = {} if without_lotus else measure_lotus(server)
    out = Table("query", "rows", "requests", "tokens in", "LOTUS: requests", "tokens in", "times")
    for name, figures in ours.items():
        other = lotus.get(name)
        cells = ["-", "-", "-"]
        if other is not None:
            times = f"{other['tokens'] / max(figures['tokens'], 1):.1f}"
            cells = [f"{other['requests']:,}", f"{other['tokens']:,}", times]
        out.add_row(name, f"{figures['rows']:,}", f"{figures['requests']:,}", f"{figures['tokens']:,}", *cells)
    Console(width=120).print(out)


if __name__ == "__main__":
    sys.exit(typer.run(main))
