"""CPU of the client per request, and requests/s, against one endpoint process that answers at once.

wrk (if installed) is the floor; the provider alone; bare aiohttp; AsyncOpenAI; and the whole way through SQL.

    python benchmarks/client_cpu.py [--rows 20000] [--concurrency 64]
"""

import asyncio
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

PROMPT = "Classify the ticket: my card number {} was lost on the way and I would like another one"


def spent_s(who=resource.RUSAGE_SELF):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def with_wrk(url, rows, concurrency):
    if shutil.which("wrk") is None:
        return None
    body = json.dumps(
        {
            "model": "m",
            "messages": [{"role": "user", "content": PROMPT.format(1)}],
            "temperature": 0.0,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(
            f"wrk.method='POST'; wrk.body=[[{body}]]; wrk.headers['Content-Type']='application/json'"
        )
        before = spent_s(resource.RUSAGE_CHILDREN)
        command = [
            "wrk",
            "-t1",
            f"-c{concurrency}",
            "-d5s",
            "-s",
            str(script),
            f"{url}/chat/completions",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        count = int(done.stdout.split(" requests in")[0].split()[-1])
    return count / 5, (spent_s(resource.RUSAGE_CHILDREN) - before) / count


def timed(function):
    def measure(url, rows, concurrency):
        wall, cpu = time.monotonic(), spent_s()
        function(url, rows, concurrency)
        return rows / (time.monotonic() - wall), (spent_s() - cpu) / rows

    return measure


async def many(ask, rows, concurrency):
    numbers = iter(range(rows))

    async def work():
        for i in numbers:
            await ask(PROMPT.format(i))

    await asyncio.gather(*(work() for _ in range(concurrency)))


def on_uvloop(coroutine):
    import uvloop

    uvloop.run(coroutine)


@timed
def provider_alone(url, rows, concurrency):
    from aiquery.config.endpoint import Endpoint
    from aiquery.config.environment import Credentials
    from aiquery.providers.openai import OpenAIProvider
    from aiquery.requests.parsing import TextParser
    from aiquery.requests.request import Request, RequestTemplate

    async def go():
        endpoint = Endpoint(name="m", model="m", base_url=url)
        provider = await OpenAIProvider.open(endpoint, Credentials())
        template = RequestTemplate(endpoint="m", model="m", parser=TextParser(), parameters={"temperature": 0.0})
        await many(
            lambda text: provider.complete(Request(template, text)), rows, concurrency
        )
        await provider.close()

    on_uvloop(go())


@timed
def bare_aiohttp(url, rows, concurrency):
    import aiohttp

    async def go():
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0)
        ) as session:

            async def ask(text):
                body = {
                    "model": "m",
                    "messages": [{"role": "user", "content": text}],
                    "temperature": 0.0,
                }
                async with session.post(f"{url}/chat/completions", json=body) as reply:
                    return (await reply.json())["choices"][0]["message"]["content"]

            await many(ask, rows, concurrency)

    on_uvloop(go())


@timed
def async_openai(url, rows, concurrency):
    import openai

    async def go():
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:

            async def ask(text):
                message = {"role": "user", "content": text}
                reply = await client.chat.completions.create(
                    model="m", messages=[message], temperature=0.0
                )
                return reply.choices[0].message.content

            await many(ask, rows, concurrency)

    on_uvloop(go())


def through_sql(store):
    @timed
    def measure(url, rows, concurrency):
        import aiquery

        config = {
            "endpoints": {"m": {"base_url": url, "max_concurrency": concurrency}},
            "cache": {"store": store},
        }
        with aiquery.connect(config=config) as con:
            con.execute(
                f"CREATE TABLE t AS SELECT printf('{PROMPT.format('%d')}', i) AS s FROM range({rows}) r(i)"
            )
            con.sql("CREATE TABLE o AS SELECT ai_query('m', s) AS r FROM t")

    return measure


def main(rows: int = 20_000, concurrency: int = 64):
    command = [sys.executable, "-m", "aiquery.testing"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().strip()
    out = Table("client", "requests/s", "CPU us per request", "times wrk")
    with tempfile.TemporaryDirectory() as folder:
        clients = {
            "wrk": (with_wrk, rows),
            "aiquery: provider alone": (provider_alone, rows),
            "aiquery: SQL, answers in memory": (through_sql("memory:"), rows),
            "aiquery: SQL, answers in SQLite": (
                through_sql(f"{folder}/a.sqlite"),
                rows,
            ),
            "aiohttp, bare": (bare_aiohttp, rows),
            "AsyncOpenAI": (async_openai, rows // 10),
        }
        floor = None
        for name, (measure, count) in clients.items():
            measure(url, count // 20, concurrency)  # imports and connections
            if name.endswith("SQLite"):
                (Path(folder) / "a.sqlite").unlink()
            result = measure(url, count, concurrency)
            if result is None:
                out.add_row(name, "not installed", "-", "-")
                continue
            floor = floor or result[1]
            out.add_row(
                name,
                f"{result[0]:,.0f}",
                f"{result[1] * 1e6:,.0f}",
                f"{result[1] / floor:.1f}",
            )
    server.terminate()
    server.wait()
    Console(width=100).print(out)


if __name__ == "__main__":
    typer.run(main)
