"""ai_classify: both versions, chosen by the labels' type or the option; several labels; confidence."""

import json

import pytest

from aiquery.testing import Answer

CHAT = {"chat": "m"}


def schema_of(question):
    return question.body["response_format"]["json_schema"]["schema"]["properties"]


def test_version_1_is_one_of_the_labels_and_a_string(engine, serve):
    server = serve(
        lambda q: json.dumps({"label": "bug" if "crash" in q.prompt else "billing"})
    )
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(id=[1, 2], s=["it crashes", "charged twice"])
    call = "ai_classify(s, ['billing', 'bug'])"
    assert sql.types(f"SELECT {call} FROM t") == ["VARCHAR"]
    assert sql.rows(f"SELECT {call} FROM t ORDER BY id") == [("bug",), ("billing",)]
    assert schema_of(server.requests[0]) == {
        "label": {"type": "string", "enum": ["billing", "bug"]}
    }


@pytest.mark.parametrize(
    "text", ["billing", '"Billing"', "BILLING.", '```json\n{"label": "billing"}\n```']
)
def test_an_endpoint_that_ignores_the_schema_may_still_name_a_label(
    engine, serve, text
):
    sql = engine(m=serve(lambda _: text).endpoint(), defaults=CHAT)
    sql.table(s=["charged twice"])
    assert sql.rows("SELECT ai_classify(s, ['billing', 'bug']) FROM t") == [
        ("billing",)
    ]


def test_what_is_no_label_is_repaired_once_and_then_a_row_error(engine, serve):
    server = serve(
        lambda q: (
            '{"label": "bug"}'
            if len(q.body["messages"]) > 2 and "odd" not in q.prompt
            else '{"label": "x"}'
        )
    )
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["a text"])
    assert sql.rows("SELECT ai_classify(s, ['billing', 'bug']) FROM t") == [("bug",)]
    assert "none of 'billing', 'bug'" in server.requests[1].prompt
    server.reply = lambda _: '{"label": "x"}'
    row = sql.rows(
        "SELECT ai_classify(s || '!', ['billing', 'bug'], failOnError => false) FROM t"
    )[0][0]
    assert "AI_FUNCTION_HTTP_PARSE_CAST_ERROR" in row["errorMessage"]


def test_version_2_with_descriptions_instructions_and_a_variant(engine, serve):
    server = serve(lambda _: '{"label": "b"}')
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    call = """ai_classify(s, '{"a": "first things", "b": ""}', map{'instructions': 'Mind the gap.'})"""
    assert sql.types(f"SELECT {call} FROM t") == ["JSON"]
    assert sql.rows(f"SELECT {call} ->> '$.response[0]' FROM t") == [("b",)]
    system = server.requests[0].body["messages"][0]["content"]
    assert "- a: first things\n- b.\nMind the gap.\n" in system


def test_the_option_decides_the_version(engine, serve):
    sql = engine(m=serve(lambda _: '{"label": "b"}').endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    assert sql.rows(
        "SELECT ai_classify(s, '[\"a\", \"b\"]', map{'version': '1.0'}) FROM t"
    ) == [("b",)]
    two = sql.rows("SELECT ai_classify(s, ['a', 'b'], map{'version': '2.0'}) FROM t")
    assert two[0][0] == {"response": ["b"], "error_message": None}


def test_multilabel_gives_each_label_once_in_their_order_or_none(engine, serve):
    server = serve(
        lambda q: json.dumps(
            {"labels": [] if "nothing" in q.prompt else ["c", "a", "c"]}
        )
    )
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(id=[1, 2], s=["text", "nothing"])
    rows = sql.rows(
        """SELECT ai_classify(s, '["a", "b", "c"]', map{'multilabel': 'true'}) FROM t ORDER BY id"""
    )
    assert [row[0]["response"] for row in rows] == [["a", "c"], []]
    assert schema_of(server.requests[0])["labels"]["items"]["enum"] == ["a", "b", "c"]


def test_confidence_is_the_probability_of_the_labels_tokens(engine, serve):
    tokens = [
        ('{"', -0.1),
        ("label", 0),
        ('": "', 0),
        ("bil", -0.2),
        ("ling", -0.3),
        ('"}', -1),
    ]
    logprobs = {
        "content": [{"token": token, "logprob": logprob} for token, logprob in tokens]
    }
    message = {"content": '{"label": "billing"}'}

    def reply(question):
        given = (
            logprobs
            if question.body.get("logprobs") and "plain" not in question.prompt
            else None
        )
        return Answer(
            body=json.dumps(
                {"choices": [{"message": message, "logprobs": given}]}
            ).encode()
        )

    sql = engine(m=serve(reply).endpoint(), defaults=CHAT)
    sql.table(id=[1, 2], s=["text", "plain"])
    rows = sql.rows(
        """SELECT ai_classify(s, '["billing", "bug"]', map{'confidence': 'true'}) FROM t ORDER BY id"""
    )
    assert [row[0]["confidence"] for row in rows] == [[0.606531], [None]]  # exp(-0.5)
