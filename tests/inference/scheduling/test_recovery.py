"""Recovery from faults in virtual time: each scenario is compared with the best possible schedule."""

import math
import random

import pytest

from aiquery.inference.scheduling.admission import Admission
from aiquery.inference.scheduling.concurrency import AdaptiveLimit, CappedLimit
from aiquery.inference.scheduling.rate_limit import RateLimiter
from aiquery.testing.simulator import Endpoint, Fault, Simulation, Work

ATTEMPT_S = 0.2
SLOTS = 64
ROWS = 16_000


def fail_within(start, end, fault):
    return lambda now, _: fault if start <= now < end else None


def fail_at_random(share, fault):
    source = random.Random(5)
    return lambda *_: fault if source.random() < share else None


def fail_first_rows(fault, rows=1):
    seen = {}
    return lambda _, work: fault if seen.setdefault(work, len(seen)) < rows else None


def compute_ideal_s(idle=0.0, rows=ROWS, slots=SLOTS, attempt_s=ATTEMPT_S):
    """Return the seconds that the rows take if every slot is used all the time except for ``idle`` seconds."""
    return math.ceil(rows / slots) * attempt_s + idle


# name -> (endpoint, seconds of the best schedule, least number of requests that the fault costs)
SCENARIOS = {
    "503 for 1.5 s": (lambda: Endpoint(faults=fail_within(5, 6.5, Fault(503))), compute_ideal_s(1.5), SLOTS),
    "503 for 10 s": (lambda: Endpoint(faults=fail_within(5, 15, Fault(503))), compute_ideal_s(10), SLOTS),
    "slow 503 for 4 s": (
        lambda: Endpoint(faults=fail_within(5, 9, Fault(503, after_s=0.3))),
        compute_ideal_s(4),
        SLOTS,
    ),
    "429 for 3 s": (lambda: Endpoint(faults=fail_within(5, 8, Fault(429))), compute_ideal_s(3), SLOTS),
    "429 with Retry-After": (
        lambda: Endpoint(faults=fail_within(5, 8, Fault(429, wait_s=3.0))),
        compute_ideal_s(3),
        SLOTS,
    ),
    "reset for 8 s": (lambda: Endpoint(faults=fail_within(5, 13, Fault(0))), compute_ideal_s(8), SLOTS),
    "502 by a proxy for 8 s": (
        lambda: Endpoint(faults=fail_within(5, 13, Fault(502)), drops=[5]),
        compute_ideal_s(8.2),
        2 * SLOTS,
    ),
    "all connections dropped": (lambda: Endpoint(drops=[5]), compute_ideal_s(0.2), SLOTS),
    "dropped three times": (lambda: Endpoint(drops=[5, 6, 20]), compute_ideal_s(0.6), 3 * SLOTS),
    "30 % random 503": (
        lambda: Endpoint(faults=fail_at_random(0.3, Fault(503, after_s=ATTEMPT_S))),
        compute_ideal_s() / 0.7,
        ROWS * 0.3 / 0.7,
    ),
    "a quarter of the capacity for 20 s": (
        lambda: Endpoint(capacity=lambda t: SLOTS // 4 if 10 <= t < 30 else SLOTS),
        compute_ideal_s(15),
        SLOTS,
    ),
    "ten times slower for 10 s": (Endpoint, compute_ideal_s(9), 0),
    "poisoned rows": (lambda: Endpoint(faults=fail_first_rows(Fault(0), rows=3)), compute_ideal_s(), 12),
    "slow close": (lambda: Endpoint(faults=fail_within(5, 7, Fault(0, after_s=1.0))), compute_ideal_s(3), 2 * SLOTS),
}


def simulate(name, limit):
    make_endpoint, _, _ = SCENARIOS[name]
    endpoint = make_endpoint()
    chance = random.Random(3)
    is_slow = "slower" in name

    def takes_s(now):
        factor = 10 if is_slow and 5 <= now < 15 else 1
        return ATTEMPT_S * factor * chance.uniform(0.7, 1.3)

    endpoint.takes_s = takes_s
    works = [Work(blocks=[], tokens_out=10) for _ in range(ROWS)]
    return Simulation(Admission(limit, RateLimiter()), endpoint).run(works)


@pytest.mark.parametrize(
    "make_limit", [lambda: CappedLimit(SLOTS), lambda: AdaptiveLimit(SLOTS, SLOTS)], ids=["configured", "adaptive"]
)
@pytest.mark.parametrize("name", SCENARIOS)
def test_recovery_reaches_nine_tenths_of_the_best_schedule(name, make_limit):
    _, best_s, min_resent = SCENARIOS[name]
    result = simulate(name, make_limit())
    assert result.lost == (3 if name == "poisoned rows" else 0)
    assert result.seconds <= best_s / 0.9
    assert result.resent <= 0.1 + min_resent / ROWS
