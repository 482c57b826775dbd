"""``python -m aiquery.testing``: the test endpoint in a process of its own, for benchmarks and for a first try."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from aiquery.testing.answer import lognormal
from aiquery.testing.endpoint import EndpointServer
from aiquery.testing.replica import Replica


def serve(
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 0,
    latency_mean_s: Annotated[
        float, typer.Option(help="mean of the lognormal latency, seconds")
    ] = 0.0,
    latency_sigma: Annotated[
        float, typer.Option(help="sigma of the lognormal latency")
    ] = 0.6,
    capacity: Annotated[
        int | None, typer.Option(help="requests in flight above which it answers 429")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(help="above which it answers 429")
    ] = None,
    *,
    replica: Annotated[
        bool,
        typer.Option(
            help="batch continuously, as an LLM server does, instead of latencies"
        ),
    ] = False,
) -> None:
    """Serve on loopback until interrupted; prints its base URL. GET /v1/stats tells what was counted."""
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
        print(server.base_url, flush=True)  # noqa: T201  the output of this command
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    typer.run(serve)
