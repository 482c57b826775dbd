"""The cost of an outage beyond its own time: every request fails for a number of seconds, and none after that.

"over" is the time with the window, minus the time without it, minus the window; "lost" are rows without an answer.
Compared with AsyncOpenAI with ten retries, and urllib3 with ten retries of statuses and connections, each with the same
concurrency and against the same endpoint.

    python benchmarks/recovery.py [--seconds 1.5 --seconds 8] [--concurrency 64 --concurrency 512] [--peers]
"""

import asyncio
import itertools
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.table import Table

import aiquery
from aiquery.testing import Answer, EndpointServer

LATENCY_S = 0.2
ROUNDS = 20
KINDS = {
    "503": Answer(status=503),
    "429": Answer(status=429),
    "502 (proxy)": Answer(status=502, body=b"<html>502 Bad Gateway</html>"),
    "reset": Answer(fate="reset"),
    "refused": None,
}


class FailingEndpoint:
    """An endpoint that fails within a window, which begins after a fifth of the rows."""

    def __init__(self, kind, seconds, rows):
        self.kind = kind
        self.seconds = seconds
        self.after = rows // 5
        self.began_at = None
        self.thread = None
        self.server = EndpointServer(self.reply, latency=LATENCY_S, keep=False)
        self.has_ended = threading.Event()

    def reply(self, question):
        if self.kind is None or self.kind == "refused" or question.number < self.after:
            return Answer()
        self.began_at = self.began_at or question.at_s
        if question.at_s < self.began_at + self.seconds:
            return KINDS[self.kind]
        return Answer()

    def restart(self):
        while self.server.calls < self.after and not self.has_ended.wait(0.005):
            pass
        self.server.__exit__(None, None, None)
        time.sleep(self.seconds)
        port = urlsplit(self.server.base_url).port
        with EndpointServer(latency=LATENCY_S, keep=False, port=port):
            self.has_ended.wait()

    def __enter__(self):
        self.server.__enter__()
        if self.kind == "refused":
            self.thread = threading.Thread(target=self.restart)
            self.thread.start()
        return self

    def __exit__(self, *_):
        self.has_ended.set()
        if self.thread is None:
            self.server.__exit__(None, None, None)
        else:
            self.thread.join()


def count_lost_by_aiquery(url, rows, concurrency, settings):
    config = {
        "endpoints": {"m": {"base_url": url, "hedge": False, **settings}},
        "cache": {"store": "memory:"}, "runs": {"store": "memory:"},
    }  # fmt: skip
    with aiquery.connect(config=config) as con:
        con.execute(f"CREATE TABLE t AS SELECT 'row ' || i AS s FROM range({rows}) r(i)")
        sql = "SELECT count(*) FROM (SELECT ai_query('m', s, failOnError => false) AS r FROM t) WHERE r.result IS NULL"
        return con.sql(sql).fetchall()[0][0]


def count_lost_by_openai(url, rows, concurrency, _):
    import openai

    async def go():
        semaphore = asyncio.Semaphore(concurrency)
        client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=10)

        async def is_lost(i):
            message = {"role": "user", "content": f"row {i}"}
            async with semaphore:
                try:
                    await client.chat.completions.create(model="m", messages=[message])
                except openai.OpenAIError:
                    return True
            return False

        async with client:
            results = await asyncio.gather(*map(is_lost, range(rows)))
        return results.count(True)

    return asyncio.run(go())


def count_lost_by_urllib3(url, rows, concurrency, _):
    import urllib3

    retry = urllib3.Retry(10, backoff_factor=0.5, status_forcelist=[429, 502, 503], allowed_methods=None)
    pool = urllib3.PoolManager(maxsize=concurrency, retries=retry)

    def is_lost(i):
        message = {"role": "user", "content": f"row {i}"}
        body = json.dumps({"model": "m", "messages": [message]})
        try:
            reply = pool.request("POST", f"{url}/chat/completions", body=body)
        except urllib3.exceptions.HTTPError:
            return True
        return reply.status != 200

    with ThreadPoolExecutor(concurrency) as threads:
        return list(threads.map(is_lost, range(rows))).count(True)


def measure(count_lost, kind, seconds, concurrency, settings):
    """Return the seconds of a run with a window of failures, and the number of lost rows."""
    rows = ROUNDS * concurrency
    with FailingEndpoint(kind, seconds, rows) as endpoint:
        started = time.monotonic()
        lost = count_lost(endpoint.server.base_url, rows, concurrency, settings)
        return time.monotonic() - started, lost


def main(
    seconds: Annotated[list[float], typer.Option()] = [1.5, 8.0],  # noqa: B006
    concurrency: Annotated[list[int], typer.Option()] = [64, 512],  # noqa: B006
    kinds: Annotated[list[str], typer.Option()] = list(KINDS),  # noqa: B006
    *,
    peers: bool = False,
):
    logging.disable(logging.WARNING)
    clients = {"aiquery, set": (count_lost_by_aiquery, True), "aiquery, searched": (count_lost_by_aiquery, False)}
    if peers:
        clients["AsyncOpenAI"] = (count_lost_by_openai, True)
        clients["urllib3"] = (count_lost_by_urllib3, True)
    out = Table("window", "s", "in flight", "allowed over", *(f"{name}: over, lost" for name in clients))
    for slots in concurrency:
        runs = {}
        for name, (count_lost, is_configured) in clients.items():
            settings = {"max_concurrency": slots} if is_configured else {}
            runs[name] = partial(measure, count_lost, concurrency=slots, settings=settings)
        for run in runs.values():
            run(None, 0)  # imports and connections
        undisturbed_s = {name: run(None, 0)[0] for name, run in runs.items()}
        for window_s, kind in itertools.product(seconds, kinds):
            cells = []
            for name, run in runs.items():
                run_s, lost = run(kind, window_s)
                cells.append(f"{run_s - undisturbed_s[name] - window_s:+.1f}, {lost:,}")
            allowed = f"{max(3.0, window_s / 4):.1f}"
            out.add_row(kind, f"{window_s:g}", f"{slots}", allowed, *cells)
    Console(width=140).print(out)


if __name__ == "__main__":
    typer.run(main)
