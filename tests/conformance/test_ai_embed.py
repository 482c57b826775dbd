"""ai_embed and ai_similarity: packed requests, a fixed length where it is known, each distinct text once."""

import json
from collections import Counter

import pytest

from aiquery.testing import Answer

EMBEDDING = {"embedding": "e"}


@pytest.mark.gap("spark", "Spark has no arrays of fixed length")
def test_floats_of_known_length_are_an_array(engine, serve):
    sql = engine(e=serve().endpoint(task="embedding", dimensions=8), defaults=EMBEDDING)
    sql.table(id=[1, 2, 3], s=["a", None, "b"])
    assert sql.types("SELECT ai_embed(s) FROM t") == ["FLOAT[8]"]
    rows = sql.rows("SELECT ai_embed(s) FROM t ORDER BY id")
    assert [row[0] and len(row[0]) for row in rows] == [8, None, 8]
    named = sql.rows("SELECT ai_query('e', s) FROM t ORDER BY id")
    assert [row[0] and tuple(row[0]) for row in named] == [row[0] for row in rows]


def test_floats_of_unknown_length_are_a_list_and_a_wrong_length_names_the_fix(
    engine, serve
):
    server = serve()
    sql = engine(
        e=server.endpoint(task="embedding"),
        f=server.endpoint(task="embedding", dimensions=9),
    )
    sql.table(s=["a"])
    assert sql.types("SELECT ai_embed(s, endpoint => 'e') FROM t") == ["FLOAT[]"]
    row = sql.rows("SELECT ai_embed(s, endpoint => 'f', failOnError => false) FROM t")[
        0
    ][0]
    assert "set dimensions = 8" in row["errorMessage"]


@pytest.mark.gap(
    "spark",
    "Arrow batches of 256 rows: the first is packed before the others are there",
)
def test_texts_are_packed_longest_with_longest_and_each_gets_its_own(engine, serve):
    server = serve()
    sql = engine(
        e=server.endpoint(task="embedding", max_batch_size=50, max_concurrency=2),
        defaults=EMBEDDING,
    )
    texts = [f"{i} " + "x" * (i % 97) for i in range(1000)]
    sql.table(id=list(range(1000)), s=texts)
    together = [row[0] for row in sql.rows("SELECT ai_embed(s) FROM t ORDER BY id")]
    assert server.calls == 20
    assert sorted(
        text for question in server.requests for text in question.texts
    ) == sorted(texts)
    spreads = [max(map(len, q.texts)) - min(map(len, q.texts)) for q in server.requests]
    assert max(spreads) < 20
    alone = engine(
        e=server.endpoint(task="embedding", max_batch_size=1), defaults=EMBEDDING
    )
    alone.table(s=texts[:3])
    assert [row[0] for row in alone.rows("SELECT ai_embed(s) FROM t")] == together[:3]


def test_many_texts_are_few_requests_unconfigured(engine, serve):
    server = serve()
    sql = engine(e=server.endpoint(task="embedding"), defaults=EMBEDDING)
    sql.table(s=[f"text number {i}" for i in range(5000)])
    assert sql.rows("SELECT count(DISTINCT ai_embed(s)) > 1000 FROM t") == [(True,)]
    assert server.calls * 40 <= 5000


@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_one_text_that_is_refused_takes_no_other_with_it(engine, serve, status):
    server = serve(
        lambda q: Answer(status=status, text="no") if "bad" in q.texts else Answer()
    )
    sql = engine(
        e=server.endpoint(task="embedding", max_attempts=1), defaults=EMBEDDING
    )
    sql.table(
        id=list(range(40)), s=["bad" if i == 17 else f"text {i}" for i in range(40)]
    )
    rows = [
        row[0]
        for row in sql.rows(
            "SELECT ai_embed(s, failOnError => false) FROM t ORDER BY id"
        )
    ]
    assert [i for i, row in enumerate(rows) if row["result"] is None] == [17]
    assert server.calls <= 13  # halves: 2 * log2(40) + 1


def test_a_text_that_is_too_long_is_cut_and_counted(engine, serve):
    def reply(question):
        longest = max(map(len, question.texts))
        message = f"This model's maximum context length is 100 tokens, however you requested {longest} tokens"
        return Answer(status=400, text=message) if longest > 100 else Answer()

    server = serve(reply)
    sql = engine(e=server.endpoint(task="embedding"), defaults=EMBEDDING)
    sql.table(id=[1, 2], s=["short", "long " * 200])
    rows = sql.rows("SELECT ai_embed(s) FROM t ORDER BY id")
    assert all(row[0] is not None for row in rows)
    assert max(len(text) for text in server.requests[-1].texts) <= 100
    if sql.name == "duckdb":
        assert sql.con.ledger.totals["e"].truncated == 1


def test_base64_and_the_order_of_the_reply(engine, serve):
    vectors = {"a": "AACAPwAAAAA=", "b": "AAAAAAAAgD8="}  # [1, 0] and [0, 1]

    def reply(question):
        data = [
            {"index": i, "embedding": vectors[text]}
            for i, text in enumerate(question.texts)
        ]
        return Answer(body=json.dumps({"data": data[::-1]}).encode())

    sql = engine(e=serve(reply).endpoint(task="embedding"), defaults=EMBEDDING)
    sql.table(id=[1, 2], s=["a", "b"])
    assert sql.rows("SELECT ai_embed(s) FROM t ORDER BY id") == [
        ([1.0, 0.0],),
        ([0.0, 1.0],),
    ]
    assert sql.rows("SELECT ai_similarity(s, 'b') FROM t ORDER BY id") == [
        (0.0,),
        (1.0,),
    ]


def test_similarity_embeds_each_text_once_in_a_join(engine, serve):
    server = serve()
    sql = engine(e=server.endpoint(task="embedding"), defaults=EMBEDDING)
    sql.table(
        i=list(range(300)),
        s=[f"left {i}" for i in range(300)],
        o=[f"right {i}" for i in range(300)],
    )
    rows = sql.rows(
        "SELECT a.i, b.i FROM t a, t b ORDER BY ai_similarity(a.s, b.o) DESC, 1, 2 LIMIT 5"
    )
    assert len(rows) == 5
    embedded = Counter(text for question in server.requests for text in question.texts)
    assert len(embedded) == 600
    assert embedded - Counter(set(embedded)) == {}
    sql.rows("SELECT ai_similarity(a.s, a.s) FROM t a")
    assert sql.rows(
        "SELECT ai_similarity(s, NULL), ai_similarity(s, s) FROM t LIMIT 1"
    ) == [(None, 1.0)]
    assert (
        sum(len(question.texts) for question in server.requests) == 600
    )  # equal texts need none


def test_a_busy_endpoint_is_asked_again_with_the_same_pack(engine, serve):
    server = serve(
        lambda q: (
            Answer(status=429, headers={"Retry-After": "0.1"})
            if q.number == 0
            else Answer()
        )
    )
    sql = engine(e=server.endpoint(task="embedding"), defaults=EMBEDDING)
    sql.table(s=[f"text {i}" for i in range(30)])
    assert len(sql.rows("SELECT ai_embed(s) FROM t")) == 30
    assert [len(question.texts) for question in server.requests] == [30, 30]


def test_an_endpoint_that_is_not_allowed_is_asked_once_and_not_text_by_text(
    engine, serve
):
    server = serve(api_key="secret")
    sql = engine(e=server.endpoint(task="embedding"), defaults=EMBEDDING)
    sql.table(s=[f"text {i}" for i in range(30)])
    rows = sql.rows("SELECT ai_embed(s, failOnError => false) FROM t")
    assert all("401" in row[0]["errorMessage"] for row in rows)
    assert server.calls == 1


def test_a_text_beyond_the_budget_is_null_where_errors_are_values(engine, serve):
    server = serve()
    embedding = server.endpoint(task="embedding", max_batch_size=1, max_concurrency=1)
    sql = engine(e=embedding, defaults=EMBEDDING, budget={"max_requests": 1})
    sql.table(s=["a", "b"])
    rows = [
        row[0]
        for row in sql.rows(
            "SELECT ai_embed(s, failOnError => false, on_budget => 'null') FROM t"
        )
    ]
    assert sorted(row["result"] is None for row in rows) == [False, True]
    assert all(row["errorMessage"] is None for row in rows)
