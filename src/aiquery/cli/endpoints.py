"""``aiquery endpoints``: list the configured endpoints, and test one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from aiquery import config as configuration
from aiquery.cli.options import ConfigFile  # noqa: TC001  typer reads the annotations
from aiquery.cli.output import console, print_table
from aiquery.config.credentials import describe_key
from aiquery.secrets import hide_secrets

if TYPE_CHECKING:
    from aiquery.config.endpoint import Endpoint

app = typer.Typer(help="List the configured endpoints, test one, and serve one.")
_COLUMNS = (
    "endpoint",
    "provider",
    "task",
    "model",
    "base_url",
    "key",
    "USD per million tokens",
)
_MAX_OUTAGE_S = 5.0
_QUESTION = "Answer with one word: what colour is the sky on a clear day?"


@app.callback(invoke_without_command=True)
def listing(context: typer.Context, config: ConfigFile = None) -> None:
    """List the endpoints: the configured ones and the defaults."""
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    loaded = configuration.load(config)
    names = dict.fromkeys(
        [*loaded.endpoints, loaded.defaults.chat, loaded.defaults.embedding]
    )
    rows = []
    for name in names:
        endpoint = loaded.endpoint(name)
        row = (
            name,
            endpoint.provider,
            endpoint.task,
            endpoint.model,
            hide_secrets(endpoint.base_url or "-"),
            hide_secrets(describe_key(endpoint) or "-"),
            _describe_price(endpoint),
        )
        rows.append(row)
    print_table(_COLUMNS, rows)


def _describe_price(endpoint: Endpoint) -> str:
    price = endpoint.price
    if price is None:
        return "-"
    text = f"{price.input:g} in, {price.output:g} out"
    return f"{text} (list of {price.as_of})" if price.as_of else text


@app.command("test")
def ask_one(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="An endpoint's name, or vendor:model.")],
    config: ConfigFile = None,
) -> None:
    """Send one question to an endpoint, and show the answer, the time and the tokens.

    An endpoint that does not answer is given up after five seconds.
    """
    from aiquery.engines.duckdb.connect import connect

    loaded = configuration.load(config or context.obj)
    endpoint = loaded.endpoint(name)
    question = {"custom": '{"test": 1}'}.get(endpoint.task, _QUESTION)
    quoted = name.replace("'", "''")
    outage_s = min(endpoint.timeout.outage_s, _MAX_OUTAGE_S)
    timeout = msgspec.structs.replace(endpoint.timeout, outage_s=outage_s)
    tested = msgspec.structs.replace(endpoint, timeout=timeout)
    # A cached answer would not test the endpoint.
    loaded = loaded.without_cache().with_endpoints({name: tested})
    with connect(config=loaded) as con:
        started = time.monotonic()
        result = con.sql(f"SELECT ai_query('{quoted}', $q$ {question} $q$)::VARCHAR")
        answer = result.fetchall()[0][0]
        seconds = time.monotonic() - started
        totals = con.ledger.totals[endpoint.name]
    shown = answer if endpoint.task == "chat" else f"{str(answer)[:60]}…"
    console().print(f"{name} answered: {shown}", markup=False, highlight=False)
    console().print(
        f"{seconds:.1f} s, {totals.tokens_in} tokens in, {totals.tokens_out} out",
        highlight=False,
    )


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="0: a free port")] = 0,
    latency_s: Annotated[
        float, typer.Option(help="mean time of an answer, in seconds")
    ] = 0.0,
    capacity: Annotated[
        int | None, typer.Option(help="requests in flight above which it answers 429")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(help="requests above which it answers 429")
    ] = None,
) -> None:
    """Serve an endpoint for tests on this machine, without a model, in the formats of all vendors. Ctrl-C ends it.

    It prints its base_url. An answer is the smallest document of the schema, or an echo of the prompt.
    """
    from aiquery.testing.__main__ import serve as serve_until_interrupted

    serve_until_interrupted(
        port=port,
        latency_mean_s=latency_s,
        capacity=capacity,
        requests_per_minute=requests_per_minute,
    )
