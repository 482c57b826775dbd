"""Equal requests share one call, across rows, expressions and statements."""

from collections import Counter


def test_duplicates_are_one_call(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(id=list(range(6000)), s=[f"text {i % 7}" for i in range(6000)])
    rows = sql.rows("SELECT id, ai_query('m', s) FROM t ORDER BY id")
    assert rows == [(i, f"echo: text {i % 7}") for i in range(6000)]
    assert endpoint.calls == 7


def test_the_same_call_in_select_and_where_sends_each_request_once(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(s=["a", "b", "c"])
    sql.rows("SELECT ai_query('m', s), ai_query('m', s) || 'x' FROM t WHERE ai_query('m', s) <> 'echo: b'")
    sql.rows("SELECT ai_query('m', s) FROM t")
    assert endpoint.calls_by_prompt == Counter(a=1, b=1, c=1)


def test_an_argument_that_changes_the_answer_makes_another_request(engine, endpoint):
    sql = engine(m=endpoint.endpoint(), n=endpoint.endpoint())
    sql.table(s=["a"])
    for call in (
        "ai_query('m', s)",
        "ai_query('n', s)",
        "ai_query('m', s, modelParameters => {'max_tokens': 5})",
        "ai_query('m', s, returnType => 'INT')",
        """ai_query('m', s, responseFormat => '{"type":"json_object"}', failOnError => false)""",
    ):
        sql.rows(f"SELECT {call} FROM t")
    # the sixth call is a repair: the echo is not the JSON of json_object
    assert endpoint.calls == 6


def test_sampling_is_never_shared(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(s=["a", "a", "b"])
    sql.rows("SELECT ai_query('m', s, modelParameters => {'temperature': 0.7}) FROM t")
    assert endpoint.calls == 3
    sql.rows("SELECT ai_query('m', s, modelParameters => {'temperature': 0.7, 'seed': 1}) FROM t")
    assert endpoint.calls == 5
