"""ai_mask: the model names entities, aiquery masks them; the rest of the text is unchanged, byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiquery.functions.ai_mask import MASK, mask

CHAT = {"chat": "m"}


def make_reply(*texts):
    entities = [{"label": "person", "text": text} for text in texts]
    return json.dumps({"entities": entities})


CASES = {
    "repeated": ("Ann, ann and Ann again", ["Ann"], "[MASKED], [MASKED] and [MASKED] again"),
    "overlapping itself": ("anana banana", ["ana"], "[MASKED] b[MASKED]"),
    "overlapping": ("call John Doe now", ["John", "John Doe", "Doe"], "call [MASKED] now"),
    "partly overlapping": ("Anna Maria Lopez", ["Anna Maria", "Maria Lopez"], "[MASKED]"),
    "touching": ("ab@x.orgcd", ["ab@x.org", "cd"], "[MASKED][MASKED]"),
    "not ASCII": ("Zoë Müller 👩🏽‍🚀 lebt in Köln", ["Zoë Müller", "Köln"], "[MASKED] 👩🏽‍🚀 lebt in [MASKED]"),
    "inside a longer word": ("Al said also", ["Al"], "[MASKED] said also"),
    "only inside a longer word": ("id=user42x", ["user42"], "id=[MASKED]x"),
    "another case and other white space": ("JOHN\n  DOE was here", ["John Doe"], "[MASKED] was here"),
    "words that overlap themselves": ("go go go!", ["go go"], "[MASKED]!"),
    "nothing": ("an empty\t\r\n room ", [], "an empty\t\r\n room "),
    "regular expressions": ("a.c (x) abc", ["a.c", "(x)"], "[MASKED] [MASKED] abc"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_entity_is_masked(engine, serve, name):
    text, entities, expected = CASES[name]
    server = serve(lambda _: make_reply(*entities))
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=[text])
    rows = sql.rows("SELECT ai_mask(s, ['person', 'email']) FROM t")
    assert rows == [(expected,)]


def test_an_entity_that_is_not_in_the_text_is_repaired_once_and_then_a_row_error(engine, serve):
    def reply(question):
        messages = question.body["messages"]
        is_repair = len(messages) > 2
        if is_repair and "stubborn" not in messages[1]["content"]:
            return make_reply("John")
        return make_reply("Jon")

    server = serve(reply)
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(id=[1, 2], s=["John left", "stubborn John"])
    rows = sql.rows("SELECT ai_mask(s, ['person'], failOnError => false) FROM t ORDER BY id")
    repaired, failed = (value for (value,) in rows)
    assert repaired["result"] == "[MASKED] left"
    assert failed["result"] is None
    assert "'Jon' was named, but it is not in the text" in failed["errorMessage"]
    assert server.calls == 4


@given(
    st.lists(st.sampled_from(["Ann", "Köln", "é", " ", "x", "42", "\n", "👩🏽‍🚀", "Ann-Lee"]), max_size=12), st.data()
)
def test_the_rest_of_the_text_is_unchanged_and_no_entity_is_left(parts, data):
    text = "".join(parts)
    named = [part for part in parts if part.strip()]
    entities = data.draw(st.lists(st.sampled_from(named), max_size=3)) if named else []
    result = mask(text, entities)
    rest = text
    for piece in result.split(MASK):  # the pieces are in the text, in order
        assert piece in rest
        rest = rest[rest.index(piece) + len(piece) :]
    assert (result == text) == (not entities)


def test_a_thousand_entities_each_a_thousand_times():
    names = [f"name{i}" for i in range(1000)]
    text = " met ".join(names)
    assert mask(text, names * 1000) == " met ".join([MASK] * 1000)
