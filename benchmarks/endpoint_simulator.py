"""The scenarios of the simulated endpoint, and its rows/s by fixed concurrency (virtual time).

One replica with continuous batching (``aiquery.testing.replica``): an iteration takes max(12 ms, 45 us x tokens)
+ 50 us x sequences, with at most 256 sequences, chunked prefill of 2,048 tokens and a block prefix cache.
The workload has 6,000 requests of 276 input tokens.

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


def draw_exponential(source):
    return source.expovariate(1 / 30)


def draw_heavy_tailed(source):
    return min(1000.0, source.lognormvariate(math.log(30) - 0.5 * 1.5**2, 1.5))


def make_works(shared_tokens=240, draw=draw_exponential, count=6000):
    return workload(count, shared_tokens=shared_tokens, draw=draw)


SCENARIOS = {
    "35 % prefix hits": (lambda: make_works(96), Endpoint),
    "86 % prefix hits": (make_works, Endpoint),
    "429 above 160 in flight": (make_works, lambda: Endpoint(capacity=lambda _: 160)),
    "429 above 160, then above 40": (make_works, lambda: Endpoint(capacity=lambda t: 160 if t < 12 else 40)),
    "capacity falls 4x": (make_works, lambda: Endpoint(replica=Replica(slowdown=lambda t: 1 if t < 15 else 4))),
    "capacity rises 4x": (make_works, lambda: Endpoint(replica=Replica(slowdown=lambda t: 4 if t < 40 else 1))),
    "2,400 requests/min": (make_works, lambda: Endpoint(requests_per_minute=2400)),
    "900,000 tokens/min": (make_works, lambda: Endpoint(tokens_per_minute=900_000)),
    "heavy-tailed answers": (lambda: make_works(96, draw_heavy_tailed), Endpoint),
}


def simulate_fixed(name, slots):
    make, make_endpoint = SCENARIOS[name]
    admission = Admission(FixedLimit(slots), make_unlimited_rates())
    return Simulation(admission, make_endpoint()).run(make())


def make_unlimited_rates():
    """Return rates that ignore the limits in headers, so that a fixed limit waits only after a 429."""
    rates = RateLimiter()
    rates.observe = lambda *_: None
    return rates


def simulate_adaptive(name):
    make, make_endpoint = SCENARIOS[name]
    rates = RateLimiter()

    def cost(work):
        if not rates.counts_tokens:
            return 0.0
        return 16 * len(work.blocks) + rates.output.expected(256)

    admission = Admission(AdaptiveLimit(), rates, cost=cost)
    return Simulation(admission, make_endpoint()).run(make())


def main():
    out = Table("scenario", *(f"{n:,}" for n in LEVELS))
    for name in SCENARIOS:
        results = [simulate_fixed(name, slots) for slots in LEVELS]
        out.add_row(name, *(f"{result.rows_per_s:.0f}" for result in results))
    Console(width=150).print(out)


if __name__ == "__main__":
    typer.run(main)
