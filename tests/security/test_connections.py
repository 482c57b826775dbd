"""Opening a connection has a time limit, whatever stands between; a mirror chooses no names of files."""

import socket
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest

import aiquery
from aiquery.errors import ModelFileError, RequestFailed
from aiquery.providers.local import hub
from aiquery.tracking.active import redact_error


def drip(connection):
    with suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X: y\r\n")
            threading.Event().wait(0.2)


@pytest.mark.parametrize("answer", [str, drip])
def test_a_proxy_that_does_not_answer_is_given_up(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connections.append(connection)
                    threading.Thread(target=answer, args=[connection], daemon=True).start()

        connections = []
        threading.Thread(target=serve, daemon=True).start()
        timeout = {"connect_s": 0.5, "read_s": 0.5, "attempt_s": 2, "total_s": 2, "outage_s": 2}
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        endpoint = {"base_url": "https://h.invalid/v1", "proxy": proxy, "max_attempts": 1, "timeout": timeout}
        config = {"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}, "runs": {"store": "memory:"}}
        with aiquery.connect(config=config) as con, pytest.raises(RequestFailed, match="no connection in time"):
            con.sql("SELECT ai_query('m', 'x')")
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("etag", ["../../evil", "a" * 63, "A" * 64, "a" * 64 + "/x", "."])
def test_a_mirror_chooses_no_name_of_a_file(etag):
    metadata = SimpleNamespace(etag=etag, size=5, location="http://h/x")
    client = SimpleNamespace(hf_hub_url=lambda *_, **__: "http://h/x", get_hf_file_metadata=lambda _: metadata)
    with pytest.raises(ModelFileError, match="its ETag is not a hash"):
        hub._download_file(client, "org/repo", "x.gguf", None)


def test_the_stored_error_of_a_database_has_no_value():
    error = aiquery.errors.DatabaseError('Postgres: invalid input syntax for type integer: "Quetzal"')
    assert redact_error(error) == "DatabaseError"
