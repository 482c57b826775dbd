"""ai_mask: the model names entities, we mask them; what lies outside comes back byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiquery.functions.ai_mask import MASK, mask

CHAT = {"chat": "m"}


def masked_by(engine, serve, text, *entities):
    reply = json.dumps(
        {"entities": [{"label": "person", "text": entity} for entity in entities]}
    )
    sql = engine(m=serve(lambda _: reply).endpoint(), defaults=CHAT)
    sql.table(s=[text])
    return sql.rows("SELECT ai_mask(s, ['person', 'email']) FROM t")[0][0]


CASES = {
    "repeated": (
        "Ann, ann and Ann again",
        ["Ann"],
        "[MASKED], [MASKED] and [MASKED] again",
    ),
    "overlapping itself": ("anana banana", ["ana"], "[MASKED] b[MASKED]"),
    "overlapping": (
        "call John Doe now",
        ["John", "John Doe", "Doe"],
        "call [MASKED] now",
    ),
    "partly overlapping": (
        "Anna Maria Lopez",
        ["Anna Maria", "Maria Lopez"],
        "[MASKED]",
    ),
    "touching": ("ab@x.orgcd", ["ab@x.org", "cd"], "[MASKED][MASKED]"),
    "not ASCII": (
        "Zoë Müller 👩🏽‍🚀 lebt in Köln",
        ["Zoë Müller", "Köln"],
        "[MASKED] 👩🏽‍🚀 lebt in [MASKED]",
    ),
    "inside a longer word": ("Al said also", ["Al"], "[MASKED] said also"),
    "only inside a longer word": ("id=user42x", ["user42"], "id=[MASKED]x"),
    "another case and other white space": (
        "JOHN\n  DOE was here",
        ["John Doe"],
        "[MASKED] was here",
    ),
    "words that overlap themselves": ("go go go!", ["go go"], "[MASKED]!"),
    "nothing": ("nobody\t\r\n is here ", [], "nobody\t\r\n is here "),
    "regular expressions": ("a.c (x) abc", ["a.c", "(x)"], "[MASKED] [MASKED] abc"),
}


@pytest.mark.parametrize("name", CASES)
def test_spans(engine, serve, name):
    text, entities, expected = CASES[name]
    assert masked_by(engine, serve, text, *entities) == expected


def test_an_entity_that_is_not_in_the_text_is_asked_again_and_then_fails_the_row(
    engine, serve
):
    def reply(question):
        again = len(question.body["messages"]) > 2
        name = (
            "Jon"
            if "stubborn" in question.body["messages"][1]["content"] or not again
            else "John"
        )
        return json.dumps({"entities": [{"label": "person", "text": name}]})

    server = serve(reply)
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(id=[1, 2], s=["John left", "stubborn John"])
    rows = [
        row[0]
        for row in sql.rows(
            "SELECT ai_mask(s, ['person'], failOnError => false) FROM t ORDER BY id"
        )
    ]
    assert rows[0]["result"] == "[MASKED] left"
    assert rows[1]["result"] is None
    assert "'Jon' was named, but it is not in the text" in rows[1]["errorMessage"]
    assert server.calls == 4


@given(
    st.lists(
        st.sampled_from(
            ["Ann", "Köln", "é", " ", "x", "42", "\n", "👩🏽‍🚀", "Ann-Lee"]
        ),
        max_size=12,
    ),
    st.data(),
)
def test_what_lies_outside_is_untouched_and_no_entity_is_left(parts, data):
    text = "".join(parts)
    named = [part for part in parts if part.strip()]
    entities = data.draw(st.lists(st.sampled_from(named), max_size=3)) if named else []
    result = mask(text, entities)
    rest = text
    for piece in result.split(
        MASK
    ):  # every piece outside the masks stands in the text, in order
        assert piece in rest
        rest = rest[rest.index(piece) + len(piece) :]
    assert (result == text) == (not entities)


def test_a_thousand_entities_each_a_thousand_times():
    names = [f"name{i}" for i in range(1000)]
    text = " met ".join(names)
    assert mask(text, names * 1000) == " met ".join([MASK] * 1000)
