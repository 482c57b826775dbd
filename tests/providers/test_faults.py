"""Every fault that an endpoint can show: retried where that may help, else the row's own error; other rows go on."""

import time

import pytest

from aiquery.providers.http import retry_after_s
from aiquery.testing import Answer

TRANSIENT = {
    "429": Answer(status=429, headers={"Retry-After": "0.01"}),
    "500": Answer(status=500),
    "502 html": Answer(status=502, body=b"<html>bad gateway</html>"),
    "503": Answer(status=503),
    "504": Answer(status=504),
    "529": Answer(status=529),
    "408": Answer(status=408),
    "reset before headers": Answer(fate="reset"),
    "reset in the body": Answer(cut_after=10),
    "wrong content-length": Answer(content_length=100_000),
    "truncated JSON": Answer(body=b'{"choices": [{"mess'),
    "HTML instead of JSON": Answer(body=b"<!doctype html><p>hello"),
    "invalid UTF-8": Answer(body=b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'),
    "silence": Answer(fate="silence"),
    "slow drip": Answer(drip_s=1.0),
}
FAST = {"timeout": {"connect_s": 2, "read_s": 0.3, "total_s": 2}}


@pytest.mark.parametrize("name", TRANSIENT)
def test_a_transient_fault_is_retried(connect, serve, name):
    seen = set()

    def reply(question):
        first = question.prompt not in seen
        seen.add(question.prompt)
        return TRANSIENT[name] if first and question.prompt == "b" else Answer()

    server = serve(reply)
    con = connect(m=server.endpoint(**FAST))
    con.execute("CREATE TABLE t AS SELECT unnest(['a', 'b', 'c']) AS s")
    rows = con.sql("SELECT ai_query('m', s) FROM t").fetchall()
    assert rows == [("echo: a",), ("echo: b",), ("echo: c",)]
    assert server.calls_by_prompt["b"] == 2
    endings = [attempt.ending for attempt in con.ledger.attempts()]
    assert sorted(endings) == ["answered", "answered", "answered", "retried"]


@pytest.mark.parametrize("name", ["503", "truncated JSON", "reset before headers"])
def test_a_fault_that_stays_ends_after_the_bound(connect, serve, name):
    server = serve(lambda q: TRANSIENT[name] if q.prompt == "b" else Answer())
    con = connect(m=server.endpoint(max_attempts=3))
    con.execute("CREATE TABLE t AS SELECT unnest(['a', 'b', 'c']) AS s")
    rows = con.sql("SELECT ai_query('m', s, failOnError => false) AS r FROM t").fetchall()
    assert [row[0]["result"] for row in rows] == ["echo: a", None, "echo: c"]
    assert "after 3 attempts" in rows[1][0]["errorMessage"]
    assert server.calls_by_prompt["b"] == 3


def test_a_huge_body_is_an_error_and_not_held(connect, serve):
    server = serve(lambda _: Answer(body=b'{"x": "' + b"y" * 40_000_000 + b'"}'))
    con = connect(m=server.endpoint())
    row = con.sql("SELECT ai_query('m', 'q', failOnError => false)").fetchall()[0][0]
    assert "longer than" in row["errorMessage"]


def test_unreachable_is_named_after_the_retries(connect):
    con = connect(gone={"base_url": "http://127.0.0.1:9/v1", "max_attempts": 2})
    with pytest.raises(Exception, match=r"endpoint 'gone'.*127\.0\.0\.1:9.*after 2 attempts"):
        con.sql("SELECT ai_query('gone', 'q')")


def test_a_name_that_does_not_resolve(connect):
    con = connect(gone={"base_url": "http://models.invalid/v1", "max_attempts": 1})
    with pytest.raises(Exception, match=r"models\.invalid"):
        con.sql("SELECT ai_query('gone', 'q')")


def test_retry_after_is_waited_for(connect, serve):
    times = []

    def reply(question):
        times.append(question.at_s)
        return Answer(status=429, headers={"Retry-After": "0.5"}) if len(times) == 1 else Answer()

    con = connect(m=serve(reply).endpoint())
    con.sql("SELECT ai_query('m', 'q')")
    assert times[1] - times[0] >= 0.5


def test_retry_after_as_seconds_and_as_date():
    assert retry_after_s("2.5") == 2.5
    assert retry_after_s("-1") == 0
    assert retry_after_s(None) is None
    assert retry_after_s("soon") is None
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    assert 50 < retry_after_s(later) <= 61
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0
