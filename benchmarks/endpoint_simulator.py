"""The scenarios of the simulated endpoint, and its rows/s by fixed concurrency (virtual time).

One replica that batches continuously (``aiquery.testing.replica``): an iteration takes max(12 ms, 45 us x tokens)
+ 50 us x sequences, 256 sequences at most, chunked prefill of 2,048 tokens, block prefix cache;
6,000 requests of 276 tokens in.

    python benchmarks/endpoint_simulator.py
"""

import math

import typer
from rich.console import Console
from rich.table import Table

from aiquery.inference.scheduling.admission import Admission
from aiquery.inference.scheduling.concurrency import AdaptiveLimit, FixedLimit
from aiquery.inference.scheduling.rate_limit import RateLimiter
from aiquery.testing.replica import Replica
from aiquery.testing.simulator import Endpoint, Simulation, workload

LEVELS = (1, 8, 16, 32, 64, 96, 128, 160, 192, 256, 384, 512, 1024)


def exponential(source):
    return source.expovariate(1 / 30)


def heavy_tailed(source):
    return min(1000.0, source.lognormvariate(math.log(30) - 0.5 * 1.5**2, 1.5))


def works(shared_tokens=240, draw=exponential, count=6000):
    return workload(count, shared_tokens=shared_tokens, draw=draw)


SCENARIOS = {
    "35 % prefix hits": (lambda: works(96), Endpoint),
    "86 % prefix hits": (works, Endpoint),
    "429 above 160 in flight": (works, lambda: Endpoint(capacity=lambda _: 160)),
    "429 above 160, then above 40": (
        works,
        lambda: Endpoint(capacity=lambda t: 160 if t < 12 else 40),
    ),
    "capacity falls 4x": (
        works,
        lambda: Endpoint(replica=Replica(slowdown=lambda t: 1 if t < 15 else 4)),
    ),
    "capacity rises 4x": (
        works,
        lambda: Endpoint(replica=Replica(slowdown=lambda t: 4 if t < 40 else 1)),
    ),
    "2,400 requests/min": (works, lambda: Endpoint(requests_per_minute=2400)),
    "900,000 tokens/min": (works, lambda: Endpoint(tokens_per_minute=900_000)),
    "heavy-tailed answers": (lambda: works(96, heavy_tailed), Endpoint),
}


def with_fixed(name, places):
    make, endpoint = SCENARIOS[name]
    return Simulation(Admission(FixedLimit(places), silent_rates()), endpoint()).run(
        make()
    )


def silent_rates():
    """A client that knows no limits: the fixed ones of the sweep wait only when they are told to."""
    rates = RateLimiter()
    rates.observe = lambda *_: None
    return rates


def with_seeking(name):
    make, endpoint = SCENARIOS[name]
    rates = RateLimiter()
    cost = lambda work: (  # noqa: E731
        16 * len(work.blocks) + rates.output.expected(256)
        if rates.counts_tokens
        else 0.0
    )
    return Simulation(Admission(AdaptiveLimit(), rates, cost=cost), endpoint()).run(
        make()
    )


def main():
    out = Table("scenario", *(f"{n:,}" for n in LEVELS))
    for name in SCENARIOS:
        out.add_row(name, *(f"{with_fixed(name, n).rows_per_s:.0f}" for n in LEVELS))
    Console(width=150).print(out)


if __name__ == "__main__":
    typer.run(main)
