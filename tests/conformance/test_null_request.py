"""A NULL request returns NULL and sends no request. An empty string sends a request."""


def test_null_is_null_and_sends_no_request(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(id=[1, 2, 3], s=["a", None, ""])
    rows = sql.rows("SELECT id, ai_query('m', s) FROM t ORDER BY id")
    assert rows == [(1, "echo: a"), (2, None), (3, "echo: ")]
    assert sorted(endpoint.prompts) == ["", "a"]


def test_a_column_of_nulls_sends_no_request(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(s=[None, None])
    rows = sql.rows("SELECT ai_query('m', s::VARCHAR, failOnError => false) FROM t")
    assert rows == [({"result": None, "errorMessage": None},)] * 2
    assert endpoint.calls == 0
