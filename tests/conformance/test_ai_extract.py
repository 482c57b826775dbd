"""ai_extract: a struct of texts, or a document with the schema of the caller."""

import json

CHAT = {"chat": "m"}
SCHEMA = {
    "id": {"type": "integer", "description": "the number"},
    "paid": {"type": "boolean"},
    "kind": {"type": "enum", "labels": ["order", "refund"]},
    "buyer": {"type": "object", "properties": {"name": {"type": "string"}}},
    "prices": {"type": "array", "items": {"type": "number"}},
}


def read_schema(request):
    return request.body["response_format"]["json_schema"]["schema"]


def test_version_1_has_a_field_for_each_name_and_null_for_missing_values(engine, serve):
    replies = {"first": {"name": "Ana", "home city": ""}, "second": {"home city": ["Bonn", "Köln"]}}

    def reply(question):
        key = "first" if "first" in question.prompt else "second"
        return json.dumps(replies[key])

    server = serve(reply)
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(id=[1, 2], s=["first", "second"])
    call = "ai_extract(s, ['name', 'home city'])"
    assert sql.types(f"SELECT {call} FROM t") == ['STRUCT("name" VARCHAR, "home city" VARCHAR)']
    assert sql.rows(f"SELECT {call} FROM t ORDER BY id") == [
        ({"name": "Ana", "home city": None},),
        ({"name": None, "home city": "Bonn, Köln"},),
    ]
    assert read_schema(server.requests[0])["required"] == ["name", "home city"]


def test_version_2_constrains_to_the_schema_and_fills_with_null(engine, serve):
    document = {"id": 7, "kind": "refund", "buyer": {"name": None}, "prices": [1.5]}
    server = serve(lambda _: json.dumps(document))
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    rows = sql.rows(f"SELECT ai_extract(s, '{json.dumps(SCHEMA)}', map{{'instructions': 'In euros.'}}) FROM t")
    assert rows[0][0] == {"response": {**document, "paid": None}, "error_message": None}
    sent = read_schema(server.requests[0])["properties"]
    assert sent["id"] == {"type": ["integer", "null"], "description": "the number"}
    assert sent["kind"] == {"enum": ["order", "refund", None]}
    system = server.requests[0].body["messages"][0]["content"]
    assert "- id (integer, the number)\n" in system
    assert "- buyer (object)\n  - name (string)\n" in system
    assert "In euros." in system


def test_version_2_accepts_a_list_of_names(engine, serve):
    sql = engine(m=serve(lambda _: '{"a": "x"}').endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    rows = sql.rows("SELECT ai_extract(s, '[\"a\", \"b\"]') ->> '$.response' FROM t")
    assert json.loads(rows[0][0]) == {"a": "x", "b": None}


def test_a_document_that_violates_the_schema_is_an_error_in_the_value(engine, serve):
    server = serve(lambda _: '{"id": "seven"}')
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    ((value,),) = sql.rows(f"SELECT ai_extract(s, '{json.dumps(SCHEMA)}') FROM t")
    assert value["response"] is None
    assert "violates the schema" in value["error_message"]
    assert server.calls == 2  # repaired once
