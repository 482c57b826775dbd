"""``evaluate_stream``: columns in, columns out, with batches in flight ahead of the reader; the end of a process."""

import gc
import subprocess
import sys
import textwrap
import threading

import pyarrow as pa
import pytest

import aiquery
from aiquery.clients import SharedClient
from aiquery.config.loader import load
from aiquery.errors import RowError
from aiquery.evaluate import evaluate_stream
from aiquery.functions.ai_query import AI_QUERY
from aiquery.testing import Answer


@pytest.fixture
def connect():
    """Return a function that joins a shared client and returns its configuration and the client."""
    joined = []

    def start(**endpoints):
        config = load({"endpoints": endpoints})
        shared = SharedClient.join(config)
        joined.append(shared)
        return config, shared.client

    yield start
    for shared in joined:
        shared.leave()


def make_batches(count, size):
    for number in range(count):
        yield [pa.array([f"{number}-{i}" for i in range(size)])]


def test_columns_are_returned_in_order_and_with_their_type(connect, serve):
    config, client = connect(m=serve(lambda q: str(len(q.prompt))).endpoint())
    call = AI_QUERY.bind({"endpoint": "m", "returnType": "INT"}, config)
    batches = [[pa.array(["a", None, "abc"])], [pa.array(["ab"])]]
    columns = list(evaluate_stream(call, batches, client))
    assert [column.to_pylist() for column in columns] == [[1, None, 3], [2]]
    assert columns[0].type == pa.int32()


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_batches_ahead_are_in_flight(connect, serve, ahead):
    server = serve(latency=0.05)
    config, client = connect(m=server.endpoint(max_concurrency=100))
    call = AI_QUERY.bind({"endpoint": "m"}, config)
    columns = list(evaluate_stream(call, make_batches(8, 5), client, ahead=ahead))
    first_values = [column[0].as_py() for column in columns]
    assert first_values == [f"echo: {number}-0" for number in range(8)]
    # The first request to an endpoint is sent alone.
    assert 5 * (ahead + 1) - 1 <= server.peak_in_flight <= 5 * (ahead + 1)


def test_closing_the_stream_cancels_its_requests(connect, serve):
    server = serve(lambda q: Answer(latency_s=30.0 if q.prompt.startswith("2") else 0))
    config, client = connect(m=server.endpoint(max_concurrency=4))
    call = AI_QUERY.bind({"endpoint": "m"}, config)
    stream = evaluate_stream(call, make_batches(50, 2), client, ahead=2)
    next(stream)
    stream.close()
    assert server.calls <= 8


def test_a_row_error_is_raised_by_its_batch(connect, serve):
    server = serve(lambda q: Answer(status=400) if q.prompt == "1-1" else Answer())
    config, client = connect(m=server.endpoint())
    call = AI_QUERY.bind({"endpoint": "m"}, config)
    stream = evaluate_stream(call, make_batches(3, 2), client)
    assert next(stream).to_pylist() == ["echo: 0-0", "echo: 0-1"]
    with pytest.raises(RowError):
        next(stream)


def test_many_threads_share_one_call(connect, serve):
    server = serve(latency=0.05)
    config, client = connect(m=server.endpoint())
    call = AI_QUERY.bind({"endpoint": "m"}, config)
    results = []

    def evaluate():
        results.append(list(evaluate_stream(call, make_batches(2, 20), client)))

    threads = [threading.Thread(target=evaluate) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert server.calls == 40


def run_process(code):
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=60
    )
    assert process.returncode == 0, process.stderr
    return process


def test_a_statement_inside_of_a_running_event_loop(endpoint):
    process = run_process(f"""
        import asyncio, aiquery
        async def notebook():
            with aiquery.connect(config={{"endpoints": {{"m": {endpoint.endpoint()!r}}}}}) as con:
                print(con.sql("SELECT ai_query('m', 'q')").fetchall())
        asyncio.run(notebook())
    """)
    assert "echo: q" in process.stdout


def test_after_a_fork_the_child_has_its_own_loop(endpoint):
    process = run_process(f"""
        import os, aiquery
        config = {{"endpoints": {{"m": {endpoint.endpoint()!r}}}}}
        print(aiquery.connect(config=config).sql("SELECT ai_query('m', 'parent')").fetchall(), flush=True)
        pid = os.fork()
        if pid == 0:
            print(aiquery.connect(config=config).sql("SELECT ai_query('m', 'child')").fetchall(), flush=True)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    """)
    assert "echo: parent" in process.stdout
    assert "echo: child" in process.stdout


def test_a_fork_on_another_thread_leaves_the_connections_of_the_parent_alone(endpoint):
    process = run_process(f"""
        import gc, os, threading, aiquery
        con = aiquery.connect(config={{"endpoints": {{"m": {endpoint.endpoint()!r}}}}})
        print(con.sql("SELECT ai_query('m', 'before')").fetchall(), flush=True)
        def fork():
            pid = os.fork()
            if pid == 0:
                gc.collect()
                print(aiquery.connect(config=con.config).sql("SELECT ai_query('m', 'child')").fetchall(), flush=True)
                os._exit(0)
            print("status", os.waitpid(pid, 0)[1])
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
        print(con.sql("SELECT ai_query('m', 'after')").fetchall())
    """)
    assert "status 0" in process.stdout
    assert process.stdout.count("echo") == 3


def test_the_interpreter_ends_with_an_open_connection(endpoint):
    process = run_process(f"""
        import aiquery, duckdb
        config = {{"endpoints": {{"m": {endpoint.endpoint()!r}}}}}
        con = aiquery.connect(config=config)
        plain = duckdb.connect()
        aiquery.register(plain, config)
        print(con.sql("SELECT ai_query('m', 'q')").fetchall(), plain.sql("SELECT ai_query('m', 'r')").fetchall())
    """)
    assert process.stdout.count("echo") == 2


def test_the_interpreter_ends_with_requests_in_flight(serve, tmp_path):
    received = tmp_path / "received"

    def latency(_):
        received.touch()
        return 60.0

    server = serve(latency=latency)
    process = run_process(f"""
        import pathlib, time, pyarrow as pa
        from aiquery.config import load
        from aiquery.clients import SharedClient
        from aiquery.evaluate import submit_batch
        from aiquery.functions.ai_query import AI_QUERY
        from aiquery.inference.query_context import QueryContext
        config = load({{"endpoints": {{"m": {server.endpoint()!r}}}}})
        call = AI_QUERY.bind({{"endpoint": "m"}}, config)
        batch = submit_batch(call, [pa.array(["q"])], SharedClient.join(config).client, QueryContext())
        while not pathlib.Path({str(received)!r}).exists():
            time.sleep(0.01)
    """)
    assert process.stderr == ""
    assert server.calls == 1


def test_many_connections_one_after_another_with_garbage_between(endpoint):
    config = {"endpoints": {"m": endpoint.endpoint()}, "cache": {"store": "memory:"}}
    for i in range(10):
        con = aiquery.connect(config=config)
        rows = con.sql(f"SELECT ai_query('m', 'run {i}')").fetchall()
        assert rows == [(f"echo: run {i}",)]
        if i % 2:
            con.close()
        del con
        gc.collect()
    assert endpoint.calls == 10
