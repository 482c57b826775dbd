"""ai_filter in WHERE and JOIN: only rows that can still matter are asked about."""

import json

CHAT = {"chat": "m"}


def true_if(word):
    return lambda q: json.dumps({"result": word in q.prompt.split("Text:")[-1]})


def test_where_with_cheap_conditions_first(engine, serve):
    server = serve(true_if("yes"))
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(
        id=list(range(100)), s=[f"yes {i}" if i % 2 else f"no {i}" for i in range(100)]
    )
    where = (
        "ai_filter(s, 'says yes') AND id < 10"
        if sql.name == "duckdb"
        else "id < 10 AND ai_filter(s, 'says yes')"
    )
    assert sql.rows(f"SELECT id FROM t WHERE {where} ORDER BY id") == [
        (i,) for i in (1, 3, 5, 7, 9)
    ]
    assert server.calls == 10


def test_join_on_with_the_condition_from_a_column(engine, serve):
    server = serve(
        lambda q: json.dumps({"result": q.prompt.split("\n")[0][-1] == q.prompt[-1]})
    )
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text 1", "text 2", "text 3"])
    joined = "SELECT a.s, b.s FROM t a JOIN t b ON ai_filter(a.s, 'is like ' || b.s) ORDER BY 1"
    assert sql.rows(joined) == [(f"text {i}", f"text {i}") for i in (1, 2, 3)]
    assert server.calls == 9
