"""The functions whose answer is a text: what they tell the model, and what they tidy."""

import pytest

CHAT = {"chat": "m"}


def system(question):
    return question.body["messages"][0]["content"]


def test_gen_sends_the_prompt_as_it_is(engine, serve):
    server = serve(lambda _: "  Green. \n")
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["Name a {colour}"])
    assert sql.rows("SELECT ai_gen(s) FROM t") == [("Green.",)]
    assert server.requests[0].body["messages"] == [
        {"role": "user", "content": "Name a {colour}"}
    ]


SAYS = {
    "ai_summarize(s)": " in at most 50 words",
    "ai_summarize(s, 7)": " in at most 7 words",
    "ai_summarize(s, max_words => 0)": "Summarize the text, in",
}


@pytest.mark.parametrize("call", SAYS)
def test_summarize_says_how_long(engine, endpoint, call):
    sql = engine(m=endpoint.endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    sql.rows(f"SELECT {call} FROM t")
    assert SAYS[call] in system(endpoint.requests[0])


def test_translate_knows_codes_and_takes_a_language_per_row(engine, endpoint):
    sql = engine(m=endpoint.endpoint(), defaults=CHAT)
    sql.table(id=[1, 2, 3, 4], s=["hello"] * 4, lang=["es", "fr-CA", "Klingon", None])
    rows = sql.rows("SELECT ai_translate(s, lang) FROM t ORDER BY id")
    assert [row[0] for row in rows] == [
        "echo: Into Spanish: hello",
        "echo: Into French (CA): hello",
        "echo: Into Klingon: hello",
        None,
    ]


def test_quotes_around_all_of_a_reply_are_tidied_away(engine, serve):
    sql = engine(m=serve(lambda _: '"He does."').endpoint(), defaults=CHAT)
    sql.table(s=["he do", '"he do"'])
    assert sql.rows("SELECT ai_fix_grammar(s) FROM t") == [
        ("He does.",),
        ('"He does."',),
    ]


def test_sentiment_that_cannot_be_told_is_null(engine, serve):
    server = serve(
        lambda q: (
            '{"sentiment": "unknown"}' if "xq" in q.prompt else '{"sentiment": "mixed"}'
        )
    )
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(id=[1, 2], s=["good but dear", "xq"])
    assert sql.rows("SELECT ai_analyze_sentiment(s) FROM t ORDER BY id") == [
        ("mixed",),
        (None,),
    ]


def test_count_tokens_asks_the_tokenizer_and_says_where_there_is_none(engine, serve):
    from aiquery.testing import Answer

    server = serve()
    sql = engine(
        m=server.endpoint(), none=serve(lambda _: Answer(status=404)).endpoint()
    )
    sql.table(s=["12345678", "12345678"])
    assert sql.rows("SELECT ai_count_tokens('m', s) FROM t") == [(3,), (3,)]
    assert [q.path for q in server.requests] == ["/tokenize"]
    row = sql.rows("SELECT ai_count_tokens('none', s, failOnError => false) FROM t")[0][
        0
    ]
    assert "/tokenize to count tokens with" in row["errorMessage"]
