"""What an outage costs beyond its own time: for so many seconds every request fails in one way, then none does.

Seconds over = with the window - without - the window; rows that got no answer. Beside it AsyncOpenAI with ten retries
and urllib3 with its Retry (ten, status and connection), each at the same concurrency against the same endpoint.

    python benchmarks/recovery.py [--seconds 1.5 --seconds 8] [--places 64 --places 512] [--peers]
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


class World:
    """The endpoint, and the window in which it fails: it begins once a fifth of the rows were answered."""

    def __init__(self, kind, seconds, rows):
        self.kind, self.seconds, self.after, self.begun_at = (
            kind,
            seconds,
            rows // 5,
            None,
        )
        self.server = EndpointServer(self.reply, latency=LATENCY_S, keep=False)
        self.over = threading.Event()

    def reply(self, question):
        if self.kind is None or self.kind == "refused" or question.number < self.after:
            return Answer()
        self.begun_at = self.begun_at or question.at_s
        return (
            KINDS[self.kind]
            if question.at_s < self.begun_at + self.seconds
            else Answer()
        )

    def restart(self):
        while self.server.calls < self.after and not self.over.wait(0.005):
            pass
        self.server.__exit__(None, None, None)
        time.sleep(self.seconds)
        again = EndpointServer(
            latency=LATENCY_S,
            keep=False,
            port=int(self.server.base_url.split(":")[2].split("/")[0]),
        )
        with again:
            self.over.wait()

    def __enter__(self):
        self.server.__enter__()
        self.thread = (
            threading.Thread(target=self.restart) if self.kind == "refused" else None
        )
        if self.thread is not None:
            self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        if self.thread is None:
            self.server.__exit__(None, None, None)
        else:
            self.thread.join()


def with_aiquery(url, rows, places, settings):
    config = {
        "endpoints": {"m": {"base_url": url, "hedge": False, **settings}},
        "cache": {"store": "memory:"}, "runs": {"store": "memory:"},
    }  # fmt: skip
    with aiquery.connect(config=config) as con:
        con.execute(
            f"CREATE TABLE t AS SELECT 'row ' || i AS s FROM range({rows}) r(i)"
        )
        sql = "SELECT count(*) FROM (SELECT ai_query('m', s, failOnError => false) AS r FROM t) WHERE r.result IS NULL"
        return con.sql(sql).fetchall()[0][0]


def with_openai(url, rows, places, _):
    import openai

    async def go():
        cooldown, client = (
            asyncio.Semaphore(places),
            openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=10),
        )

        async def ask(i):
            async with cooldown:
                message = {"role": "user", "content": f"row {i}"}
                try:
                    await client.chat.completions.create(model="m", messages=[message])
                except openai.OpenAIError:
                    return 1
            return 0

        async with client:
            return sum(await asyncio.gather(*map(ask, range(rows))))

    return asyncio.run(go())


def with_urllib3(url, rows, places, _):
    import urllib3

    retry = urllib3.Retry(
        10, backoff_factor=0.5, status_forcelist=[429, 502, 503], allowed_methods=None
    )
    pool = urllib3.PoolManager(maxsize=places, retries=retry)

    def ask(i):
        body = json.dumps(
            {"model": "m", "messages": [{"role": "user", "content": f"row {i}"}]}
        )
        try:
            return (
                pool.request("POST", f"{url}/chat/completions", body=body).status != 200
            )
        except urllib3.exceptions.HTTPError:
            return True

    with ThreadPoolExecutor(places) as threads:
        return sum(threads.map(ask, range(rows)))


def measure(ask, kind, seconds, places, settings):
    rows = ROUNDS * places
    with World(kind, seconds, rows) as world:
        started = time.monotonic()
        lost = ask(world.server.base_url, rows, places, settings)
        return time.monotonic() - started, lost


def main(
    seconds: Annotated[list[float], typer.Option()] = [1.5, 8.0],  # noqa: B006
    places: Annotated[list[int], typer.Option()] = [64, 512],  # noqa: B006
    kinds: Annotated[list[str], typer.Option()] = list(KINDS),  # noqa: B006
    *,
    peers: bool = False,
):
    logging.disable(logging.WARNING)
    clients = {
        "aiquery, set": (with_aiquery, True),
        "aiquery, searched": (with_aiquery, False),
    }
    if peers:
        clients |= {"AsyncOpenAI": (with_openai, True), "urllib3": (with_urllib3, True)}
    out = Table(
        "window",
        "s",
        "in flight",
        "allowed over",
        *(f"{name}: over, lost" for name in clients),
    )
    for count in places:
        settings = {
            name: {"max_concurrency": count} if is_set else {}
            for name, (_, is_set) in clients.items()
        }
        asks = {
            name: partial(measure, ask, places=count, settings=settings[name])
            for name, (ask, _) in clients.items()
        }
        for ask in asks.values():
            ask(None, 0)  # imports and connections
        plain = {name: ask(None, 0)[0] for name, ask in asks.items()}
        for window, kind in itertools.product(seconds, kinds):
            found = {name: ask(kind, window) for name, ask in asks.items()}
            cells = [
                f"{took - plain[name] - window:+.1f}, {lost:,}"
                for name, (took, lost) in found.items()
            ]
            out.add_row(
                kind, f"{window:g}", f"{count}", f"{max(3.0, window / 4):.1f}", *cells
            )
    Console(width=140).print(out)


if __name__ == "__main__":
    typer.run(main)
