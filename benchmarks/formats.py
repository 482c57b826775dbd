"""CPU of the client per request by wire format, against one endpoint process that answers in all of them at once.

Each round runs every format once, so that they share the machine's moods; the table has the median of the rounds.

    python benchmarks/formats.py [--rows 10000] [--rounds 5]
"""

import os
import statistics
import subprocess
import sys

import typer
from rich.console import Console
from rich.table import Table

from client_cpu import PROMPT, measured, run_on_uvloop, send_all

FORMATS = {
    "OpenAI, chat completions": {"provider": "openai"},
    "OpenAI, Responses": {"provider": "openai", "end": "/v1/responses"},
    "Anthropic": {"provider": "anthropic"},
    "Gemini": {"provider": "gemini"},
    "Bedrock, bearer token": {"provider": "bedrock", "api_key_env": "AIQUERY_BENCHMARK_KEY"},
    "Bedrock, signed": {"provider": "bedrock", "options": {"region": "us-east-1"}},
}
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AIQUERY_BENCHMARK_KEY": "a-key"}


def make_provider_client(provider, end="/v1", **settings):
    @measured
    def measure(url, rows, concurrency):
        from aiquery import registry
        from aiquery.config.credentials import read_credentials
        from aiquery.config.endpoint import Endpoint
        from aiquery.requests.parsing import TextParser
        from aiquery.requests.request import Request, RequestTemplate

        async def go():
            endpoint = Endpoint(name="m", model="m", provider=provider, base_url=url + end, **settings)
            opened = await registry.provider(provider).open(endpoint, read_credentials(endpoint))
            template = RequestTemplate(endpoint="m", model="m", parser=TextParser(), parameters={"temperature": 0.0})
            await send_all(lambda text: opened.complete(Request(template, text)), rows, concurrency)
            await opened.close()

        run_on_uvloop(go())

    return measure


def make_sql_client(provider, end="/v1", **settings):
    @measured
    def measure(url, rows, concurrency):
        import aiquery

        endpoint = {"provider": provider, "base_url": url + end, "max_concurrency": concurrency, **settings}
        with aiquery.connect(config={"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}}) as con:
            con.execute(f"CREATE TABLE t AS SELECT printf('{PROMPT.format('%d')}', i) AS s FROM range({rows}) r(i)")
            con.sql("CREATE TABLE o AS SELECT ai_query('m', s) AS r FROM t")

    return measure


def run_round(url, rows, concurrency):
    """Run every format once: microseconds of the provider alone, and of SQL."""
    makers = (make_provider_client, make_sql_client)
    return {
        name: [make(**settings)(url, rows, concurrency)[1] * 1e6 for make in makers]
        for name, settings in FORMATS.items()
    }


def main(rows: int = 10_000, rounds: int = 5, concurrency: int = 64):
    os.environ.update(KEYS)
    command = [sys.executable, "-m", "aiquery.testing"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().strip().removesuffix("/v1")
    out = Table("format", "provider, CPU us", "times OpenAI", "SQL, CPU us", "times OpenAI ")
    found = {name: ([], []) for name in FORMATS}
    run_round(url, rows // 20, concurrency)  # imports and connections
    for _ in range(rounds):
        for name, pair in run_round(url, rows, concurrency).items():
            for times, cpu_us in zip(found[name], pair, strict=True):
                times.append(cpu_us)
    server.terminate()
    server.wait()
    first = [statistics.median(times) for times in next(iter(found.values()))]
    for name, pair in found.items():
        alone, sql = map(statistics.median, pair)
        out.add_row(name, f"{alone:.0f}", f"{alone / first[0]:.2f}", f"{sql:.0f}", f"{sql / first[1]:.2f}")
    Console(width=100).print(out)


if __name__ == "__main__":
    typer.run(main)
