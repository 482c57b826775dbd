"""Arguments: names in any case and order, up to four by position, and model parameters by their own names."""

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
def test_arguments_by_position_and_by_name(engine, serve, call):
    sql = engine(m=serve(lambda _: "4").endpoint())
    sql.table(s=["q"])
    assert sql.types(f"SELECT {call} FROM t") == ["INTEGER"]
    assert sql.rows(f"SELECT {call} FROM t") == [(4,)]


def test_model_parameters_are_sent_with_their_names(engine, endpoint):
    sql = engine(m=endpoint.endpoint(model="org/model"))
    sql.table(s=["q"])
    sql.rows("SELECT ai_query('m', s, modelParameters => {'max_tokens': 9, 'top_p': 0.5, 'stop': NULL}) FROM t")
    body = endpoint.requests[0].body
    sent = {name: body[name] for name in ("max_tokens", "top_p", "temperature")}
    assert sent == {"max_tokens": 9, "top_p": 0.5, "temperature": 0.0}
    assert body["model"] == "org/model"
    assert "stop" not in body


def test_no_temperature_is_sent_with_send_temperature_false(engine, endpoint):
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
    rows = sql.rows("SELECT ai_query('m', {'x': s}, failOnError => false) FROM t")
    assert "task = 'custom'" in rows[0][0]["errorMessage"]
    assert endpoint.calls == 0


def test_an_integer_is_sent_as_text(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(n=[1, 2])
    rows = sql.rows("SELECT ai_query('m', n) FROM t ORDER BY n")
    assert rows == [("echo: 1",), ("echo: 2",)]
