"""A task, a thread or a callback that ends with an unexpected error ends its statement. The next one works."""

import sys
import threading
from importlib import import_module

import pytest

import aiquery
from aiquery import registry
from aiquery.clients import SharedClient
from aiquery.config.environment import CoordinatorAddress
from aiquery.errors import AIQueryError, CoordinatorLost
from aiquery.inference.cluster.client import CoordinatorClient
from aiquery.inference.cluster.coordinator import Coordinator
from aiquery.inference.cluster.protocol import RunReport
from aiquery.providers.local.slots import Slots
from aiquery.requests.request import Response, Usage
from aiquery.runtime.blocking_thread import BlockingThread
from aiquery.runtime.event_loop import event_loop
from in_process import InProcess

PARTS = [
    "aiquery.inference.client.Client._accept",
    "aiquery.inference.client.Client._look_up",
    "aiquery.inference.client.Client._known_outcome",
    "aiquery.inference.client.Client._queue",
    "aiquery.inference.client.Client.on_value",
    "aiquery.inference.client.Client.on_outcome",
    "aiquery.inference.client.Client.on_attempt",
    "aiquery.inference.client.Client._end",
    "aiquery.inference.worker_pool.WorkerPool.get",
    "aiquery.inference.worker_pool.WorkerPool._open",
    "aiquery.inference.endpoint_worker.EndpointWorker.open",
    "aiquery.inference.endpoint_worker.EndpointWorker.add",
    "aiquery.inference.endpoint_worker.EndpointWorker.start_ready",
    "aiquery.inference.endpoint_worker.EndpointWorker._take",
    "aiquery.inference.endpoint_worker.EndpointWorker._take_next",
    "aiquery.inference.endpoint_worker.EndpointWorker._work",
    "aiquery.inference.endpoint_worker.EndpointWorker._attempt",
    "aiquery.inference.endpoint_worker.EndpointWorker._end_attempt",
    "aiquery.inference.endpoint_worker.EndpointWorker._win",
    "aiquery.inference.endpoint_worker.EndpointWorker._record",
    "aiquery.inference.scheduling.scheduler.Scheduler.take",
    "aiquery.inference.scheduling.scheduler.Scheduler.plan",
    "aiquery.inference.scheduling.scheduler.Scheduler.wake_at",
    "aiquery.inference.scheduling.admission.Admission.admits",
    "aiquery.inference.feedback.AttemptFeedback.record_reply",
    "aiquery.inference.reservations.Reservations.reserve",
    "aiquery.inference.in_flight.InFlightRequest.read",
    "aiquery.inference.in_flight.InFlightRequest.count_sent",
    "aiquery.inference.query_context.BatchFuture.settle",
    "aiquery.inference.cache.cache.AnswerCache.find",
    "aiquery.inference.cache.cache.AnswerCache.store",
    "aiquery.inference.cache.cache.AnswerCache._write_all",
    "aiquery.inference.cache.cache.AnswerCache._save",
    "aiquery.inference.cache.cache.AnswerCache._on_store",
    "aiquery.inference.cache.cache.AnswerCache._remember",
    "aiquery.inference.cache.sqlite.SQLiteStore.__init__",
    "aiquery.inference.cache.sqlite.SQLiteStore.find",
    "aiquery.inference.cache.sqlite.SQLiteStore.save",
    "aiquery.inference.cache.sqlite.SQLiteStore._read",
    "aiquery.runtime.blocking_thread.BlockingThread.run",
    "aiquery.runtime.timer.Timer.set",
    "aiquery.providers.http.client.HTTPClient.post",
    "aiquery.providers.http.connection.HTTPConnection.post",
    "aiquery.providers.http.connection.HTTPConnection.data_received",
    "aiquery.providers.http.connection.HTTPConnection.on_message_complete",
    "aiquery.tracking.writer.RunWriter.begin",
    "aiquery.tracking.writer.RunWriter._write",
    "aiquery.tracking.writer.RunWriter.soon",
    "aiquery.tracking.store.RunStore.write",
    "aiquery.tracking.attempts.Ledger.record",
]
STATEMENT_S = 30


def ask(con, text):
    """Return the rows of a statement, or its error. A statement that hangs fails the test."""
    found = []

    def run():
        sql = "SELECT ai_query('m', t || i) FROM (SELECT ? AS t), range(3) r(i) ORDER BY i"
        try:
            found.append(con.execute(sql, [text]).fetchall())
        except Exception as error:  # noqa: BLE001  the test looks at it
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(STATEMENT_S)
    assert not thread.is_alive(), "the statement hangs"
    return found[0]


def fail_once(monkeypatch, path, error):
    """Let a function raise ``error`` when it is called first; return the calls."""
    module, owner, name = path.rsplit(".", 2)
    owner = getattr(import_module(module), owner)
    real = getattr(owner, name)
    calls = []

    def fail(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, fail)
    return calls


@pytest.mark.parametrize("path", PARTS)
def test_an_unexpected_error_in_any_part_ends_the_statement(serve, tmp_path, monkeypatch, path):
    server = serve()
    config = {
        "endpoints": {"m": server.endpoint(requests_per_minute=600_000, max_tokens=5)},
        "cache": {"store": str(tmp_path / "cache.sqlite")},
        "runs": {"store": str(tmp_path / "runs.sqlite")},
        "budget": {"max_tokens": 1_000_000},
    }
    with aiquery.connect(config=config) as con:
        calls = fail_once(monkeypatch, path, RuntimeError("a bug"))
        found = ask(con, "first ")
        if isinstance(found, Exception):
            assert isinstance(found, AIQueryError), repr(found)
            assert "a bug" in str(found)
        else:
            assert found == [(f"echo: first {i}",) for i in range(3)]
        assert ask(con, "second ") == [(f"echo: second {i}",) for i in range(3)]
        con.execute("SELECT count(*) FROM aiquery_runs()").fetchall()
    assert calls, "the part is not used"


class Exiting(InProcess):
    """A provider that ends the process for some texts, or tries to."""

    async def complete(self, request):
        if request.content.startswith("first"):
            sys.exit(3)
        return Response(text=f"echo: {request.content}", usage=Usage())


def test_a_provider_that_calls_exit_ends_its_statement_only(monkeypatch):
    monkeypatch.setattr(registry, "provider", lambda _: Exiting)
    endpoint = {"provider": "exiting", "max_concurrency": 1}
    with aiquery.connect(config={"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}}) as con:
        assert "SystemExit" in str(ask(con, "first "))
        assert ask(con, "second ") == [(f"echo: second {i}",) for i in range(3)]


# --- threads, and the parts of a cluster


def on_loop(coroutine):
    """Return the result of a coroutine on the loop thread. One that hangs fails the test."""
    return event_loop().start(coroutine).result(STATEMENT_S)


def test_the_thread_of_a_store_goes_on_after_any_error():
    async def use():
        thread = BlockingThread("test")
        with pytest.raises(RuntimeError, match="SystemExit"):
            await thread.run(lambda: sys.exit(3))
        with pytest.raises(ZeroDivisionError):
            await thread.run(lambda: 1 / 0)
        result = await thread.run(lambda: 5)
        thread.stop()
        return result

    assert on_loop(use()) == 5


def test_the_slots_of_a_local_model_go_on_after_any_error():
    class Llama:
        def restore_prompt(self, *_):
            raise ValueError("a bug")

    async def use():
        slots = Slots(Llama(), 1)
        first = await slots.run(lambda _: 5, saved_prompt=object())
        with pytest.raises(BaseException, match="3"):
            await slots.run(lambda _: sys.exit(3))
        second = await slots.run(lambda _: 6)
        await slots.close()
        return first, second

    assert on_loop(use()) == (5, 6)


@pytest.fixture
def coordinator():
    def open_sink(_):
        raise ValueError("a bug")

    coordinator = Coordinator(open_sink)
    on_loop(coordinator.start("127.0.0.1"))
    yield coordinator
    on_loop(coordinator.stop())


def make_client(coordinator):
    return CoordinatorClient(CoordinatorAddress("127.0.0.1", coordinator.port, coordinator.token), "run", None)


def test_a_report_of_runs_ends_if_the_coordinator_cannot_store_it(coordinator):
    async def report():
        client = make_client(coordinator)
        await client.report_runs(RunReport([], [], {}))
        await client.close()

    on_loop(report())


def test_a_message_that_cannot_be_handled_is_the_loss_of_the_coordinator(coordinator, monkeypatch):
    lost = []

    class Listener:
        failures = None

        def on_coordinator_lost(self, error):
            lost.append(error)

    async def report():
        client = make_client(coordinator)
        client.listener = Listener()
        fail_once(monkeypatch, "aiquery.inference.cluster.client.CoordinatorClient._receive", RuntimeError("a bug"))
        with pytest.raises(CoordinatorLost, match="a bug"):
            await client.report_runs(RunReport([], [], {}))

    on_loop(report())
    assert len(lost) == 1


def test_a_message_that_the_coordinator_cannot_handle_ends_only_its_worker(coordinator, monkeypatch):
    async def report():
        client = make_client(coordinator)
        fail_once(monkeypatch, "aiquery.inference.cluster.coordinator.Coordinator._receive", RuntimeError("a bug"))
        with pytest.raises(CoordinatorLost):
            await client.report_runs(RunReport([], [], {}))
        other = make_client(coordinator)
        await other.report_runs(RunReport([], [], {}))
        await other.close()

    on_loop(report())


def test_the_garbage_collector_may_close_a_connection_while_another_one_is_opened(monkeypatch):
    """The lock of the clients was not reentrant."""
    first = aiquery.connect(config={"endpoints": {"first": {"provider": "fake"}}, "cache": {"store": "memory:"}})
    real = SharedClient.__init__

    def collect(self, *arguments):
        first.close()
        real(self, *arguments)

    monkeypatch.setattr(SharedClient, "__init__", collect)
    opened = []
    config = {"endpoints": {"second": {"provider": "fake"}}, "cache": {"store": "memory:"}}
    thread = threading.Thread(target=lambda: opened.append(aiquery.connect(config=config)), daemon=True)
    thread.start()
    thread.join(STATEMENT_S)
    assert opened, "opening a connection hangs"
    opened[0].close()
