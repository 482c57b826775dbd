"""ai_filter in WHERE and JOIN: only rows that pass the other conditions send requests."""

import json

CHAT = {"chat": "m"}


def test_where_with_cheap_conditions_first(engine, serve):
    def reply(question):
        text = question.prompt.split("Text:")[-1]
        return json.dumps({"result": "yes" in text})

    server = serve(reply)
    sql = engine(m=server.endpoint(), defaults=CHAT)
    texts = [f"yes {i}" if i % 2 else f"no {i}" for i in range(100)]
    sql.table(id=list(range(100)), s=texts)
    where = "id < 10 AND ai_filter(s, 'says yes')"
    if sql.name == "duckdb":
        where = "ai_filter(s, 'says yes') AND id < 10"
    rows = sql.rows(f"SELECT id FROM t WHERE {where} ORDER BY id")
    assert rows == [(1,), (3,), (5,), (7,), (9,)]
    assert server.calls == 10


def test_join_on_a_condition_from_a_column(engine, serve):
    def reply(question):
        condition, *_ = question.prompt.split("\n")
        return json.dumps({"result": condition[-1] == question.prompt[-1]})

    server = serve(reply)
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text 1", "text 2", "text 3"])
    joined = "SELECT a.s, b.s FROM t a JOIN t b ON ai_filter(a.s, 'is like ' || b.s) ORDER BY 1"
    assert sql.rows(joined) == [(f"text {i}", f"text {i}") for i in (1, 2, 3)]
    assert server.calls == 9
