"""``python -m aiquery.testing``: the test endpoint in its own process, e.g. for benchmarks."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from aiquery.testing.answer import lognormal
from aiquery.testing.endpoint import EndpointServer
from aiquery.testing.replica import Replica


def serve(
    port: Annotated[int, typer.Option(help="0: a free port")] = 0,
    latency_mean_s: Annotated[
        float, typer.Option(help="mean of the lognormal latency, in seconds")
    ] = 0.0,
    latency_sigma: Annotated[
        float, typer.Option(help="sigma of the lognormal latency")
    ] = 0.6,
    capacity: Annotated[
        int | None, typer.Option(help="requests in flight above which it answers 429")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(help="requests above which it answers 429")
    ] = None,
    *,
    replica: Annotated[
        bool,
        typer.Option(help="batch continuously like an LLM server; no fixed latency"),
    ] = False,
) -> None:
    """Serve on loopback until interrupted. Prints the base URL. GET /v1/stats: the counts."""
    latency = lognormal(latency_mean_s, latency_sigma) if latency_mean_s else 0.0
    server = EndpointServer(
        latency=latency,
        replica=Replica() if replica else None,
        capacity=capacity,
        requests_per_minute=requests_per_minute,
        keep=False,
        port=port,
    )
    with server:
        print(server.base_url, flush=True)  # noqa: T201  the output of the command
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    typer.run(serve)
