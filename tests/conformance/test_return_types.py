"""returnType sets the type of the column at analysis, constrains the model, and parses the reply."""

import datetime as dt
import decimal
import json

import pytest

CASES = [
    ("STRING", "plain text", "plain text"),
    ("INT", '{"result": 7}', 7),
    ("INT", "7", 7),
    ("BIGINT", '{"result": 9999999999}', 9999999999),
    ("SMALLINT", "-3", -3),
    ("TINYINT", "3", 3),
    ("DOUBLE", '{"result": 0.25}', 0.25),
    ("FLOAT", "1.5", 1.5),
    ("BOOLEAN", '{"result": true}', True),
    ("DATE", '{"result": "2026-11-22"}', dt.date(2026, 11, 22)),
    ("TIMESTAMP_NTZ", '{"result": "2026-11-22T10:00:00"}', dt.datetime(2026, 11, 22, 10)),
    ("DECIMAL(10,2)", '{"result": 12.345}', decimal.Decimal("12.35")),
    ("ARRAY<STRING>", '{"result": ["a", "b"]}', ["a", "b"]),
    ("ARRAY<INT>", "[1, 2]", [1, 2]),
    ("MAP<STRING, INT>", '{"result": {"a": 1}}', {"a": 1}),
    ("STRUCT<a: INT, b: ARRAY<STRING>>", '{"a": 1, "b": ["x"]}', {"a": 1, "b": ["x"]}),
    ("STRUCT<a INT, b STRUCT<c: DOUBLE>>", '```json\n{"a": 1, "b": {"c": 2}}\n```', {"a": 1, "b": {"c": 2.0}}),
    ("a INT, b STRING", '{"a": null, "b": "x"}', {"a": None, "b": "x"}),
    ("ARRAY<STRUCT<n: STRING>>", '{"result": [{"n": "é\\u0000"}]}', [{"n": "é\0"}]),
]


@pytest.mark.parametrize(("ddl", "reply", "value"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
def test_a_reply_is_parsed_into_the_type(engine, serve, ddl, reply, value):
    server = serve(lambda _: reply)
    sql = engine(m=server.endpoint())
    sql.table(s=["q"])
    rows = sql.rows(f"SELECT ai_query('m', s, returnType => '{ddl}') FROM t")
    assert rows == [(value,)]
    assert ("response_format" in server.requests[0].body) == (ddl != "STRING")


def test_a_timestamp_is_an_instant(engine, serve):
    sql = engine(m=serve(lambda _: '{"result": "2026-11-22T10:00:00Z"}').endpoint())
    sql.table(s=["q"])
    query = "SELECT ai_query('m', s, returnType => 'TIMESTAMP') AS x FROM t"
    assert sql.types(query) == ["TIMESTAMP WITH TIME ZONE"]
    assert sql.rows(f"SELECT epoch(x) FROM ({query})") == [(1795341600.0,)]


def test_the_type_is_resolved_before_any_call(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(s=["q"])
    (dtype,) = sql.types("SELECT ai_query('m', s, returnType => 'STRUCT<a: INT>', failOnError => false) x FROM t")
    expected = "STRUCT(result STRUCT(a INTEGER), errorMessage VARCHAR)"
    assert dtype.replace('"', "") == expected
    assert endpoint.calls == 0


def test_the_schema_of_the_type_is_sent(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(s=["q"])
    sql.rows("SELECT ai_query('m', s, returnType => 'ARRAY<INT>') FROM t")
    sent = endpoint.requests[0].body["response_format"]["json_schema"]
    assert sent["strict"] is True
    assert sent["schema"] == {
        "type": "object",
        "properties": {
            "result": {"type": "array", "items": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}}
        },
        "required": ["result"],
        "additionalProperties": False,
    }
    assert json.dumps(sent)
