"""NULL request: NULL answer, no call. An empty string is a request."""


def test_null_is_null_and_not_asked(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(id=[1, 2, 3], s=["a", None, ""])
    assert sql.rows("SELECT id, ai_query('m', s) FROM t ORDER BY id") == [
        (1, "echo: a"),
        (2, None),
        (3, "echo: "),
    ]
    assert sorted(endpoint.prompts) == ["", "a"]


def test_all_null(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(s=[None, None])
    assert (
        sql.rows("SELECT ai_query('m', s::VARCHAR, failOnError => false) FROM t")
        == [({"result": None, "errorMessage": None},)] * 2
    )
    assert endpoint.calls == 0
