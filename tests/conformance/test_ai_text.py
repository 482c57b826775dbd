"""The functions with a text as the answer: their instructions to the model, and the cleaning of its answer."""

import json

import pytest

from aiquery.testing import Answer

CHAT = {"chat": "m"}


def read_system_message(request):
    return request.body["messages"][0]["content"]


def test_gen_sends_the_prompt_unchanged(engine, serve):
    server = serve(lambda _: "  Green. \n")
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["Name a {colour}"])
    assert sql.rows("SELECT ai_gen(s) FROM t") == [("Green.",)]
    assert server.requests[0].body["messages"] == [{"role": "user", "content": "Name a {colour}"}]


LENGTHS = {
    "ai_summarize(s)": " in at most 50 words",
    "ai_summarize(s, 7)": " in at most 7 words",
    "ai_summarize(s, max_words => 0)": "Summarize the text, in",
}


@pytest.mark.parametrize("call", LENGTHS)
def test_summarize_sends_the_maximum_of_words(engine, endpoint, call):
    sql = engine(m=endpoint.endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    sql.rows(f"SELECT {call} FROM t")
    assert LENGTHS[call] in read_system_message(endpoint.requests[0])


def test_translate_resolves_codes_and_accepts_a_language_for_each_row(engine, endpoint):
    sql = engine(m=endpoint.endpoint(), defaults=CHAT)
    sql.table(id=[1, 2, 3, 4], s=["hello"] * 4, lang=["es", "fr-CA", "Klingon", None])
    rows = sql.rows("SELECT ai_translate(s, lang) FROM t ORDER BY id")
    assert [row[0] for row in rows] == [
        "echo: Into Spanish: hello",
        "echo: Into French (CA): hello",
        "echo: Into Klingon: hello",
        None,
    ]


def test_quotes_around_a_whole_answer_are_removed(engine, serve):
    sql = engine(m=serve(lambda _: '"He does."').endpoint(), defaults=CHAT)
    sql.table(s=["he do", '"he do"'])
    rows = sql.rows("SELECT ai_fix_grammar(s) FROM t")
    assert rows == [("He does.",), ('"He does."',)]


def test_an_unknown_sentiment_is_null(engine, serve):
    def reply(question):
        sentiment = "unknown" if "xq" in question.prompt else "mixed"
        return json.dumps({"sentiment": sentiment})

    server = serve(reply)
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(id=[1, 2], s=["good but dear", "xq"])
    rows = sql.rows("SELECT ai_analyze_sentiment(s) FROM t ORDER BY id")
    assert rows == [("mixed",), (None,)]


def test_count_tokens_uses_the_tokenizer_and_names_a_missing_one(engine, serve):
    server = serve()
    without_tokenizer = serve(lambda _: Answer(status=404))
    sql = engine(m=server.endpoint(), none=without_tokenizer.endpoint())
    sql.table(s=["12345678", "12345678"])
    assert sql.rows("SELECT ai_count_tokens('m', s) FROM t") == [(3,), (3,)]
    assert [request.path for request in server.requests] == ["/tokenize"]
    rows = sql.rows("SELECT ai_count_tokens('none', s, failOnError => false) FROM t")
    assert "/tokenize to count tokens with" in rows[0][0]["errorMessage"]
