"""Who does not know the token gets nothing from the coordinator, costs it little, and learns nothing from a worker."""

import asyncio
import socket
import struct
import threading
from contextlib import closing, suppress

import pyarrow as pa
import pytest

from aiquery import clients, evaluate
from aiquery.config.environment import CoordinatorAddress
from aiquery.config.loader import load
from aiquery.errors import CoordinatorLost
from aiquery.functions.ai_query import AI_QUERY
from aiquery.inference.client import Client
from aiquery.inference.cluster import coordinator as module
from aiquery.inference.cluster.client import CoordinatorClient
from aiquery.inference.cluster.coordinator import MAX_STRANGERS
from aiquery.inference.cluster.handshake import CHALLENGE_BYTES, GREETING, PROOF_BYTES
from aiquery.runtime.event_loop import event_loop

FROM_COORDINATOR_BYTES = len(GREETING) + CHALLENGE_BYTES
FROM_WORKER_BYTES = CHALLENGE_BYTES + PROOF_BYTES


@pytest.fixture
def ask(serve):
    """Return a function that sends a request of a worker through the coordinator at a port."""
    server = serve()
    opened = []

    def send(port, token):
        config = load({"endpoints": {"m": server.endpoint()}, "cache": {"store": "memory:"}})
        address = CoordinatorAddress("127.0.0.1", port, token)
        client = Client(clients.open_provider, None, None, CoordinatorClient(address, "run", None))
        opened.append(client)
        call = AI_QUERY.bind({"endpoint": "m"}, config)
        batch = evaluate.submit_batch(call, [pa.array(["x"])], client, evaluate.QueryContext())
        return batch.column().to_pylist()

    yield send
    for client in opened:
        client.close()


def connect(coordinator):
    connection = socket.create_connection(("127.0.0.1", coordinator.port))
    connection.settimeout(20)
    return connection


def read_all(connection):
    """Return what the other side sends until it closes the connection."""
    found = b""
    try:
        while data := connection.recv(65536):
            found += data
    except ConnectionError:
        pass
    return found


class Recorder:
    """Passes one connection on to a port and records both directions."""

    def __init__(self, port):
        self.port = port
        self.sent = b""
        self.received = b""
        self.server = socket.create_server(("127.0.0.1", 0))
        self.own_port = self.server.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with self.server:
            worker, _ = self.server.accept()
        coordinator = socket.create_connection(("127.0.0.1", self.port))
        back = threading.Thread(target=self.copy, args=[coordinator, worker, "received"], daemon=True)
        back.start()
        self.copy(worker, coordinator, "sent")
        back.join()
        worker.close()
        coordinator.close()

    def copy(self, source, target, name):
        with suppress(OSError):
            while data := source.recv(65536):
                setattr(self, name, getattr(self, name) + data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def test_a_worker_with_the_token_is_let_in(coordinator, ask):
    assert ask(coordinator.port, coordinator.token) == ["echo: x"]


@pytest.mark.parametrize("token", ["", "wrong", "schlüssel", "x" * 10_000])
def test_a_worker_with_another_token_is_not_let_in(coordinator, ask, token):
    with pytest.raises(CoordinatorLost):
        ask(coordinator.port, token)
    assert not coordinator._workers


def test_the_token_is_never_sent_and_a_recorded_exchange_is_worth_nothing(coordinator, ask):
    recorder = Recorder(coordinator.port)
    assert ask(recorder.own_port, coordinator.token) == ["echo: x"]
    for text in (recorder.sent, recorder.received):
        assert coordinator.token.encode() not in text
        assert bytes.fromhex(coordinator.token) not in text
    with closing(connect(coordinator)) as replay:
        replay.sendall(recorder.sent)
        assert len(read_all(replay)) == FROM_COORDINATOR_BYTES


def test_a_worker_sends_nothing_to_a_coordinator_that_does_not_know_the_token(ask):
    received = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def pretend():
            connection, _ = server.accept()
            with connection:
                connection.sendall(GREETING + bytes(CHALLENGE_BYTES))
                received.append(connection.recv(65536))
                connection.sendall(bytes(PROOF_BYTES))
                received.append(read_all(connection))

        thread = threading.Thread(target=pretend, daemon=True)
        thread.start()
        with pytest.raises(CoordinatorLost, match="another coordinator"):
            ask(server.getsockname()[1], "token")
        thread.join(10)
    assert [len(data) for data in received] == [FROM_WORKER_BYTES, 0]


def test_another_program_at_the_port_is_recognized(ask):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve_another():
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" * 10)
                read_all(connection)

        thread = threading.Thread(target=serve_another, daemon=True)
        thread.start()
        with pytest.raises(CoordinatorLost, match="another program"):
            ask(server.getsockname()[1], "token")
        thread.join(10)


def test_a_frame_of_a_stranger_is_neither_held_nor_decoded(coordinator, monkeypatch):
    monkeypatch.setattr(module.Connection, "receive", None)
    frame = struct.pack(">I", 2**26) + bytes(2**27)
    with closing(connect(coordinator)) as stranger, pytest.raises(ConnectionError):
        stranger.sendall(frame)
    assert not coordinator._workers


def test_strangers_are_limited_and_forgotten(coordinator, ask, monkeypatch):
    monkeypatch.setattr(module, "HANDSHAKE_S", 1.5)
    strangers = [connect(coordinator) for _ in range(1000)]
    strangers[-1].sendall(b"x")  # a slow one
    assert ask(coordinator.port, coordinator.token) == ["echo: x"]
    assert len(coordinator._strangers) <= MAX_STRANGERS
    for stranger in strangers:
        assert len(read_all(stranger)) <= FROM_COORDINATOR_BYTES
        stranger.close()
    assert not coordinator._strangers
    assert len(coordinator._workers) == 1


def test_the_coordinator_listens_at_the_given_interface_only(coordinator):
    async def addresses():
        return [one.getsockname()[0] for one in coordinator._server.sockets]

    assert asyncio.run_coroutine_threadsafe(addresses(), event_loop().loop).result() == ["127.0.0.1"]
