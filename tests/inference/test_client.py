"""The client in virtual time, with the fake provider: what is sent once, stored, cancelled, and over the budget."""

import asyncio

import pytest
from scripted import ScriptedProvider, make_endpoint, make_future, make_requests, make_template, rejection
from virtual_time import run, until

from aiquery.config.budget import Budget
from aiquery.errors import BudgetReached, Cancelled, ConfigError
from aiquery.inference.client import Client
from aiquery.inference.query_context import QueryContext


class Bench:
    """A client whose endpoint is a scripted fake provider."""

    def __init__(self, script=(), wait_s=1.0, budget=None, **settings):
        self.endpoint = make_endpoint(**settings)
        self.provider = ScriptedProvider(self.endpoint, script, wait_s)
        self.client = Client(self._open_provider, budget=budget)
        self.template = make_template(self.endpoint)
        self.loop = asyncio.get_running_loop()
        self.opened = 0

    async def _open_provider(self, endpoint):
        assert endpoint is self.endpoint
        self.opened += 1
        return self.provider

    def submit(self, count, context=None, template=None, **settings):
        requests = make_requests(template or self.template, count)
        future = make_future(count, context, **settings)
        self.client.submit(self.endpoint, requests, future)
        return future

    async def finish(self, *futures):
        await until(lambda: all(future.done() for future in futures))
        await self.close()

    async def close(self):
        await self.client._close()


def values(future):
    return [outcome.value for outcome in future.wait()]


def test_equal_requests_in_flight_are_sent_once(monkeypatch):
    async def scenario():
        bench = Bench()
        futures = [bench.submit(10), bench.submit(10)]
        await bench.finish(*futures)
        return bench, futures

    bench, futures = run(monkeypatch, scenario)
    assert bench.provider.calls == 10
    assert bench.opened == 1
    assert values(futures[0]) == values(futures[1]) == [f"echo: text {i}" for i in range(10)]


def test_a_cached_answer_is_not_sent_again(monkeypatch):
    async def scenario():
        bench = Bench()
        first = bench.submit(10)
        await until(first.done)
        second = bench.submit(15)
        await bench.finish(second)
        return bench, second

    bench, second = run(monkeypatch, scenario)
    assert bench.provider.calls == 15
    assert len(values(second)) == 15
    assert bench.client.waiting_bytes == 0


def test_requests_that_must_not_be_cached_are_sent_each(monkeypatch):
    async def scenario():
        bench = Bench()
        template = make_template(bench.endpoint, cacheable=False)
        futures = [bench.submit(3, template=template) for _ in range(2)]
        await bench.finish(*futures)
        return bench

    assert run(monkeypatch, scenario).provider.calls == 6


def test_a_failed_request_is_sent_once_per_statement(monkeypatch):
    async def scenario():
        bench = Bench([rejection(), rejection()])
        context = QueryContext()
        first = bench.submit(1, context, strict=False)
        await until(first.done)
        again = bench.submit(1, context, strict=False)
        await until(again.done)
        other = bench.submit(1, strict=False)
        await until(other.done)
        third = bench.submit(1, strict=False)
        await bench.finish(third)
        return bench, [first, again, other, third]

    bench, futures = run(monkeypatch, scenario)
    errors = [future.wait()[0].error for future in futures]
    assert errors[0] is errors[1]
    assert errors[2] is not errors[0]
    assert errors[3] is None  # a failure is not cached for later statements
    assert bench.provider.calls == 3


def test_a_failed_row_stops_the_requests_of_its_statement_that_wait(monkeypatch):
    async def scenario():
        bench = Bench([rejection()], max_concurrency=2)
        stopped = bench.submit(100, QueryContext(stop_on_error=True))
        await until(stopped.done)
        other = bench.submit(4)
        await bench.finish(other)
        return bench, stopped, other

    bench, stopped, other = run(monkeypatch, scenario)
    assert bench.provider.calls <= 3 + 4
    assert sum(outcome.error is not None for outcome in stopped.wait()) >= 97
    assert all(outcome.error is None for outcome in other.wait())


def test_cancelling_a_statement_drops_only_its_own_requests(monkeypatch):
    async def scenario():
        bench = Bench(max_concurrency=2)
        cancelled = QueryContext()
        first = bench.submit(50, cancelled)
        second = bench.submit(5)
        await asyncio.sleep(0.5)
        bench.client.cancel(cancelled)
        await bench.finish(second, first)
        return bench, first, second

    bench, first, second = run(monkeypatch, scenario)
    assert bench.provider.calls == 5
    assert values(second) == [f"echo: text {i}" for i in range(5)]
    with pytest.raises(Cancelled):
        first.wait()


def test_cancelling_the_only_statement_ends_its_attempts_in_flight(monkeypatch):
    async def scenario():
        bench = Bench(wait_s=1000.0)
        context = QueryContext()
        future = bench.submit(4, context)
        await asyncio.sleep(1.0)
        assert bench.provider.in_flight == 4
        bench.client.cancel(context)
        await until(future.done)
        await asyncio.sleep(0.0)
        left = bench.provider.in_flight
        await bench.close()
        return bench, left

    bench, left = run(monkeypatch, scenario)
    assert left == 0
    assert bench.loop.time() < 2.0


def test_a_budget_rejects_what_is_over_it(monkeypatch):
    async def scenario():
        bench = Bench(budget=Budget(max_requests=3))
        future = bench.submit(10)
        await bench.finish(future)
        return bench, future

    bench, future = run(monkeypatch, scenario)
    assert bench.provider.calls == 3
    with pytest.raises(BudgetReached, match="max_requests = 3"):
        future.wait()


def test_a_request_over_the_budget_is_null_where_the_call_says_so(monkeypatch):
    async def scenario():
        bench = Bench(budget=Budget(max_requests=3))
        future = bench.submit(10, null_on_budget=True)
        await bench.finish(future)
        return bench, future

    bench, future = run(monkeypatch, scenario)
    assert sum(value is not None for value in values(future)) == 3
    assert bench.provider.calls == 3


def test_an_endpoint_that_cannot_be_opened_ends_the_statement(monkeypatch):
    async def scenario():
        bench = Bench()

        async def fail(endpoint):
            raise ConfigError(f"endpoint {endpoint.name!r} has no model file")

        bench.client._workers._open_provider = fail
        future = bench.submit(3)
        await bench.finish(future)
        return future

    future = run(monkeypatch, scenario)
    with pytest.raises(ConfigError, match="no model file"):
        future.wait()


def test_an_endpoint_is_opened_again_after_it_could_not_be_opened(monkeypatch):
    async def scenario():
        bench = Bench()
        opening = bench.client._workers._open_provider

        async def fail(endpoint):
            raise ConfigError("not yet")

        bench.client._workers._open_provider = fail
        first = bench.submit(1)
        await until(first.done)
        bench.client._workers._open_provider = opening
        second = bench.submit(1)
        await bench.finish(second)
        return second

    assert values(run(monkeypatch, scenario)) == ["echo: text 0"]


def test_every_attempt_is_in_the_ledger(monkeypatch):
    async def scenario():
        bench = Bench([rejection()])
        future = bench.submit(5, strict=False)
        await until(future.done)
        endings = [attempt.ending for attempt in bench.client.ledger.attempts()]
        await bench.close()
        return endings

    assert sorted(run(monkeypatch, scenario)) == ["answered"] * 4 + ["failed"]


def test_closing_cancels_the_attempts_in_flight(monkeypatch):
    async def scenario():
        bench = Bench(wait_s=1000.0)
        bench.submit(4)
        await asyncio.sleep(1.0)
        await bench.close()
        return bench

    bench = run(monkeypatch, scenario)
    assert bench.provider.in_flight == 0
    assert bench.loop.time() < 2.0
