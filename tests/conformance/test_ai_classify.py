"""ai_classify: both versions, selected by the type of the labels or by the option; several labels; confidence."""

import json

import pytest

from aiquery.testing import Answer

CHAT = {"chat": "m"}


def read_schema(request):
    return request.body["response_format"]["json_schema"]["schema"]["properties"]


def test_version_1_returns_one_of_the_labels_as_a_string(engine, serve):
    server = serve(lambda q: json.dumps({"label": "bug" if "crash" in q.prompt else "billing"}))
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(id=[1, 2], s=["it crashes", "charged twice"])
    call = "ai_classify(s, ['billing', 'bug'])"
    assert sql.types(f"SELECT {call} FROM t") == ["VARCHAR"]
    assert sql.rows(f"SELECT {call} FROM t ORDER BY id") == [("bug",), ("billing",)]
    assert read_schema(server.requests[0]) == {"label": {"type": "string", "enum": ["billing", "bug"]}}


@pytest.mark.parametrize("text", ["billing", '"Billing"', "BILLING.", '```json\n{"label": "billing"}\n```'])
def test_an_endpoint_that_ignores_the_schema_may_still_name_a_label(engine, serve, text):
    sql = engine(m=serve(lambda _: text).endpoint(), defaults=CHAT)
    sql.table(s=["charged twice"])
    rows = sql.rows("SELECT ai_classify(s, ['billing', 'bug']) FROM t")
    assert rows == [("billing",)]


def test_an_unknown_label_is_repaired_once_and_then_a_row_error(engine, serve):
    def reply(question):
        is_repair = len(question.body["messages"]) > 2
        label = "bug" if is_repair else "x"
        return json.dumps({"label": label})

    server = serve(reply)
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["a text"])
    assert sql.rows("SELECT ai_classify(s, ['billing', 'bug']) FROM t") == [("bug",)]
    assert "none of 'billing', 'bug'" in server.requests[1].prompt
    server.reply = lambda _: '{"label": "x"}'
    ((value,),) = sql.rows("SELECT ai_classify(s || '!', ['billing', 'bug'], failOnError => false) FROM t")
    assert "AI_FUNCTION_HTTP_PARSE_CAST_ERROR" in value["errorMessage"]


def test_version_2_with_descriptions_instructions_and_a_variant(engine, serve):
    server = serve(lambda _: '{"label": "b"}')
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    call = """ai_classify(s, '{"a": "first things", "b": ""}', map{'instructions': 'Mind the gap.'})"""
    assert sql.types(f"SELECT {call} FROM t") == ["JSON"]
    assert sql.rows(f"SELECT {call} ->> '$.response[0]' FROM t") == [("b",)]
    system = server.requests[0].body["messages"][0]["content"]
    assert "- a: first things\n- b.\nMind the gap.\n" in system


def test_the_option_selects_the_version(engine, serve):
    sql = engine(m=serve(lambda _: '{"label": "b"}').endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    version_1 = "ai_classify(s, '[\"a\", \"b\"]', map{'version': '1.0'})"
    version_2 = "ai_classify(s, ['a', 'b'], map{'version': '2.0'})"
    assert sql.rows(f"SELECT {version_1} FROM t") == [("b",)]
    expected = {"response": ["b"], "error_message": None}
    assert sql.rows(f"SELECT {version_2} FROM t") == [(expected,)]


def test_multilabel_returns_each_label_once_in_the_order_given(engine, serve):
    def reply(question):
        labels = [] if "nothing" in question.prompt else ["c", "a", "c"]
        return json.dumps({"labels": labels})

    server = serve(reply)
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(id=[1, 2], s=["text", "nothing"])
    rows = sql.rows("""SELECT ai_classify(s, '["a", "b", "c"]', map{'multilabel': 'true'}) FROM t ORDER BY id""")
    assert [row[0]["response"] for row in rows] == [["a", "c"], []]
    assert read_schema(server.requests[0])["labels"]["items"]["enum"] == ["a", "b", "c"]


def test_confidence_is_the_probability_of_the_tokens_of_the_label(engine, serve):
    tokens = [('{"', -0.1), ("label", 0), ('": "', 0), ("bil", -0.2), ("ling", -0.3), ('"}', -1)]
    logprobs = {"content": [{"token": token, "logprob": logprob} for token, logprob in tokens]}
    message = {"content": '{"label": "billing"}'}

    def reply(question):
        choice = {"message": message, "logprobs": None}
        if question.body.get("logprobs") and "plain" not in question.prompt:
            choice["logprobs"] = logprobs
        return Answer(body=json.dumps({"choices": [choice]}).encode())

    sql = engine(m=serve(reply).endpoint(), defaults=CHAT)
    sql.table(id=[1, 2], s=["text", "plain"])
    rows = sql.rows("""SELECT ai_classify(s, '["billing", "bug"]', map{'confidence': 'true'}) FROM t ORDER BY id""")
    assert [row[0]["confidence"] for row in rows] == [[0.606531], [None]]  # exp(-0.5)
