"""responseFormat: the JSON forms and DDL; the reply is JSON text without fences."""


def test_json_object(engine, serve):
    server = serve(lambda _: '```json\n{"a": 1}\n```')
    sql = engine(m=server.endpoint())
    sql.table(s=["q"])
    assert sql.rows(
        """SELECT ai_query('m', s, responseFormat => '{"type":"json_object"}') FROM t"""
    ) == [('{"a": 1}',)]
    assert server.requests[0].body["response_format"] == {"type": "json_object"}


def test_text(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(s=["q"])
    assert sql.rows(
        """SELECT ai_query('m', s, responseFormat => '{"type":"text"}') FROM t"""
    ) == [("echo: q",)]
    assert "response_format" not in endpoint.requests[0].body


def test_ddl_drops_the_outer_name(engine, serve):
    server = serve(lambda _: '{"a": "x"}')
    sql = engine(m=server.endpoint())
    sql.table(s=["q"])
    assert sql.rows(
        "SELECT ai_query('m', s, responseFormat => 'STRUCT<any: STRUCT<a: STRING>>') FROM t"
    ) == [('{"a": "x"}',)]
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


def test_a_fully_fenced_plain_reply_loses_its_fence(engine, serve):
    sql = engine(m=serve(lambda _: '```json\n{"name": "Ana"}\n```').endpoint())
    sql.table(s=["q"])
    assert sql.rows("SELECT ai_query('m', s) FROM t") == [('{"name": "Ana"}',)]
