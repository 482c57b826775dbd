"""Several clients, one coordinator: limits, cooldown, rates and budget hold for all; a lost worker loses no slot."""

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
from aiquery.inference.cluster.messages import PermitReleased, PermitsGranted, RequestFailure
from aiquery.runtime.event_loop import event_loop
from aiquery.testing import Answer


def start_client(address, budget):
    coordinator_client = CoordinatorClient(address, "run", budget)
    return Client(clients.open_provider, None, budget, coordinator_client)


def submit(call, texts, client, context):
    return evaluate.submit_batch(call, [texts], client, context).column().to_pylist()


@pytest.fixture
def workers(coordinator):
    """Start clients of the coordinator; return them and a function that sends the rows of one."""
    opened = []

    def start(count, endpoint, budget=None):
        config = load({"endpoints": {"m": endpoint}, "budget": budget or {}, "cache": {"store": "memory:"}})
        address = CoordinatorAddress("127.0.0.1", coordinator.port, coordinator.token)
        started = [start_client(address, config.budget) for _ in range(count)]
        opened.extend(started)
        call = AI_QUERY.bind({"endpoint": "m"}, config)

        def query(worker, rows, contexts=None):
            context = evaluate.QueryContext(stop_on_error=True)
            if contexts is not None:
                contexts.append(context)
            texts = pa.array([f"{worker}-{i}" for i in range(rows)])
            return submit(call, texts, started[worker], context)

        return query, started

    yield start
    for client in opened:
        client.close()


def query_all(query, count, rows):
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda worker: query(worker, rows), range(count)))


def query_in_background(query, *args):
    def run():
        with suppress(AIQueryError):
            query(*args)

    threading.Thread(target=run, daemon=True).start()


def wait_for_in_flight(server, count):
    while server.in_flight < count:
        time.sleep(0.01)


def test_eight_workers_share_one_limit_and_use_it(workers, serve):
    server = serve(latency=0.05)
    query, _ = workers(8, server.endpoint(max_concurrency=16, hedge=False))
    answers = query_all(query, 8, 100)
    assert answers == [[f"echo: {w}-{i}" for i in range(100)] for w in range(8)]
    assert server.peak_in_flight == 16
    assert server.calls == 800


def test_every_worker_gets_its_turn(workers, serve):
    server = serve(latency=0.02)
    query, _ = workers(4, server.endpoint(max_concurrency=8, hedge=False))
    query_all(query, 4, 200)
    first = [prompt.partition("-")[0] for prompt in server.prompts[:400]]
    assert all(first.count(str(worker)) >= 40 for worker in range(4))


def test_retry_after_holds_for_all_workers(workers, serve):
    throttled = threading.Event()
    times = []

    def reply(question):
        times.append(time.monotonic())
        if question.prompt == "0-5" and not throttled.is_set():
            throttled.set()
            return Answer(status=429, headers={"Retry-After": "1"})
        return "ok"

    server = serve(reply, latency=0.02)
    query, _ = workers(4, server.endpoint(max_concurrency=4, hedge=False))
    began = time.monotonic()
    query_all(query, 4, 100)
    pairs = itertools.pairwise(sorted(times))
    longest_pause = max(later - earlier for earlier, later in pairs)
    assert longest_pause >= 0.8
    assert time.monotonic() - began >= 1.0
    assert server.statuses[429] == 1


def test_requests_per_minute_are_learned_once_for_all(workers, serve):
    server = serve(requests_per_minute=6000)
    query, _ = workers(4, server.endpoint(hedge=False))
    query_all(query, 4, 200)
    assert server.statuses[200] == 800
    assert server.statuses[429] <= 4


def test_all_workers_share_one_budget(workers, serve):
    server = serve(latency=0.002)
    endpoint = server.endpoint(max_concurrency=32, max_tokens=40, price={"input": 1.0, "output": 2.0}, hedge=False)
    query, _ = workers(4, endpoint, {"max_requests": 300})
    errors = []

    def reach_budget(worker):
        with pytest.raises(BudgetReached, match="max_requests = 300") as error:
            query(worker, 400)
        errors.append(error.value)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(reach_budget, range(4)))
    assert server.calls == 300
    assert len(errors) == 4


def test_a_cost_budget_is_never_exceeded(workers, serve):
    server = serve(latency=0.002)
    endpoint = server.endpoint(max_concurrency=32, max_tokens=40, price={"input": 1.0, "output": 2.0}, hedge=False)
    query, started = workers(4, endpoint, {"max_cost_usd": 0.004})

    def reach_budget(worker):
        with pytest.raises(BudgetReached):
            query(worker, 1000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(reach_budget, range(4)))
    totals = [client.ledger.totals for client in started]
    spent = sum(total["m"].cost_usd for total in totals if "m" in total)
    assert 0.0035 <= spent <= 0.004


def answer_slowly_to_the_first_worker(question):
    """Its first request, for whose answer the others wait, is quick."""
    is_slow = question.prompt.startswith("0") and question.number
    return Answer(latency_s=30.0 if is_slow else 0.0, text="ok")


def test_the_permits_of_a_lost_worker_are_free(workers, serve):
    server = serve(answer_slowly_to_the_first_worker)
    query, started = workers(2, server.endpoint(max_concurrency=4, hedge=False))
    query_in_background(query, 0, 50)
    wait_for_in_flight(server, 4)
    event_loop().call(started[0].coordinator._connection.abort)
    assert query(1, 20) == ["ok"] * 20


def test_a_cancelled_query_releases_its_permits(workers, serve):
    server = serve(answer_slowly_to_the_first_worker)
    query, started = workers(2, server.endpoint(max_concurrency=4, hedge=False))
    contexts = []
    query_in_background(query, 0, 50, contexts)
    wait_for_in_flight(server, 4)
    started[0].cancel(contexts[0])
    assert query(1, 20) == ["ok"] * 20


def test_the_error_of_a_lost_coordinator_names_the_option_to_set(workers, coordinator, serve):
    server = serve(lambda _: Answer(latency_s=30.0))
    query, _ = workers(1, server.endpoint(max_concurrency=4))
    threading.Timer(0.5, lambda: event_loop().start(coordinator.stop())).start()
    with pytest.raises(CoordinatorLost, match=r"spark\.aiquery\.coordinator"):
        query(0, 10)


def test_a_malformed_message_of_the_coordinator_ends_the_query(workers, coordinator, serve):
    server = serve(lambda _: Answer(latency_s=30.0))
    query, _ = workers(1, server.endpoint(max_concurrency=4))

    def send_malformed_message():
        (worker,) = coordinator._workers
        unknown_channel = PermitsGranted(channel=99, permit=1, tokens=1.0, max_tokens=0.0, max_usd=0.0)
        worker.send(unknown_channel)

    threading.Timer(0.5, lambda: event_loop().call(send_malformed_message)).start()
    with pytest.raises(CoordinatorLost):
        query(0, 10)


def test_a_worker_that_sends_a_malformed_message_is_dropped_and_others_continue(workers, coordinator, serve):
    server = serve(answer_slowly_to_the_first_worker)
    query, started = workers(2, server.endpoint(max_concurrency=4, hedge=False))
    query_in_background(query, 0, 50)
    wait_for_in_flight(server, 4)
    unknown_permit = PermitReleased(permit=10_000, how="ended")
    event_loop().call(lambda: started[0].coordinator.send(unknown_permit))
    assert query(1, 20) == ["ok"] * 20


def test_a_client_with_a_wrong_token_is_rejected(coordinator, serve):
    server = serve()
    config = load({"endpoints": {"m": server.endpoint()}, "cache": {"store": "memory:"}})
    wrong = CoordinatorAddress("127.0.0.1", coordinator.port, "wrong")
    client = start_client(wrong, None)
    call = AI_QUERY.bind({"endpoint": "m"}, config)
    with pytest.raises(CoordinatorLost):
        submit(call, pa.array(["x"]), client, evaluate.QueryContext())
    client.close()
    assert server.calls == 0


def test_a_request_that_failed_in_one_worker_is_not_sent_by_another_of_the_statement(workers, serve):
    server = serve(lambda q: Answer(status=400) if q.prompt == "bad" else Answer())
    endpoint = server.endpoint(max_concurrency=4, hedge=False)
    _, (first, second) = workers(2, endpoint)
    config = load({"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}})
    call = AI_QUERY.bind({"endpoint": "m", "failOnError": False}, config)

    def query(client, statement):
        failures = client.failures.of(statement)
        context = evaluate.QueryContext(statement=statement, failures=failures)
        return submit(call, pa.array(["bad", "good"]), client, context)

    failed = query(first, "one")
    assert failed[0]["errorMessage"] is not None
    # the coordinator reports the failure before it grants the first permit
    assert query(second, "one") == failed
    assert server.calls_by_prompt["bad"] == 1
    query(second, "another")
    assert server.calls_by_prompt["bad"] == 2


def test_a_worker_that_comes_late_receives_the_failures_of_many_statements(workers, coordinator, serve):
    server = serve(lambda q: Answer(status=400) if q.prompt == "bad" else Answer())
    endpoint = server.endpoint(max_concurrency=4, hedge=False)
    _, (first, second) = workers(2, endpoint)
    config = load({"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}})
    call = AI_QUERY.bind({"endpoint": "m", "failOnError": False}, config)

    for i in range(6_000):
        failure = RequestFailure(f"statement {i}", b"key", "RequestFailed", "no " * 1_000)
        coordinator._failures.append(failure)
    for client in (first, second):
        failures = client.failures.of("held")
        context = evaluate.QueryContext(statement="held", failures=failures)
        submit(call, pa.array(["bad"]), client, context)
    assert server.calls_by_prompt["bad"] == 1


def refuse_temperature(question):
    if "temperature" in question.body:
        return Answer(status=400, body=b'{"error": {"message": "Unsupported parameter: temperature"}}')
    return Answer()


def test_a_parameter_that_the_model_rejects_costs_the_cluster_one_request(workers, serve):
    server = serve(refuse_temperature, latency=0.02)
    query, _ = workers(8, server.endpoint(hedge=False))
    answers = query_all(query, 8, 100)
    assert {len(set(column)) for column in answers} == {100}
    assert server.statuses == {200: 800, 400: 1}


def test_a_worker_that_joins_later_knows_it(workers, serve):
    server = serve(refuse_temperature)
    first, _ = workers(1, server.endpoint(hedge=False))
    first(0, 10)
    second, _ = workers(1, server.endpoint(hedge=False))
    second(0, 10)
    assert server.statuses == {200: 10 + 10, 400: 1}


def test_what_one_model_rejects_is_sent_to_another(workers, serve):
    """An endpoint may have another model in the next session."""

    def answer(question):
        return refuse_temperature(question) if question.body["model"] == "old" else Answer()

    server = serve(answer)
    for model in ("old", "new"):
        query, _ = workers(2, {**server.endpoint(hedge=False), "model": model})
        query_all(query, 2, 10)
    assert all("temperature" in question.body for question in server.requests if question.body["model"] == "new")
    assert server.statuses == {200: 40, 400: 1}


def test_the_turn_of_a_worker_that_is_lost_goes_to_the_next(workers, serve):
    reached = threading.Event()

    def answer(question):
        if question.prompt.startswith("0-"):
            reached.set()
            return Answer(latency_s=60.0)
        return refuse_temperature(question)

    server = serve(answer)
    query, started = workers(3, server.endpoint(hedge=False))
    query_in_background(query, 0, 5)
    assert reached.wait(10)
    assert server.calls == 1
    answers = []
    threads = [threading.Thread(target=lambda one=one: answers.append(query(one, 20)), daemon=True) for one in (1, 2)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    assert server.calls == 1, "the others wait for the first request"
    started[0].close()
    for thread in threads:
        thread.join(20)
    assert [len(column) for column in answers] == [20, 20]
    assert server.statuses[400] == 1


def test_without_a_coordinator_no_request_waits_for_its_turn(workers, serve, coordinator):
    """Requests with a permit go on, the others end with the error of the coordinator."""
    server = serve(lambda _: Answer(latency_s=1.0))
    query, _ = workers(2, server.endpoint(hedge=False))
    ended = []

    def run(worker):
        try:
            ended.append(len(query(worker, 5)))
        except CoordinatorLost:
            ended.append("lost")

    threads = [threading.Thread(target=run, args=(worker,), daemon=True) for worker in range(2)]
    for thread in threads:
        thread.start()
    while not server.calls:
        time.sleep(0.01)
    event_loop().start(coordinator.stop()).result()
    for thread in threads:
        thread.join(20)
    assert len(ended) == 2
    assert set(ended) <= {5, "lost"}
