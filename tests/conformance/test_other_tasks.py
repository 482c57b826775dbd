"""Embedding and custom endpoints: the endpoint determines the type of a call."""

import pytest

from aiquery.testing import Answer


def test_embedding(engine, endpoint):
    sql = engine(e=endpoint.endpoint(task="embedding"))
    sql.table(s=["a", "b", "a"])
    assert sql.types("SELECT ai_query('e', s) FROM t") == ["FLOAT[]"]
    vectors = [row[0] for row in sql.rows("SELECT ai_query('e', s) FROM t")]
    assert [len(vector) for vector in vectors] == [8, 8, 8]
    assert vectors[0] == vectors[2] != vectors[1]
    assert endpoint.requests[0].path == "/v1/embeddings"
    assert endpoint.calls == 1  # both texts in one request
    assert sorted(endpoint.requests[0].texts) == ["a", "b"]


def make_custom_endpoint(server, **settings):
    return {"provider": "mlflow", "task": "custom", "base_url": server.base_url, **settings}


def test_a_record_is_sent_to_a_custom_endpoint(engine, serve):
    def reply(question):
        (record,) = question.body["dataframe_records"]
        return Answer(body=b'{"predictions": [%d]}' % record["rooms"])

    server = serve(reply)
    sql = engine(price=make_custom_endpoint(server, return_type="DOUBLE"))
    sql.table(rooms=[3, 4], city=["Bonn", "Köln"])
    rows = sql.rows("SELECT ai_query('price', {'rooms': rooms, 'city': city}) FROM t ORDER BY rooms")
    assert rows == [(3.0,), (4.0,)]
    assert server.requests[0].body["dataframe_records"][0].keys() == {"rooms", "city"}


def test_the_return_type_of_the_call_replaces_that_of_the_endpoint(engine, serve):
    server = serve(lambda _: Answer(body=b'{"predictions": [{"score": 0.5}]}'))
    sql = engine(price=make_custom_endpoint(server))
    sql.table(s=["x"])
    rows = sql.rows("SELECT ai_query('price', s, returnType => 'STRUCT<score: DOUBLE>') FROM t")
    assert rows == [({"score": 0.5},)]


def test_a_struct_for_an_embedding_endpoint_is_rejected(engine, endpoint):
    sql = engine(e=endpoint.endpoint(task="embedding"))
    sql.table(s=["x"])
    with pytest.raises(sql.errors, match="must be a STRING for an embedding endpoint"):
        sql.rows("SELECT ai_query('e', {'a': s}, failOnError => false) FROM t")
    assert endpoint.calls == 0
