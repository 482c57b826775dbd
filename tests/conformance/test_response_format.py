"""responseFormat: JSON and DDL; the answer is JSON text without fences."""


def test_json_object(engine, serve):
    server = serve(lambda _: '```json\n{"a": 1}\n```')
    sql = engine(m=server.endpoint())
    sql.table(s=["q"])
    rows = sql.rows("""SELECT ai_query('m', s, responseFormat => '{"type":"json_object"}') FROM t""")
    assert rows == [('{"a": 1}',)]
    assert server.requests[0].body["response_format"] == {"type": "json_object"}


def test_text(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(s=["q"])
    rows = sql.rows("""SELECT ai_query('m', s, responseFormat => '{"type":"text"}') FROM t""")
    assert rows == [("echo: q",)]
    assert "response_format" not in endpoint.requests[0].body


def test_the_schema_of_ddl_is_that_of_its_only_field(engine, serve):
    server = serve(lambda _: '{"a": "x"}')
    sql = engine(m=server.endpoint())
    sql.table(s=["q"])
    rows = sql.rows("SELECT ai_query('m', s, responseFormat => 'STRUCT<any: STRUCT<a: STRING>>') FROM t")
    assert rows == [('{"a": "x"}',)]
    schema = server.requests[0].body["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["a"]


def test_with_return_type_the_reply_is_parsed(engine, serve):
    server = serve(lambda _: '{"a": 3}')
    sql = engine(m=server.endpoint())
    sql.table(s=["q"])
    query = """SELECT ai_query('m', s, returnType => 'STRUCT<a: INT>', responseFormat => '{"type":"json_object"}')
    FROM t"""
    assert sql.rows(query) == [({"a": 3},)]
    assert server.requests[0].body["response_format"] == {"type": "json_object"}


def test_the_fence_around_a_whole_plain_answer_is_removed(engine, serve):
    sql = engine(m=serve(lambda _: '```json\n{"name": "Ana"}\n```').endpoint())
    sql.table(s=["q"])
    assert sql.rows("SELECT ai_query('m', s) FROM t") == [('{"name": "Ana"}',)]
