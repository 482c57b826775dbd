"""Recovery from trouble in virtual time: each scenario beside the best schedule that there could be."""

import math
import random

import pytest

from aiquery.inference.scheduling.admission import Admission
from aiquery.inference.scheduling.concurrency import AdaptiveLimit, CappedLimit
from aiquery.inference.scheduling.rate_limit import RateLimiter
from aiquery.testing.simulator import Endpoint, Fault, Simulation, Work

TAKES_S = 0.2
PLACES = 64
ROWS = 16_000


def works(count=ROWS):
    return [Work([], 10) for _ in range(count)]


def within(start, end, fault):
    return lambda now, _: fault if start <= now < end else None


def at_random(share, fault):
    source = random.Random(5)
    return lambda *_: fault if source.random() < share else None


def poisoned(fault, rows=1):
    marked = {}
    return lambda _, work: (
        fault if marked.setdefault(work, len(marked)) < rows else None
    )


def ideal_s(idle=0.0, rows=ROWS, slots=PLACES, takes_s=TAKES_S):
    """Return how long it takes when every place is used all the time but for ``idle`` seconds."""
    return math.ceil(rows / slots) * takes_s + idle


# name -> (endpoint, seconds of the best schedule, requests that an event or chance costs at least)
SCENARIOS = {
    "503 for 1.5 s": (
        lambda: Endpoint(faults=within(5, 6.5, Fault(503))),
        ideal_s(1.5),
        PLACES,
    ),
    "503 for 10 s": (
        lambda: Endpoint(faults=within(5, 15, Fault(503))),
        ideal_s(10),
        PLACES,
    ),
    "slow 503 for 4 s": (
        lambda: Endpoint(faults=within(5, 9, Fault(503, after_s=0.3))),
        ideal_s(4),
        PLACES,
    ),
    "429 for 3 s": (
        lambda: Endpoint(faults=within(5, 8, Fault(429))),
        ideal_s(3),
        PLACES,
    ),
    "429 with Retry-After": (
        lambda: Endpoint(faults=within(5, 8, Fault(429, wait_s=3.0))),
        ideal_s(3),
        PLACES,
    ),
    "reset for 8 s": (
        lambda: Endpoint(faults=within(5, 13, Fault(0))),
        ideal_s(8),
        PLACES,
    ),
    "502 by a proxy for 8 s": (
        lambda: Endpoint(faults=within(5, 13, Fault(502)), drops=[5]),
        ideal_s(8.2),
        2 * PLACES,
    ),
    "all connections dropped": (lambda: Endpoint(drops=[5]), ideal_s(0.2), PLACES),
    "dropped three times": (
        lambda: Endpoint(drops=[5, 6, 20]),
        ideal_s(0.6),
        3 * PLACES,
    ),
    "30 % random 503": (
        lambda: Endpoint(faults=at_random(0.3, Fault(503, after_s=TAKES_S))),
        ideal_s() / 0.7,
        ROWS * 0.3 / 0.7,
    ),
    "a quarter of the capacity for 20 s": (
        lambda: Endpoint(capacity=lambda t: PLACES // 4 if 10 <= t < 30 else PLACES),
        ideal_s(15),
        PLACES,
    ),
    "ten times slower for 10 s": (Endpoint, ideal_s(9), 0),
    "poisoned rows": (
        lambda: Endpoint(faults=poisoned(Fault(0), rows=3)),
        ideal_s(),
        12,
    ),
    "slow close": (
        lambda: Endpoint(faults=within(5, 7, Fault(0, after_s=1.0))),
        ideal_s(3),
        2 * PLACES,
    ),
}


def run(name, limit):
    endpoint, chance = SCENARIOS[name][0](), random.Random(3)
    slow = (lambda t: 10 if 5 <= t < 15 else 1) if "slower" in name else lambda _: 1
    endpoint.takes_s = lambda t: TAKES_S * slow(t) * chance.uniform(0.7, 1.3)
    return Simulation(Admission(limit, RateLimiter()), endpoint).run(works())


@pytest.mark.parametrize(
    "limit",
    [lambda: CappedLimit(PLACES), lambda: AdaptiveLimit(PLACES, PLACES)],
    ids=["set", "searched"],
)
@pytest.mark.parametrize("name", SCENARIOS)
def test_nine_tenths_of_the_best_schedule(name, limit):
    _, best_s, events = SCENARIOS[name]
    found = run(name, limit())
    assert found.lost == (3 if "poisoned" in name else 0)
    assert found.seconds <= best_s / 0.9
    assert found.resent <= 0.1 + events / ROWS
