"""ai_embed and ai_similarity: batches, an array of fixed length if it is configured, each distinct text once."""

import json
from collections import Counter

import pytest

from aiquery.testing import Answer

EMBEDDING = {"embedding": "e"}


def embed(sql, options=""):
    """Return the values of ``ai_embed`` in the order of the ids."""
    rows = sql.rows(f"SELECT ai_embed(s{options}) FROM t ORDER BY id")
    return [value for (value,) in rows]


def count_texts(server):
    return Counter(text for request in server.requests for text in request.texts)


@pytest.mark.gap("spark", "Spark has no arrays of fixed length")
def test_floats_of_known_length_are_an_array(engine, serve):
    sql = engine(e=serve().endpoint(task="embedding", dimensions=8), defaults=EMBEDDING)
    sql.table(id=[1, 2, 3], s=["a", None, "b"])
    assert sql.types("SELECT ai_embed(s) FROM t") == ["FLOAT[8]"]
    vectors = embed(sql)
    assert [vector and len(vector) for vector in vectors] == [8, None, 8]
    rows = sql.rows("SELECT ai_query('e', s) FROM t ORDER BY id")
    assert [vector and tuple(vector) for (vector,) in rows] == vectors


def test_floats_of_unknown_length_are_a_list_and_the_error_of_a_wrong_length_names_the_fix(engine, serve):
    server = serve()
    sql = engine(e=server.endpoint(task="embedding"), f=server.endpoint(task="embedding", dimensions=9))
    sql.table(s=["a"])
    assert sql.types("SELECT ai_embed(s, endpoint => 'e') FROM t") == ["FLOAT[]"]
    ((value,),) = sql.rows("SELECT ai_embed(s, endpoint => 'f', failOnError => false) FROM t")
    assert "set dimensions = 8" in value["errorMessage"]


@pytest.mark.gap("spark", "Arrow batches of 256 rows: the first is sent before the others arrive")
def test_batches_have_texts_of_similar_length_and_each_row_has_its_own_vector(engine, serve):
    server = serve()
    sql = engine(e=server.endpoint(task="embedding", max_batch_size=50, max_concurrency=2), defaults=EMBEDDING)
    texts = [f"{i} " + "x" * (i % 97) for i in range(1000)]
    sql.table(id=list(range(1000)), s=texts)
    vectors = embed(sql)
    assert server.calls == 20
    assert count_texts(server) == Counter(texts)
    for request in server.requests:
        lengths = [len(text) for text in request.texts]
        assert max(lengths) - min(lengths) < 20
    unbatched = engine(e=server.endpoint(task="embedding", max_batch_size=1), defaults=EMBEDDING)
    unbatched.table(id=[0, 1, 2], s=texts[:3])
    assert embed(unbatched) == vectors[:3]


def test_many_texts_are_few_requests_by_default(engine, serve):
    server = serve()
    sql = engine(e=server.endpoint(task="embedding"), defaults=EMBEDDING)
    sql.table(s=[f"text number {i}" for i in range(5000)])
    assert sql.rows("SELECT count(DISTINCT ai_embed(s)) > 1000 FROM t") == [(True,)]
    assert server.calls * 40 <= 5000


@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_one_rejected_text_does_not_fail_the_others(engine, serve, status):
    server = serve(lambda q: Answer(status=status, text="no") if "bad" in q.texts else Answer())
    sql = engine(e=server.endpoint(task="embedding", max_attempts=1), defaults=EMBEDDING)
    sql.table(id=list(range(40)), s=["bad" if i == 17 else f"text {i}" for i in range(40)])
    values = embed(sql, ", failOnError => false")
    assert [i for i, value in enumerate(values) if value["result"] is None] == [17]
    assert server.calls <= 13  # halves: 2 * log2(40) + 1


def test_a_text_that_is_too_long_is_cut_and_counted(engine, serve):
    def reply(question):
        longest = max(map(len, question.texts))
        message = f"This model's maximum context length is 100 tokens, however you requested {longest} tokens"
        return Answer(status=400, text=message) if longest > 100 else Answer()

    server = serve(reply)
    sql = engine(e=server.endpoint(task="embedding"), defaults=EMBEDDING)
    sql.table(id=[1, 2], s=["short", "long " * 200])
    assert None not in embed(sql)
    assert max(len(text) for text in server.requests[-1].texts) <= 100
    if sql.name == "duckdb":
        assert sql.con.ledger.totals["e"].truncated == 1


def test_base64_and_the_order_of_the_reply(engine, serve):
    vectors = {"a": "AACAPwAAAAA=", "b": "AAAAAAAAgD8="}  # [1, 0] and [0, 1]

    def reply(question):
        data = [{"index": i, "embedding": vectors[text]} for i, text in enumerate(question.texts)]
        return Answer(body=json.dumps({"data": data[::-1]}).encode())

    sql = engine(e=serve(reply).endpoint(task="embedding"), defaults=EMBEDDING)
    sql.table(id=[1, 2], s=["a", "b"])
    assert embed(sql) == [[1.0, 0.0], [0.0, 1.0]]
    rows = sql.rows("SELECT ai_similarity(s, 'b') FROM t ORDER BY id")
    assert rows == [(0.0,), (1.0,)]


def test_similarity_embeds_each_text_of_a_join_once(engine, serve):
    server = serve()
    sql = engine(e=server.endpoint(task="embedding"), defaults=EMBEDDING)
    sql.table(i=list(range(300)), s=[f"left {i}" for i in range(300)], o=[f"right {i}" for i in range(300)])
    rows = sql.rows("SELECT a.i, b.i FROM t a, t b ORDER BY ai_similarity(a.s, b.o) DESC, 1, 2 LIMIT 5")
    assert len(rows) == 5
    embedded = count_texts(server)
    assert len(embedded) == 600
    assert max(embedded.values()) == 1
    sql.rows("SELECT ai_similarity(a.s, a.s) FROM t a")
    rows = sql.rows("SELECT ai_similarity(s, NULL), ai_similarity(s, s) FROM t LIMIT 1")
    assert rows == [(None, 1.0)]
    assert count_texts(server).total() == 600  # equal texts need no request


def test_a_throttled_batch_is_sent_again_whole(engine, serve):
    def reply(question):
        if question.number == 0:
            return Answer(status=429, headers={"Retry-After": "0.1"})
        return Answer()

    server = serve(reply)
    sql = engine(e=server.endpoint(task="embedding"), defaults=EMBEDDING)
    sql.table(s=[f"text {i}" for i in range(30)])
    assert len(sql.rows("SELECT ai_embed(s) FROM t")) == 30
    assert [len(request.texts) for request in server.requests] == [30, 30]


def test_a_batch_without_a_valid_key_is_sent_once_and_not_split(engine, serve):
    server = serve(api_key="secret")
    sql = engine(e=server.endpoint(task="embedding"), defaults=EMBEDDING)
    sql.table(s=[f"text {i}" for i in range(30)])
    rows = sql.rows("SELECT ai_embed(s, failOnError => false) FROM t")
    assert all("401" in row[0]["errorMessage"] for row in rows)
    assert server.calls == 1


def test_a_text_rejected_by_the_budget_is_null_and_has_no_error(engine, serve):
    server = serve()
    embedding = server.endpoint(task="embedding", max_batch_size=1, max_concurrency=1)
    sql = engine(e=embedding, defaults=EMBEDDING, budget={"max_requests": 1})
    sql.table(s=["a", "b"])
    rows = sql.rows("SELECT ai_embed(s, failOnError => false, on_budget => 'null') FROM t")
    assert sorted(value["result"] is None for (value,) in rows) == [False, True]
    assert all(value["errorMessage"] is None for (value,) in rows)
