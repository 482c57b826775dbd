"""ai_agg over groups of any size: every row is sent whole, in a fixed order, in as few calls as the context allows."""

import re

import pytest

from aiquery.testing import Answer

CHAT = {"chat": "m"}
CONTEXT = 1000


def is_part(request):
    """Return True if the request is about one part of a group."""
    return "one part of a larger collection" in request.body["messages"][0]["content"]


def find_rows(request):
    return re.findall(r"row \d+;", request.prompt)


@pytest.fixture
def big(engine, serve):
    """A group of 20 times the model's context, a group of one row, and one of NULLs."""
    server = serve(lambda q: "notes" if is_part(q) else f"answer about {len(find_rows(q))} rows")
    sql = engine(m=server.endpoint(context_window=CONTEXT), defaults=CHAT)
    texts = [f"row {i}; " + "word " * 50 for i in range(20 * CONTEXT * 4 // 258)]
    sql.table(g=[1] * len(texts) + [2, 3], s=[*texts, "row 7000;", None])
    return sql, server, len(texts)


def test_every_row_is_sent_once_and_a_group_of_one_row_is_one_call(big):
    sql, server, count = big
    rows = sql.rows("SELECT g, ai_agg(s, 'What is this about?') FROM t GROUP BY g ORDER BY g")
    assert rows == [(1, "answer about 0 rows"), (2, "answer about 1 rows"), (3, None)]
    parts = [request for request in server.requests if is_part(request)]
    sent = [row for request in parts for row in find_rows(request)]
    assert sorted(sent) == sorted(f"row {i};" for i in range(count))
    prompts = [request.prompt for request in server.requests]
    assert all(len(prompt) / 4 < CONTEXT for prompt in prompts)
    assert len([prompt for prompt in prompts if "row 7000;" in prompt]) == 1


def test_the_same_group_makes_the_same_requests_in_any_order_of_its_rows(big):
    sql, server, _ = big
    sql.rows("SELECT g, ai_agg(s, 'What?') FROM t GROUP BY g")
    calls = server.calls
    sql.rows("SELECT ai_agg(s, 'What?') FROM (FROM t ORDER BY hash(s)) WHERE g = 1")
    assert server.calls == calls


def test_a_body_that_is_too_long_for_the_model_is_split(engine, serve):
    def reply(question):
        if len(find_rows(question)) > 3:
            return Answer(status=400, text="context length exceeded")
        return "short notes"

    server = serve(reply)
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=[f"row {i};" for i in range(10)])
    assert sql.rows("SELECT ai_agg(s, 'What?') FROM t") == [("short notes",)]
    row_lists = [find_rows(request) for request in server.requests]
    answered = [row for rows in row_lists if len(rows) <= 3 for row in rows]
    assert sorted(answered) == [f"row {i};" for i in range(10)]


def test_a_text_longer_than_the_context_is_sent_in_pieces(engine, serve):
    server = serve(lambda _: "notes")
    sql = engine(m=server.endpoint(context_window=CONTEXT), defaults=CHAT)
    words = [f"w{i}" for i in range(3000)]
    sql.table(s=[" ".join(words)])
    sql.rows("SELECT ai_agg(s, 'What?') FROM t")
    prompts = [request.prompt for request in server.requests]
    sent = [word for prompt in prompts for word in re.findall(r"w\d+", prompt)]
    assert sorted(sent) == sorted(words)


def test_many_groups_are_in_flight_at_once(engine, serve):
    server = serve(latency=0.2)
    sql = engine(m=server.endpoint(max_concurrency=50), defaults=CHAT)
    sql.table(g=list(range(50)), s=[f"text {i}" for i in range(50)])
    rows = sql.rows("SELECT g, ai_summarize_agg(s) FROM t GROUP BY g ORDER BY g")
    assert [row[1] for row in rows] == [f'echo: Texts, one JSON string per line:\n- "text {i}"' for i in range(50)]
    assert server.peak_in_flight >= 49  # the first request to an endpoint is sent alone
