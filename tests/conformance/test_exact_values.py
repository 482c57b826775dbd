"""What a reply holds is the value, exactly, or the row's error: no digit is lost, and nothing passes that is none."""

import json
from decimal import Decimal

import pytest

from aiquery.errors import UnsupportedReturnType
from aiquery.testing import Answer

CHAT = {"chat": "m"}


def asked(engine, serve, reply, call):
    sql = engine(m=serve(lambda _: reply).endpoint(), defaults=CHAT)
    sql.table(s=["x"])
    return sql.rows(f"SELECT {call} FROM t")[0][0]


DECIMALS = {
    ("DECIMAL(18,2)", "1234567890123456.78"): "1234567890123456.78",
    ("DECIMAL(20,2)", "123456789012345678.91"): "123456789012345678.91",
    (
        "DECIMAL(38,0)",
        "12345678901234567890123456789012345678",
    ): "12345678901234567890123456789012345678",
    ("DECIMAL(38,10)", "1e-10"): "1E-10",
    ("DECIMAL(10,2)", '"1.005"'): "1.01",
}


@pytest.mark.parametrize(("kind", "reply"), DECIMALS)
def test_a_decimal_keeps_its_digits(engine, serve, kind, reply):
    wanted = Decimal(DECIMALS[kind, reply])
    found = asked(
        engine,
        serve,
        f'{{"a": {reply}}}',
        f"ai_query('m', s, returnType => 'STRUCT<a: {kind}>')",
    )
    assert found == {"a": wanted}
    assert (
        asked(
            engine,
            serve,
            f'{{"result": {reply}}}',
            f"ai_query('m', s, returnType => '{kind}')",
        )
        == wanted
    )


OUTSIDE = {
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


@pytest.mark.parametrize(("kind", "reply"), OUTSIDE)
def test_a_value_out_of_range_is_the_row_s_error(engine, serve, kind, reply):
    found = asked(
        engine,
        serve,
        reply,
        f"ai_query('m', s, returnType => '{kind}', failOnError => false)",
    )
    assert (found["result"] is None) != (found["errorMessage"] is None)
    assert OUTSIDE[kind, reply] is None or OUTSIDE[kind, reply] in found["errorMessage"]


@pytest.mark.parametrize(
    ("ddl", "names"),
    [
        ("STRUCT<a: INT, A: STRING>", "'a' and 'A'"),
        ("STRUCT<b: STRUCT<x: INT, x: INT>>", "'x' and 'x'"),
    ],
)
def test_fields_of_one_name_are_refused_before_anything_is_asked(
    engine, serve, ddl, names
):
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
def test_what_an_extraction_leaves_out_is_null_at_every_level(engine, serve, reply):
    found = asked(engine, serve, reply, f"ai_extract(s, '{json.dumps(NESTED)}')")
    assert found == {"response": REPLIES[reply], "error_message": None}


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
    sql = engine(
        m=serve(lambda _: f'{{"entities": {entities}}}').endpoint(), defaults=CHAT
    )
    sql.table(s=["John Doe lives here"])
    ((found,),) = sql.rows("SELECT ai_mask(s, ['person'], failOnError => false) FROM t")
    assert found["result"] == ENTITIES[entities]
    assert (found["errorMessage"] is None) == (found["result"] is not None)


def vectors(question):
    """Give a text of n characters a vector of n numbers, but for some."""
    special = {"huge": [1e300, 1.0], "none": []}
    found = [
        special.get(text, [float(ord(letter)) for letter in text])
        for text in question.texts
    ]
    data = [
        {"object": "embedding", "index": i, "embedding": vector}
        for i, vector in enumerate(found)
    ]
    return Answer(
        body=json.dumps({"object": "list", "data": data, "model": "e"}).encode()
    )


def test_vectors_of_two_lengths_are_the_row_s_error(engine, serve):
    server = serve(vectors)
    sql = engine(e=server.endpoint(task="embedding"), defaults={"embedding": "e"})
    sql.table(a=["ab", "ab", "abc", "huge"], b=["ba", "abc", "cba", "ab"])
    rows = [
        row[0]
        for row in sql.rows(
            "SELECT ai_similarity(a, b, failOnError => false) FROM t ORDER BY a, b"
        )
    ]
    by_error = [row["errorMessage"] for row in rows]
    assert [error is None for error in by_error] == [False, True, True, False]
    assert "have 2 and 3 dimensions" in by_error[0]
    assert "not finite" in by_error[3]


def test_an_embedding_that_is_none_is_the_row_s_error(engine, serve):
    sql = engine(
        e=serve(vectors).endpoint(task="embedding"), defaults={"embedding": "e"}
    )
    sql.table(s=["ab", "huge", "none"])
    rows = [
        row[0]
        for row in sql.rows(
            "SELECT ai_embed(s, failOnError => false) FROM t ORDER BY s"
        )
    ]
    assert [row["result"] for row in rows] == [[97.0, 98.0], None, None]
    assert [
        ("finite" in row["errorMessage"], "without numbers" in row["errorMessage"])
        for row in rows[1:]
    ] == [
        (True, False),
        (False, True),
    ]
