"""NULL, an empty string, 1 MB, emoji and NUL bytes: each row has its own answer, and does not affect the others."""

from aiquery.testing import Answer


def test_each_row_has_its_own_answer(engine, endpoint):
    texts = ["plain", "", None, "x" * 1_000_000, "🤖 ünï 漢字", "a\0b", 'line\nbreak\t"quote" \\', "plain too"]
    sql = engine(m=endpoint.endpoint())
    sql.table(id=list(range(len(texts))), s=texts)
    rows = sql.rows("SELECT id, ai_query('m', s) FROM t ORDER BY id")
    expected = [None if text is None else f"echo: {text}" for text in texts]
    assert rows == list(enumerate(expected))


def test_lone_surrogates_in_a_reply_do_not_break_the_column(engine, serve):
    body = b'{"choices":[{"message":{"content":"a\\ud800b"},"finish_reason":"stop"}]}'
    server = serve(lambda q: Answer(body=body) if q.prompt == "odd" else "fine")
    sql = engine(m=server.endpoint(max_attempts=2))
    sql.table(id=[1, 2], s=["odd", "even"])
    rows = sql.rows("SELECT ai_query('m', s, failOnError => false) FROM t ORDER BY id")
    odd, even = (value for (value,) in rows)
    assert (odd["result"] is None) != (odd["errorMessage"] is None)
    assert even == {"result": "fine", "errorMessage": None}
