"""The seam: a stream of columns in, a stream of columns out, with batches in flight ahead of the reader."""

import gc
import os
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
    joined = []

    def start(**endpoints):
        config = load({"endpoints": endpoints})
        shared = SharedClient.join(config)
        joined.append(shared)
        return config, shared.client

    yield start
    for shared in joined:
        shared.leave()


def batches(count, size):
    for b in range(count):
        yield [pa.array([f"{b}-{i}" for i in range(size)])]


def test_columns_come_back_in_order_and_typed(connect, serve):
    config, shared = connect(m=serve(lambda q: str(len(q.prompt))).endpoint())
    call = AI_QUERY.bind({"endpoint": "m", "returnType": "INT"}, config)
    columns = list(
        evaluate_stream(
            call, [[pa.array(["a", None, "abc"])], [pa.array(["ab"])]], shared
        )
    )
    assert [column.to_pylist() for column in columns] == [[1, None, 3], [2]]
    assert columns[0].type == pa.int32()


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_batches_ahead_are_in_flight(connect, serve, ahead):
    server = serve(latency=0.05)
    config, shared = connect(m=server.endpoint(max_concurrency=100))
    call = AI_QUERY.bind({"endpoint": "m"}, config)
    columns = list(evaluate_stream(call, batches(8, 5), shared, ahead=ahead))
    assert [column[0].as_py() for column in columns] == [
        f"echo: {b}-0" for b in range(8)
    ]
    assert server.peak_in_flight == 5 * (ahead + 1)


def test_closing_the_stream_early_cancels(connect, serve):
    server = serve(lambda q: Answer(latency_s=30.0 if q.prompt.startswith("2") else 0))
    config, shared = connect(m=server.endpoint(max_concurrency=4))
    stream = evaluate_stream(
        AI_QUERY.bind({"endpoint": "m"}, config), batches(50, 2), shared, ahead=2
    )
    next(stream)
    stream.close()
    assert server.calls <= 8


def test_a_row_error_is_raised_from_its_batch(connect, serve):
    config, shared = connect(
        m=serve(
            lambda q: Answer(status=400) if q.prompt == "1-1" else Answer()
        ).endpoint()
    )
    stream = evaluate_stream(
        AI_QUERY.bind({"endpoint": "m"}, config), batches(3, 2), shared
    )
    assert next(stream).to_pylist() == ["echo: 0-0", "echo: 0-1"]
    with pytest.raises(RowError):
        next(stream)


def test_many_threads_share_one_call(connect, serve):
    server = serve(latency=0.05)
    config, shared = connect(m=server.endpoint())
    call = AI_QUERY.bind({"endpoint": "m"}, config)
    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append(
                list(evaluate_stream(call, batches(2, 20), shared))
            )
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert server.calls == 40


def in_a_process(code, **variables):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False,
                          timeout=60, env={**os.environ, **variables})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def test_inside_a_running_event_loop(endpoint):
    done = in_a_process(f"""
        import asyncio, aiquery
        async def notebook():
            with aiquery.connect(config={{"endpoints": {{"m": {endpoint.endpoint()!r}}}}}) as con:
                print(con.sql("SELECT ai_query('m', 'q')").fetchall())
        asyncio.run(notebook())
    """)
    assert "echo: q" in done.stdout


def test_after_a_fork_the_child_has_its_own_loop(endpoint):
    done = in_a_process(f"""
        import os, aiquery
        config = {{"endpoints": {{"m": {endpoint.endpoint()!r}}}}}
        print(aiquery.connect(config=config).sql("SELECT ai_query('m', 'parent')").fetchall(), flush=True)
        pid = os.fork()
        if pid == 0:
            print(aiquery.connect(config=config).sql("SELECT ai_query('m', 'child')").fetchall(), flush=True)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    """)
    assert "echo: parent" in done.stdout
    assert "echo: child" in done.stdout


def test_the_interpreter_ends_with_an_open_connection(endpoint):
    done = in_a_process(f"""
        import aiquery, duckdb
        config = {{"endpoints": {{"m": {endpoint.endpoint()!r}}}}}
        con = aiquery.connect(config=config)
        plain = duckdb.connect()
        aiquery.register(plain, config)
        print(con.sql("SELECT ai_query('m', 'q')").fetchall(), plain.sql("SELECT ai_query('m', 'r')").fetchall())
    """)
    assert done.stdout.count("echo") == 2


def test_the_interpreter_ends_while_requests_fly(serve, tmp_path):
    asked = tmp_path / "asked"

    def latency(_):
        asked.touch()
        return 60.0

    server = serve(latency=latency)
    done = in_a_process(f"""
        import pathlib, time, pyarrow as pa
        from aiquery.config import load
        from aiquery.clients import SharedClient
        from aiquery.evaluate import submit_batch
        from aiquery.functions.ai_query import AI_QUERY
        from aiquery.inference.query_context import QueryContext
        config = load({{"endpoints": {{"m": {server.endpoint()!r}}}}})
        call = AI_QUERY.bind({{"endpoint": "m"}}, config)
        asked = submit_batch(call, [pa.array(["q"])], SharedClient.join(config).client, QueryContext())
        while not pathlib.Path({str(asked)!r}).exists():
            time.sleep(0.01)
    """)
    assert done.stderr == ""
    assert server.calls == 1


def test_many_runs_one_after_another_with_garbage_between(endpoint):
    for i in range(20):
        con = aiquery.connect(
            config={
                "endpoints": {"m": endpoint.endpoint()},
                "cache": {"store": "memory:"},
            }
        )
        assert con.sql(f"SELECT ai_query('m', 'run {i}')").fetchall() == [
            (f"echo: run {i}",)
        ]
        if i % 2:
            con.close()
        del con
        gc.collect()
    assert endpoint.calls == 20
