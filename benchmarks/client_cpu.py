"""CPU of the client per request, and requests/s, against one endpoint process that answers at once.

The clients: wrk (if installed) as the minimum, the provider alone, SQL, bare aiohttp, and AsyncOpenAI.

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


def read_cpu_s(process=resource.RUSAGE_SELF):
    usage = resource.getrusage(process)
    return usage.ru_utime + usage.ru_stime


def run_wrk(url, rows, concurrency):
    if shutil.which("wrk") is None:
        return None
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": PROMPT.format(1)}], "temperature": 0.0})
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(f"wrk.method='POST'; wrk.body=[[{body}]]; wrk.headers['Content-Type']='application/json'")
        before = read_cpu_s(resource.RUSAGE_CHILDREN)
        command = ["wrk", "-t1", f"-c{concurrency}", "-d5s", "-s", str(script), f"{url}/chat/completions"]
        process = subprocess.run(command, capture_output=True, text=True, check=True)
        before_count, _, _ = process.stdout.partition(" requests in")
        count = int(before_count.split()[-1])
    return count / 5, (read_cpu_s(resource.RUSAGE_CHILDREN) - before) / count


def measured(function):
    """Let a function return its requests/s and its seconds of CPU per request."""

    def measure(url, rows, concurrency):
        started = time.monotonic()
        cpu_before = read_cpu_s()
        function(url, rows, concurrency)
        requests_per_s = rows / (time.monotonic() - started)
        return requests_per_s, (read_cpu_s() - cpu_before) / rows

    return measure


async def send_all(send, rows, concurrency):
    numbers = iter(range(rows))

    async def work():
        for i in numbers:
            await send(PROMPT.format(i))

    await asyncio.gather(*(work() for _ in range(concurrency)))


def run_on_uvloop(coroutine):
    import uvloop

    uvloop.run(coroutine)


@measured
def run_provider(url, rows, concurrency):
    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint
    from aiquery.providers.openai import OpenAIProvider
    from aiquery.requests.parsing import TextParser
    from aiquery.requests.request import Request, RequestTemplate

    async def go():
        endpoint = Endpoint(name="m", model="m", base_url=url)
        provider = await OpenAIProvider.open(endpoint, Credentials())
        template = RequestTemplate(endpoint="m", model="m", parser=TextParser(), parameters={"temperature": 0.0})

        def send(text):
            return provider.complete(Request(template, text))

        await send_all(send, rows, concurrency)
        await provider.close()

    run_on_uvloop(go())


@measured
def run_aiohttp(url, rows, concurrency):
    import aiohttp

    async def go():
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def send(text):
                body = {"model": "m", "messages": [{"role": "user", "content": text}], "temperature": 0.0}
                async with session.post(f"{url}/chat/completions", json=body) as reply:
                    document = await reply.json()
                return document["choices"][0]["message"]["content"]

            await send_all(send, rows, concurrency)

    run_on_uvloop(go())


@measured
def run_async_openai(url, rows, concurrency):
    import openai

    async def go():
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:

            async def send(text):
                message = {"role": "user", "content": text}
                reply = await client.chat.completions.create(model="m", messages=[message], temperature=0.0)
                return reply.choices[0].message.content

            await send_all(send, rows, concurrency)

    run_on_uvloop(go())


def make_sql_client(store):
    @measured
    def measure(url, rows, concurrency):
        import aiquery

        config = {"endpoints": {"m": {"base_url": url, "max_concurrency": concurrency}}, "cache": {"store": store}}
        with aiquery.connect(config=config) as con:
            con.execute(f"CREATE TABLE t AS SELECT printf('{PROMPT.format('%d')}', i) AS s FROM range({rows}) r(i)")
            con.sql("CREATE TABLE o AS SELECT ai_query('m', s) AS r FROM t")

    return measure


def main(rows: int = 20_000, concurrency: int = 64):
    command = [sys.executable, "-m", "aiquery.testing"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().strip()
    out = Table("client", "requests/s", "CPU us per request", "times wrk")
    with tempfile.TemporaryDirectory() as folder:
        clients = {
            "wrk": (run_wrk, rows),
            "aiquery: provider alone": (run_provider, rows),
            "aiquery: SQL, answers in memory": (make_sql_client("memory:"), rows),
            "aiquery: SQL, answers in SQLite": (make_sql_client(f"{folder}/a.sqlite"), rows),
            "aiohttp, bare": (run_aiohttp, rows),
            "AsyncOpenAI": (run_async_openai, rows // 10),
        }
        min_cpu_s = None
        for name, (measure, count) in clients.items():
            measure(url, count // 20, concurrency)  # imports and connections
            if name.endswith("SQLite"):
                (Path(folder) / "a.sqlite").unlink()
            result = measure(url, count, concurrency)
            if result is None:
                out.add_row(name, "not installed", "-", "-")
                continue
            requests_per_s, cpu_per_request = result
            min_cpu_s = min_cpu_s or cpu_per_request
            out.add_row(
                name, f"{requests_per_s:,.0f}", f"{cpu_per_request * 1e6:,.0f}", f"{cpu_per_request / min_cpu_s:.1f}"
            )
    server.terminate()
    server.wait()
    Console(width=100).print(out)


if __name__ == "__main__":
    typer.run(main)
