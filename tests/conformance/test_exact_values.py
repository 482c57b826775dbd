"""A reply is the exact value or a row error: no digit is lost, and no invalid value is accepted."""

import json
from decimal import Decimal

import pytest

from aiquery.errors import UnsupportedReturnType
from aiquery.testing import Answer

CHAT = {"chat": "m"}


def query_value(engine, serve, reply, call):
    sql = engine(m=serve(lambda _: reply).endpoint(), defaults=CHAT)
    sql.table(s=["x"])
    ((value,),) = sql.rows(f"SELECT {call} FROM t")
    return value


DECIMALS = {
    ("DECIMAL(18,2)", "1234567890123456.78"): "1234567890123456.78",
    ("DECIMAL(20,2)", "123456789012345678.91"): "123456789012345678.91",
    ("DECIMAL(38,0)", "12345678901234567890123456789012345678"): "12345678901234567890123456789012345678",
    ("DECIMAL(38,10)", "1e-10"): "1E-10",
    ("DECIMAL(10,2)", '"1.005"'): "1.01",
}


@pytest.mark.parametrize(("dtype", "number"), DECIMALS)
def test_a_decimal_has_all_its_digits(engine, serve, dtype, number):
    expected = Decimal(DECIMALS[dtype, number])
    call = f"ai_query('m', s, returnType => 'STRUCT<a: {dtype}>')"
    value = query_value(engine, serve, f'{{"a": {number}}}', call)
    assert value == {"a": expected}
    call = f"ai_query('m', s, returnType => '{dtype}')"
    value = query_value(engine, serve, f'{{"result": {number}}}', call)
    assert value == expected


OUT_OF_RANGE = {
    ("FLOAT", "1e300"): "1e+300 is out of range for FLOAT",
    ("FLOAT", "3.5e38"): "3.5e+38 is out of range for FLOAT",
    ("DOUBLE", "1e400"): "Number out of range",
    ("INT", "3000000000"): "3000000000 is out of range for INT",
    ("BIGINT", "9223372036854775808"): "is out of range for BIGINT",
    ("DECIMAL(4,2)", "123.4"): "is out of range for DECIMAL(4,2)",
    ("STRUCT<a: INT>", "null"): "the reply is null",
    ("STRING", "unused"): None,
    ("ARRAY<INT>", '{"result": null}'): "the reply is null",
}


@pytest.mark.parametrize(("dtype", "reply"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_a_row_error(engine, serve, dtype, reply):
    call = f"ai_query('m', s, returnType => '{dtype}', failOnError => false)"
    value = query_value(engine, serve, reply, call)
    message = OUT_OF_RANGE[dtype, reply]
    assert (value["result"] is None) != (value["errorMessage"] is None)
    assert message is None or message in value["errorMessage"]


@pytest.mark.parametrize(
    ("ddl", "names"),
    [("STRUCT<a: INT, A: STRING>", "'a' and 'A'"), ("STRUCT<b: STRUCT<x: INT, x: INT>>", "'x' and 'x'")],
)
def test_fields_of_the_same_name_are_rejected_before_any_call(engine, serve, ddl, names):
    server = serve()
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["x"])
    with pytest.raises((UnsupportedReturnType, *sql.errors), match=names):
        sql.rows(f"SELECT ai_query('m', s, returnType => '{ddl}') FROM t")
    assert server.calls == 0


NESTED = {"a": {"type": "integer"},
          "o": {"type": "object", "properties": {"p": {"type": "string"}, "q": {"type": "number"}}},
          "l": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "string"}}}}}  # fmt: skip
REPLIES = {
    '{"a": 1, "o": {"p": "x"}, "l": []}': {"a": 1, "o": {"p": "x", "q": None}, "l": []},
    '{"a": 1, "o": {"p": "x", "q": 1, "z": 5}, "l": [{"x": "y", "z": 1}, {}], "z": 1}': {
        "a": 1, "o": {"p": "x", "q": 1}, "l": [{"x": "y"}, {"x": None}]},
    '{"o": null}': {"a": None, "o": None, "l": None},
}  # fmt: skip


@pytest.mark.parametrize("reply", REPLIES)
def test_a_missing_field_is_null_at_every_level(engine, serve, reply):
    call = f"ai_extract(s, '{json.dumps(NESTED)}')"
    value = query_value(engine, serve, reply, call)
    assert value == {"response": REPLIES[reply], "error_message": None}


ENTITIES = {
    '["John Doe"]': "[MASKED] lives here",
    '[{"label": "person", "value": "John Doe"}]': "[MASKED] lives here",
    '[{"label": "person", "text": "john  doe"}]': "[MASKED] lives here",
    '[{"label": "person", "text": null}]': None,
    '[{"label": "person"}]': None,
    "[null]": None,
    "[[]]": None,
}


@pytest.mark.parametrize("entities", ENTITIES)
def test_an_entity_of_another_shape_is_masked_or_fails_the_row(engine, serve, entities):
    server = serve(lambda _: f'{{"entities": {entities}}}')
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["John Doe lives here"])
    ((value,),) = sql.rows("SELECT ai_mask(s, ['person'], failOnError => false) FROM t")
    assert value["result"] == ENTITIES[entities]
    assert (value["errorMessage"] is None) == (value["result"] is not None)


def make_vector(text):
    """Return a vector of n numbers for a text of n characters, and an invalid one for two special texts."""
    if text == "huge":
        return [1e300, 1.0]
    if text == "none":
        return []
    return [float(ord(letter)) for letter in text]


def reply_vectors(question):
    data = [
        {"object": "embedding", "index": i, "embedding": make_vector(text)} for i, text in enumerate(question.texts)
    ]
    document = {"object": "list", "data": data, "model": "e"}
    return Answer(body=json.dumps(document).encode())


def test_vectors_of_different_lengths_are_a_row_error(engine, serve):
    server = serve(reply_vectors)
    sql = engine(e=server.endpoint(task="embedding"), defaults={"embedding": "e"})
    sql.table(a=["ab", "ab", "abc", "huge"], b=["ba", "abc", "cba", "ab"])
    rows = sql.rows("SELECT ai_similarity(a, b, failOnError => false) FROM t ORDER BY a, b")
    errors = [value["errorMessage"] for (value,) in rows]
    assert [error is None for error in errors] == [False, True, True, False]
    assert "have 2 and 3 dimensions" in errors[0]
    assert "not finite" in errors[3]


def test_an_invalid_embedding_is_a_row_error(engine, serve):
    server = serve(reply_vectors)
    sql = engine(e=server.endpoint(task="embedding"), defaults={"embedding": "e"})
    sql.table(s=["ab", "huge", "none"])
    rows = sql.rows("SELECT ai_embed(s, failOnError => false) FROM t ORDER BY s")
    values = [value for (value,) in rows]
    errors = [value["errorMessage"] for value in values]
    assert [value["result"] for value in values] == [[97.0, 98.0], None, None]
    assert ["finite" in error for error in errors[1:]] == [True, False]
    assert ["without numbers" in error for error in errors[1:]] == [False, True]
