"""The endpoint worker in virtual time, with the fake provider and a completion that records its callbacks."""

import asyncio

import pytest
from scripted import ScriptedProvider, in_flight, make_endpoint, make_requests, make_template, rejection, server_error
from virtual_time import run, until

from aiquery.errors import AIQueryError, InvalidResponse, ReplyParseError, RequestFailed
from aiquery.inference.endpoint_worker import EndpointWorker
from aiquery.inference.in_flight import State
from aiquery.requests.parsing import VectorParser
from aiquery.requests.request import Request


class RecordingCompletion:
    """Records what a worker reports, and moves the requests to their last state."""

    def __init__(self):
        self.values = {}
        self.errors = {}
        self.ended = {}
        self.abandoned = []
        self.given_up = []
        self.attempts = []
        self.budget_settled = 0

    def on_value(self, request, value):
        request.move_to(State.STORING)
        request.move_to(State.SETTLED)
        self.values[request.request.content] = value

    def on_outcome(self, request, outcome):
        request.move_to(State.SETTLED)
        self.errors[request.request.content] = outcome.error

    def on_error(self, request, error):
        request.move_to(State.SETTLED)
        self.ended[request.request.content] = error

    def on_crash(self, error):
        raise error

    def on_abandoned(self, request):
        self.abandoned.append(request.request.content)

    def on_given_up(self, context, key, outcome):
        context.failures[key] = outcome
        self.given_up.append(key)

    def on_attempt(self, attempt):
        self.attempts.append(attempt)

    def on_budget_settled(self):
        self.budget_settled += 1

    def on_budget_exhausted(self):
        raise AssertionError("no budget is set")

    @property
    def settled(self):
        return len(self.values) + len(self.errors) + len(self.ended)

    @property
    def endings(self):
        return [attempt.ending for attempt in self.attempts]


class Bench:
    """A worker with its provider and its completion."""

    def __init__(self, script=(), wait_s=1.0, parser=None, **settings):
        self.endpoint = make_endpoint(**settings)
        self.provider = ScriptedProvider(self.endpoint, script, wait_s)
        self.completion = RecordingCompletion()
        self.worker = EndpointWorker(self.endpoint, self.completion)
        self.template = make_template(self.endpoint, parser)
        self.loop = asyncio.get_running_loop()

    def add(self, count, prefix="text", context=None):
        requests = make_requests(self.template, count, prefix)
        found = [in_flight(request, context) for request in requests]
        for request in found:
            self.worker.add(request)
        self.worker.start_ready()
        return found

    async def finish(self, count):
        await until(lambda: self.completion.settled >= count)
        await self.worker.close()
        assert self.completion.settled == count
        assert not self.worker.in_flight


def answer_all(monkeypatch, count, script=(), provider=None, **settings):
    """Send requests through a new worker in virtual time; return the bench when all have ended."""

    async def scenario():
        bench = Bench(script, **settings)
        if provider is not None:
            bench.provider = provider(bench.endpoint)
        bench.worker.open(bench.provider)
        bench.add(count)
        await bench.finish(count)
        return bench

    return run(monkeypatch, scenario)


def test_all_slots_are_used_and_no_more(monkeypatch):
    async def scenario():
        bench = Bench(max_concurrency=4)
        bench.add(20)
        assert bench.provider.calls == 0  # not before the provider is open
        bench.worker.open(bench.provider)
        await bench.finish(20)
        return bench

    bench = run(monkeypatch, scenario)
    assert bench.provider.peak == 4
    assert bench.provider.calls == 20
    assert bench.loop.time() == pytest.approx(5.0, abs=0.2)
    assert bench.completion.values["text 7"] == "echo: text 7"
    assert bench.completion.endings == ["answered"] * 20


def test_a_server_error_is_attempted_again_after_a_pause(monkeypatch):
    bench = answer_all(monkeypatch, 1, [server_error()])
    assert bench.completion.endings == ["retried", "answered"]
    assert bench.loop.time() > 2.0  # two attempts and the pause between them
    assert bench.completion.values == {"text 0": "echo: text 0"}


def test_a_request_fails_after_its_last_attempt_and_names_the_endpoint(monkeypatch):
    async def scenario():
        bench = Bench([None, *[server_error()] * 3], max_attempts=2, wait_s=0.1)
        bench.worker.open(bench.provider)
        bench.add(1, "first")
        await until(lambda: bench.completion.settled == 1)
        bench.add(1)
        await bench.finish(2)
        return bench

    bench = run(monkeypatch, scenario)
    error = bench.completion.errors["text 0"]
    assert str(error).startswith("[AI_FUNCTION_HTTP_REQUEST_ERROR] endpoint 'm': HTTP 500")
    assert "(after 2 attempts)" in str(error)
    assert bench.completion.endings == ["answered", "retried", "failed"]


def test_a_rejection_of_one_request_fails_that_request_at_once(monkeypatch):
    bench = answer_all(monkeypatch, 5, [rejection()])
    assert bench.provider.calls == 5
    assert list(bench.completion.errors) == ["text 0"]
    assert len(bench.completion.values) == 4


def test_nothing_starts_during_the_pause_that_the_endpoint_asks_for(monkeypatch):
    async def scenario():
        throttled = server_error(429, throttled=True, wait_s=30.0)
        bench = Bench([throttled], max_concurrency=1, wait_s=0.1)
        bench.worker.open(bench.provider)
        bench.add(3)
        await asyncio.sleep(29.0)
        assert bench.provider.calls == 1
        await bench.finish(3)
        return bench

    bench = run(monkeypatch, scenario)
    assert len(bench.completion.values) == 3
    assert bench.provider.calls == 4
    assert 30.0 <= bench.loop.time() < 33.0


def test_an_endpoint_is_given_up_when_every_request_would_fail(monkeypatch):
    fatal = [RequestFailed("HTTP 401", status=401).mark_fatal() for _ in range(9)]
    bench = answer_all(monkeypatch, 100, fatal, max_concurrency=2)
    assert bench.provider.calls <= 4
    assert len(bench.completion.errors) == 100
    assert {str(error) for error in bench.completion.errors.values()} == {
        "[AI_FUNCTION_HTTP_REQUEST_ERROR] endpoint 'm': HTTP 401 SQLSTATE: 08000"
    }
    assert set(bench.completion.given_up) == {bench.worker.given_up_key}


def test_an_outage_ends_with_its_first_answer_and_loses_no_request(monkeypatch):
    async def scenario():
        away = [server_error(503, throttled=True) for _ in range(30)]
        bench = Bench(away, max_concurrency=8, wait_s=0.05)
        bench.worker.open(bench.provider)
        bench.add(40)
        await asyncio.sleep(10.0)
        described = bench.worker.describe_trouble(bench.loop.time())
        await bench.finish(40)
        return bench, described

    bench, described = run(monkeypatch, scenario)
    assert "HTTP 503" in described
    assert len(bench.completion.values) == 40
    assert bench.worker.describe_trouble(bench.loop.time()) == ""


class UnreadableOnce:
    """A parser that reads a reply only after the model saw its first one."""

    def read(self, _, request):
        if not request.follow_up:
            raise ReplyParseError("not a number")
        return len(request.follow_up)


def test_an_unreadable_reply_is_repaired_once(monkeypatch):
    bench = answer_all(monkeypatch, 1, parser=UnreadableOnce())
    assert bench.completion.values == {"text 0": 2}
    assert bench.provider.calls == 2


def test_a_late_attempt_is_sent_a_second_time_and_the_first_answer_wins(monkeypatch):
    class SlowOnce(ScriptedProvider):
        async def complete(self, request):
            is_slow = request.content == "text 399" and "text 399" not in self.texts
            self.wait_s = 100.0 if is_slow else 1.0
            return await super().complete(request)

    bench = answer_all(monkeypatch, 400, hedge=True, max_concurrency=8, provider=SlowOnce)
    assert bench.provider.texts.count("text 399") == 2
    assert bench.loop.time() < 60.0
    assert len(bench.completion.values) == 400
    assert sorted(set(bench.completion.endings)) == ["answered", "cancelled"]


def test_dropped_requests_are_not_sent_and_attempts_in_flight_go_on(monkeypatch):
    async def scenario():
        bench = Bench(max_concurrency=2)
        bench.worker.open(bench.provider)
        bench.add(10)
        await asyncio.sleep(0.5)
        dropped = bench.worker.drop(lambda _: True)
        await bench.finish(2)
        return bench, dropped

    bench, dropped = run(monkeypatch, scenario)
    assert [request.request.content for request in dropped] == [f"text {i}" for i in range(2, 10)]
    assert sorted(bench.completion.values) == ["text 0", "text 1"]


def test_an_abandoned_attempt_is_cancelled(monkeypatch):
    async def scenario():
        bench = Bench(max_concurrency=2, wait_s=1000.0)
        bench.worker.open(bench.provider)
        bench.add(2)
        await asyncio.sleep(1.0)
        bench.worker.abandon(lambda request: request.request.content == "text 1")
        await until(lambda: bench.completion.settled == 1)
        in_flight_now = len(bench.worker.in_flight)
        await bench.worker.close()
        return bench, in_flight_now

    bench, in_flight_now = run(monkeypatch, scenario)
    assert in_flight_now == 1
    assert bench.completion.abandoned == ["text 1"]
    assert "cancelled" in str(bench.completion.errors["text 1"])
    assert bench.provider.in_flight == 0


def test_a_worker_that_cannot_be_opened_ends_what_waits(monkeypatch):
    async def scenario():
        bench = Bench()
        bench.add(3)
        bench.worker.fail(AIQueryError("no such provider"))
        await bench.finish(3)
        return bench

    bench = run(monkeypatch, scenario)
    assert bench.provider.calls == 0
    assert {str(error) for error in bench.completion.ended.values()} == {"no such provider"}


def test_an_unexpected_error_of_a_provider_is_the_row_s(monkeypatch):
    bench = answer_all(monkeypatch, 2, [ZeroDivisionError("a bug")])
    assert "ZeroDivisionError: a bug" in str(bench.completion.errors["text 0"])
    assert bench.completion.values == {"text 1": "echo: text 1"}


def test_a_batch_with_one_bad_text_is_split_until_only_that_text_fails(monkeypatch):
    class OneBadText(ScriptedProvider):
        async def complete(self, request):
            response = await super().complete(request)
            if "text 5" in request.content:
                raise InvalidResponse("a text is empty")
            return response

    async def scenario():
        bench = Bench(task="embedding", parser=VectorParser(), max_concurrency=1)
        bench.provider = OneBadText(bench.endpoint)
        bench.add(8)
        bench.worker.open(bench.provider)
        await bench.finish(8)
        return bench

    bench = run(monkeypatch, scenario)
    assert list(bench.completion.errors) == ["text 5"]
    assert len(bench.completion.values) == 7


def test_a_request_that_failed_in_another_process_is_not_sent(monkeypatch):
    async def scenario():
        bench = Bench()
        (found,) = [in_flight(Request(bench.template, "text"))]
        future, _ = found.waiters[0]
        future.context.failures[found.key] = outcome = type("O", (), {"error": rejection()})()
        bench.worker._coordinator = object()  # failures arrive through a coordinator
        bench.worker.add(found)
        bench.worker._provider = bench.provider
        bench.worker.start_ready()
        await until(lambda: bench.completion.settled == 1)
        await bench.worker.close()
        return bench, outcome

    bench, outcome = run(monkeypatch, scenario)
    assert bench.provider.calls == 0
    assert bench.completion.errors == {"text": outcome.error}
