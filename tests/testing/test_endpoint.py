"""The test endpoint follows its script and counts requests. These tests use plain urllib."""

import json
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest

import aiquery
from aiquery.testing import Answer, EndpointServer, Question, Replica, lognormal, mixed


def post(url, path="/chat/completions", **body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, json.load(reply), reply.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), error.headers


def send_chat(url, text):
    return post(url, messages=[{"role": "user", "content": text}], model="x")


def test_chat_embeddings_and_models(serve):
    server = serve(dimensions=4)
    status, reply, _ = send_chat(server.base_url, "hello there")
    assert status == 200
    assert reply["choices"][0]["message"]["content"] == "echo: hello there"
    assert reply["usage"]["prompt_tokens"] == 3
    _, vectors, _ = post(server.base_url, "/embeddings", input=["a", "b", "a"], model="e")
    first, second, third = (item["embedding"] for item in vectors["data"])
    assert len(first) == len(second) == len(third) == 4
    assert first == third
    with urllib.request.urlopen(server.base_url + "/models", timeout=10) as reply:
        assert json.load(reply)["data"]
    assert server.calls == 2  # the list of models is no call
    server.forget()
    assert (server.calls, server.requests) == (0, [])


def test_capacity_and_peak(serve):
    server = serve(latency=0.5, capacity=2)
    statuses = []

    def send(i):
        status, _, _ = send_chat(server.base_url, str(i))
        statuses.append(status)

    threads = [threading.Thread(target=send, args=(i,)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 200, 429, 429, 429]
    assert server.statuses == {200: 2, 429: 3}


def test_requests_per_minute(serve):
    server = serve(requests_per_minute=2)
    replies = [send_chat(server.base_url, str(i)) for i in range(3)]
    all_headers = [headers for _, _, headers in replies]
    left = [headers["x-ratelimit-remaining-requests"] for headers in all_headers]
    assert [status for status, _, _ in replies] == [200, 200, 429]
    assert left == ["1", "0", "0"]
    assert 50 < float(all_headers[2]["Retry-After"]) <= 60


def test_a_key_may_be_required(serve):
    assert send_chat(serve(api_key="k").base_url, "q")[0] == 401


def test_a_script_returns_answers_and_texts(serve):
    busy = Answer(status=503, headers={"Retry-After": "7"})
    server = serve(lambda q: busy if q.prompt == "a" else "fine")
    status, body, headers = send_chat(server.base_url, "a")
    assert (status, body["error"]["code"], headers["Retry-After"]) == (503, 503, "7")
    _, body, _ = send_chat(server.base_url, "b")
    assert body["choices"][0]["message"]["content"] == "fine"


def make_question(text):
    body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
    return Question(number=0, at_s=0.0, path="/v1/chat/completions", headers={}, raw=body)


def test_lognormal_is_drawn_per_prompt_and_has_the_mean():
    latency = lognormal(0.1, 0.6)
    draws = [latency(make_question(f"prompt {i}")) for i in range(5000)]
    assert latency(make_question("prompt 7")) == draws[7]
    assert sum(draws) / len(draws) == pytest.approx(0.1, rel=0.05)


def test_mixed_returns_each_answer_with_its_share():
    script = mixed([(Answer(status=500), 0.2), (Answer(fate="reset"), 0.1)], seed=3)
    answers = [script(make_question("q")) for _ in range(5000)]
    failed = [answer for answer in answers if answer.status == 500]
    reset = [answer for answer in answers if answer.fate == "reset"]
    assert len(failed) / 5000 == pytest.approx(0.2, abs=0.02)
    assert len(reset) / 5000 == pytest.approx(0.1, abs=0.02)


def test_the_endpoint_in_another_process():
    process = subprocess.Popen([sys.executable, "-m", "aiquery.testing"], stdout=subprocess.PIPE, text=True)
    url = process.stdout.readline().strip()
    send_chat(url, "a")
    send_chat(url, "a")
    with urllib.request.urlopen(url + "/stats", timeout=10) as reply:
        assert json.load(reply) == {"calls": 2, "distinct": 1, "peak_in_flight": 1, "statuses": {"200": 2}}
    process.terminate()
    process.wait()
    process.stdout.close()


def test_many_servers_start_and_stop():
    urls = set()
    for _ in range(20):
        with EndpointServer() as server:
            urls.add(server.base_url)
            assert send_chat(server.base_url, "q")[0] == 200
    assert urls


def test_a_server_stops_while_clients_connect_and_disconnect():
    for _ in range(30):
        with EndpointServer(latency=0.05) as server:
            address = ("127.0.0.1", int(server.base_url.split(":")[2].split("/")[0]))
            clients = [socket.socket() for _ in range(20)]
            for client in clients:
                client.settimeout(0)
                client.connect_ex(address)
            for client in clients[:10]:
                client.close()
        for client in clients[10:]:
            client.close()


def test_a_replica_has_several_requests_in_flight(connect, serve):
    server = serve(lambda _: "x" * 40, replica=Replica(slots=8))
    con = connect(m=server.endpoint(max_concurrency=16))
    rows = con.sql("SELECT ai_query('m', 'the same beginning of every prompt, ' || i) FROM range(64) r(i)").fetchall()
    assert rows == [("x" * 40,)] * 64
    assert server.peak_in_flight == 16


def test_the_command_serves_until_it_is_interrupted():
    command = [sys.executable, "-m", "aiquery", "endpoint", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        config = {"endpoints": {"m": {"base_url": url}}, "cache": {"store": "memory:"}}
        with aiquery.connect(config=config) as con:
            assert con.sql("SELECT ai_query('m', 'hello')").fetchall() == [("echo: hello",)]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
