"""ai_extract: a struct of texts, or a document of the user's own schema."""

import json

CHAT = {"chat": "m"}
SCHEMA = {
    "id": {"type": "integer", "description": "the number"},
    "paid": {"type": "boolean"},
    "kind": {"type": "enum", "labels": ["order", "refund"]},
    "buyer": {"type": "object", "properties": {"name": {"type": "string"}}},
    "prices": {"type": "array", "items": {"type": "number"}},
}


def test_version_1_has_a_field_per_name_and_null_for_what_is_absent(engine, serve):
    replies = {
        "first": {"name": "Ana", "home city": ""},
        "second": {"home city": ["Bonn", "Köln"]},
    }
    server = serve(
        lambda q: json.dumps(next(r for key, r in replies.items() if key in q.prompt))
    )
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(id=[1, 2], s=["first", "second"])
    call = "ai_extract(s, ['name', 'home city'])"
    assert sql.types(f"SELECT {call} FROM t") == [
        'STRUCT("name" VARCHAR, "home city" VARCHAR)'
    ]
    assert sql.rows(f"SELECT {call} FROM t ORDER BY id") == [
        ({"name": "Ana", "home city": None},),
        ({"name": None, "home city": "Bonn, Köln"},),
    ]
    assert server.requests[0].body["response_format"]["json_schema"]["schema"][
        "required"
    ] == ["name", "home city"]


def test_version_2_constrains_to_the_schema_and_fills_with_null(engine, serve):
    found = {"id": 7, "kind": "refund", "buyer": {"name": None}, "prices": [1.5]}
    server = serve(lambda _: json.dumps(found))
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    rows = sql.rows(
        f"SELECT ai_extract(s, '{json.dumps(SCHEMA)}', map{{'instructions': 'In euros.'}}) FROM t"
    )
    assert rows[0][0] == {"response": {**found, "paid": None}, "error_message": None}
    asked = server.requests[0].body["response_format"]["json_schema"]["schema"][
        "properties"
    ]
    assert asked["id"] == {"type": ["integer", "null"], "description": "the number"}
    assert asked["kind"] == {"enum": ["order", "refund", None]}
    system = server.requests[0].body["messages"][0]["content"]
    assert "- id (integer, the number)\n" in system
    assert "- buyer (object)\n  - name (string)\n" in system
    assert "In euros." in system


def test_version_2_takes_a_list_of_names(engine, serve):
    sql = engine(m=serve(lambda _: '{"a": "x"}').endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    rows = sql.rows("SELECT ai_extract(s, '[\"a\", \"b\"]') ->> '$.response' FROM t")
    assert json.loads(rows[0][0]) == {"a": "x", "b": None}


def test_a_document_that_violates_the_schema_stands_as_an_error_in_the_value(
    engine, serve
):
    server = serve(lambda _: '{"id": "seven"}')
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    row = sql.rows(f"SELECT ai_extract(s, '{json.dumps(SCHEMA)}') FROM t")[0][0]
    assert row["response"] is None
    assert "violates the schema" in row["error_message"]
    assert server.calls == 2  # repaired once
