"""Many runs, one coordinator: limits, gate, rates and budget hold over all, and nothing is lost with a worker."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pyarrow as pa
import pytest

from aiquery import clients, evaluate
from aiquery.config.environment import CoordinatorAddress
from aiquery.config.loader import load
from aiquery.errors import AIQueryError, BudgetReached, CoordinatorLost
from aiquery.functions.ai_query import AI_QUERY
from aiquery.inference.client import Client
from aiquery.inference.cluster.client import CoordinatorClient
from aiquery.inference.cluster.coordinator import Coordinator
from aiquery.inference.cluster.messages import (
    PermitReleased,
    PermitsGranted,
    RequestFailure,
)
from aiquery.runtime.event_loop import event_loop
from aiquery.testing import Answer


@pytest.fixture
def coordinator():
    coordinator = Coordinator()
    event_loop().start(coordinator.start("127.0.0.1")).result()
    yield coordinator
    event_loop().start(coordinator.stop()).result()


@pytest.fixture
def workers(coordinator):
    """Start runs that are members; each asks its own rows."""
    runs = []

    def start(count, endpoint, budget=None):
        config = load(
            {
                "endpoints": {"m": endpoint},
                "budget": budget or {},
                "cache": {"store": "memory:"},
            }
        )
        place = CoordinatorAddress("127.0.0.1", coordinator.port, coordinator.token)
        started = [
            Client(
                clients.open_provider,
                None,
                config.budget,
                CoordinatorClient(place, "run", config.budget),
            )
            for _ in range(count)
        ]
        runs.extend(started)
        call = AI_QUERY.bind({"endpoint": "m"}, config)

        def ask(worker, rows, keep=None):
            context = evaluate.QueryContext(stop_on_error=True)
            if keep is not None:
                keep.append(context)
            texts = pa.array([f"{worker}-{i}" for i in range(rows)])
            return (
                evaluate.submit_batch(call, [texts], started[worker], context)
                .column()
                .to_pylist()
            )

        return ask, started

    yield start
    for run in runs:
        run.close()


def at_once(ask, count, rows):
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda worker: ask(worker, rows), range(count)))


def lose(ask, *args):
    def run():
        with suppress(AIQueryError):
            ask(*args)

    threading.Thread(target=run, daemon=True).start()


def test_eight_workers_share_one_limit_and_use_it(workers, serve):
    server = serve(latency=0.05)
    ask, _ = workers(8, server.endpoint(max_concurrency=16, hedge=False))
    answers = at_once(ask, 8, 100)
    assert answers == [[f"echo: {w}-{i}" for i in range(100)] for w in range(8)]
    assert server.peak_in_flight == 16
    assert server.calls == 800


def test_every_worker_gets_its_turn(workers, serve):
    server = serve(latency=0.02)
    ask, _ = workers(4, server.endpoint(max_concurrency=8, hedge=False))
    at_once(ask, 4, 200)
    first = [prompt.partition("-")[0] for prompt in server.prompts[:400]]
    assert all(first.count(str(worker)) >= 40 for worker in range(4))


def test_a_pause_that_one_is_asked_for_holds_for_all(workers, serve):
    throttled, times = threading.Event(), []

    def reply(question):
        times.append(time.monotonic())
        if question.prompt == "0-5" and not throttled.is_set():
            throttled.set()
            return Answer(status=429, headers={"Retry-After": "1"})
        return "ok"

    server = serve(reply, latency=0.02)
    ask, _ = workers(4, server.endpoint(max_concurrency=4, hedge=False))
    began = time.monotonic()
    at_once(ask, 4, 100)
    longest = max(
        later - earlier for earlier, later in itertools.pairwise(sorted(times))
    )
    assert longest >= 0.8
    assert time.monotonic() - began >= 1.0
    assert server.statuses[429] == 1


def test_requests_per_minute_are_learned_once_for_all(workers, serve):
    server = serve(requests_per_minute=6000)
    ask, _ = workers(4, server.endpoint(hedge=False))
    at_once(ask, 4, 200)
    assert server.statuses[200] == 800
    assert server.statuses[429] <= 4


def test_a_budget_is_one_for_all(workers, serve):
    server = serve(latency=0.002)
    endpoint = server.endpoint(
        max_concurrency=32,
        max_tokens=40,
        price={"input": 1.0, "output": 2.0},
        hedge=False,
    )
    ask, _ = workers(4, endpoint, {"max_requests": 300})
    errors = []

    def until_refused(worker):
        with pytest.raises(BudgetReached, match="max_requests = 300") as error:
            ask(worker, 400)
        errors.append(error.value)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(until_refused, range(4)))
    assert server.calls == 300
    assert len(errors) == 4


def test_a_cost_budget_is_never_exceeded(workers, serve):
    server = serve(latency=0.002)
    endpoint = server.endpoint(
        max_concurrency=32,
        max_tokens=40,
        price={"input": 1.0, "output": 2.0},
        hedge=False,
    )
    ask, started = workers(4, endpoint, {"max_cost_usd": 0.004})

    def until_refused(worker):
        with pytest.raises(BudgetReached):
            ask(worker, 1000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(until_refused, range(4)))
    spent = sum(
        run.ledger.totals["m"].cost_usd for run in started if "m" in run.ledger.totals
    )
    assert 0.0035 <= spent <= 0.004


def test_what_a_lost_worker_held_is_free(workers, serve):
    server = serve(
        lambda q: Answer(latency_s=30.0 if q.prompt.startswith("0") else 0.0, text="ok")
    )
    ask, started = workers(2, server.endpoint(max_concurrency=4, hedge=False))
    lose(ask, 0, 50)
    while server.in_flight < 4:
        time.sleep(0.01)
    event_loop().call(started[0].coordinator._connection.abort)
    assert ask(1, 20) == ["ok"] * 20


def test_a_cancelled_query_gives_its_permits_back(workers, serve):
    server = serve(
        lambda q: Answer(latency_s=30.0 if q.prompt.startswith("0") else 0.0, text="ok")
    )
    ask, started = workers(2, server.endpoint(max_concurrency=4, hedge=False))
    contexts = []
    lose(ask, 0, 50, contexts)
    while server.in_flight < 4:
        time.sleep(0.01)
    started[0].cancel(contexts[0])
    assert ask(1, 20) == ["ok"] * 20


def test_without_its_coordinator_a_worker_says_what_to_do(workers, coordinator, serve):
    server = serve(lambda _: Answer(latency_s=30.0))
    ask, _ = workers(1, server.endpoint(max_concurrency=4))
    threading.Timer(0.5, lambda: event_loop().start(coordinator.stop())).start()
    with pytest.raises(CoordinatorLost, match=r"spark\.aiquery\.coordinator"):
        ask(0, 10)


def test_nonsense_ends_the_query_with_an_error(workers, coordinator, serve):
    server = serve(lambda _: Answer(latency_s=30.0))
    ask, _ = workers(1, server.endpoint(max_concurrency=4))

    def say_nonsense():
        (worker,) = coordinator._workers
        worker.send(
            PermitsGranted(
                channel=99, permit=1, tokens=1.0, max_tokens=0.0, max_usd=0.0
            )
        )

    threading.Timer(0.5, lambda: event_loop().call(say_nonsense)).start()
    with pytest.raises(CoordinatorLost):
        ask(0, 10)


def test_a_worker_that_talks_nonsense_is_dropped_and_the_others_go_on(
    workers, coordinator, serve
):
    server = serve(
        lambda q: Answer(latency_s=30.0 if q.prompt.startswith("0") else 0.0, text="ok")
    )
    ask, started = workers(2, server.endpoint(max_concurrency=4, hedge=False))
    lose(ask, 0, 50)
    while server.in_flight < 4:
        time.sleep(0.01)
    event_loop().call(
        lambda: started[0].coordinator.send(PermitReleased(permit=10_000, how="ended"))
    )
    assert ask(1, 20) == ["ok"] * 20


def test_a_stranger_is_not_served(coordinator, serve):
    server = serve()
    config = load(
        {"endpoints": {"m": server.endpoint()}, "cache": {"store": "memory:"}}
    )
    run = Client(
        clients.open_provider,
        None,
        None,
        CoordinatorClient(
            CoordinatorAddress("127.0.0.1", coordinator.port, "wrong"), "run", None
        ),
    )
    with pytest.raises(CoordinatorLost):
        evaluate.submit_batch(
            AI_QUERY.bind({"endpoint": "m"}, config),
            [pa.array(["x"])],
            run,
            evaluate.QueryContext(),
        ).column()
    run.close()
    assert server.calls == 0


def test_what_failed_in_one_worker_is_not_asked_by_another_of_the_same_statement(
    workers, serve
):
    server = serve(lambda q: Answer(status=400) if q.prompt == "bad" else Answer())
    endpoint = server.endpoint(max_concurrency=4, hedge=False)
    _, (first, second) = workers(2, endpoint)
    config = load({"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}})
    call = AI_QUERY.bind({"endpoint": "m", "failOnError": False}, config)

    def ask(run, statement):
        context = evaluate.QueryContext(
            statement=statement, failures=run.failures.of(statement)
        )
        return (
            evaluate.submit_batch(call, [pa.array(["bad", "good"])], run, context)
            .column()
            .to_pylist()
        )

    failed = ask(first, "one")
    assert failed[0]["errorMessage"] is not None
    assert ask(second, "one") == failed  # it was told before it got its first permit
    assert server.calls_by_prompt["bad"] == 1
    ask(second, "another")
    assert server.calls_by_prompt["bad"] == 2


def test_a_worker_that_comes_late_is_told_of_failures_in_many_statements(
    workers, coordinator, serve
):
    server = serve(lambda q: Answer(status=400) if q.prompt == "bad" else Answer())
    endpoint = server.endpoint(max_concurrency=4, hedge=False)
    _, (first, second) = workers(2, endpoint)
    config = load({"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}})
    call = AI_QUERY.bind({"endpoint": "m", "failOnError": False}, config)

    def ask(run, statement, context):
        evaluate.submit_batch(call, [pa.array(["bad"])], run, context).column()

    for i in range(6_000):
        coordinator._failures.append(
            RequestFailure(f"statement {i}", b"key", "RequestFailed", "no " * 1_000)
        )
    ask(
        first,
        "held",
        evaluate.QueryContext(statement="held", failures=first.failures.of("held")),
    )
    ask(
        second,
        "held",
        evaluate.QueryContext(statement="held", failures=second.failures.of("held")),
    )
    assert server.calls_by_prompt["bad"] == 1
