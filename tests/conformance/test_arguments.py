"""Names in any case and order, positional to the fourth, model parameters as they are named."""

import pytest


@pytest.mark.parametrize(
    "call",
    [
        "ai_query('m', s, 'INT')",
        "ai_query('m', s, 'INT', true)",
        "ai_query('m', s, returnType => 'INT')",
        "AI_QUERY(RETURNTYPE => 'INT', Request => s, endPoint => 'm')",
        "ai_query('m', s, failonerror => true, returntype => 'IN' || 'T')",
    ],
)
def test_spelling(engine, serve, call):
    sql = engine(m=serve(lambda _: "4").endpoint())
    sql.table(s=["q"])
    assert sql.types(f"SELECT {call} FROM t") == ["INTEGER"]
    assert sql.rows(f"SELECT {call} FROM t") == [(4,)]


def test_model_parameters_are_sent_as_named(engine, endpoint):
    sql = engine(m=endpoint.endpoint(model="org/model"))
    sql.table(s=["q"])
    sql.rows(
        "SELECT ai_query('m', s, modelParameters => {'max_tokens': 9, 'top_p': 0.5, 'stop': NULL}) FROM t"
    )
    body = endpoint.requests[0].body
    assert (body["model"], body["max_tokens"], body["top_p"], body["temperature"]) == (
        "org/model",
        9,
        0.5,
        0.0,
    )
    assert "stop" not in body


def test_an_endpoint_may_reject_any_temperature(engine, endpoint):
    sql = engine(m=endpoint.endpoint(send_temperature=False))
    sql.table(s=["q"])
    sql.rows("SELECT ai_query('m', s) FROM t")
    assert "temperature" not in endpoint.requests[0].body


def test_messages_struct(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(s=["q"])
    sql.rows(
        "SELECT ai_query('m', {'messages': [{'role': 'system', 'content': 'Be brief.'}, "
        "{'role': 'user', 'content': s}]}) FROM t"
    )
    assert endpoint.requests[0].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "q"},
    ]


def test_a_record_for_a_chat_endpoint_is_a_row_error(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(s=["q"])
    row = sql.rows("SELECT ai_query('m', {'x': s}, failOnError => false) FROM t")[0][0]
    assert "task = 'custom'" in row["errorMessage"]
    assert endpoint.calls == 0


def test_integers_are_text(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(n=[1, 2])
    assert sql.rows("SELECT ai_query('m', n) FROM t ORDER BY n") == [
        ("echo: 1",),
        ("echo: 2",),
    ]
