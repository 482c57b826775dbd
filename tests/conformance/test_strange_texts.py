"""A NULL, an empty string, 1 MB, emoji, NUL bytes: each its own answer, and no other row is disturbed."""


def test_each_row_its_own(engine, endpoint):
    texts = [
        "plain",
        "",
        None,
        "x" * 1_000_000,
        "🤖 ünï 漢字",
        "a\0b",
        'line\nbreak\t"quote" \\',
        "plain too",
    ]
    sql = engine(m=endpoint.endpoint())
    sql.table(id=list(range(len(texts))), s=texts)
    rows = sql.rows("SELECT id, ai_query('m', s) FROM t ORDER BY id")
    assert rows == [
        (i, None if text is None else f"echo: {text}") for i, text in enumerate(texts)
    ]


def test_lone_surrogates_in_a_reply_do_not_break_the_column(engine, serve):
    def reply(question):
        if question.prompt != "odd":
            return "fine"
        from aiquery.testing import Answer

        return Answer(
            body=b'{"choices":[{"message":{"content":"a\\ud800b"},"finish_reason":"stop"}]}'
        )

    sql = engine(m=serve(reply).endpoint(max_attempts=2))
    sql.table(id=[1, 2], s=["odd", "even"])
    rows = sql.rows("SELECT ai_query('m', s, failOnError => false) FROM t ORDER BY id")
    assert (rows[0][0]["result"] is None) != (rows[0][0]["errorMessage"] is None)
    assert rows[1][0] == {"result": "fine", "errorMessage": None}
