"""Version 2.1 of ai_classify and ai_extract: confidence scores, rationales, citations, and two readings."""

import json

import pytest

from aiquery.testing import Answer

CHAT = {"chat": "m"}
LABELS = '\'["billing", "bug"]\''


def read_schema(request):
    return request.body["response_format"]["json_schema"]["schema"]["properties"]


def split_tokens(text):
    """Return a text as tokens of three letters, each with the log-probability -0.1."""
    return [{"token": text[i : i + 3], "logprob": -0.1} for i in range(0, len(text), 3)]


def answer_with_logprobs(text):
    choice = {"message": {"content": text}, "logprobs": {"content": split_tokens(text)}}
    return Answer(body=json.dumps({"choices": [choice]}).encode())


def options(**values):
    pairs = ", ".join(f"'{name}': '{value}'" for name, value in {"version": "2.1", **values}.items())
    return f"map{{{pairs}}}"


def test_a_label_is_an_object_in_version_2_1(engine, serve):
    server = serve(lambda _: '{"label": "bug"}')
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text", None])
    rows = sql.rows(f"SELECT ai_classify(s, {LABELS}, {options()}) FROM t WHERE s IS NOT NULL")
    expected = {"response": [{"value": "bug"}], "error_message": None, "metadata": {"version": "2.1"}}
    assert rows == [(expected,)]
    assert sql.rows(f"SELECT ai_classify(s, {LABELS}, {options()}) FROM t WHERE s IS NULL") == [(None,)]
    assert "logprobs" not in server.requests[0].body


def test_a_label_has_its_confidence_and_its_rationale(engine, serve):
    reply = json.dumps({"rationale": "It names a bug, so it is a bug.", "label": "bug"})
    server = serve(lambda _: answer_with_logprobs(reply))
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    call = f"ai_classify(s, {LABELS}, {options(enableConfidenceScores='true', enableRationales='true')})"
    ((value,),) = sql.rows(f"SELECT {call} FROM t")
    (label,) = value["response"]
    assert label["value"] == "bug"
    assert label["rationale"] == "It names a bug, so it is a bug."
    assert label["confidence_score"] in {0.904837, 0.818731}  # one or two tokens of exp(-0.1)
    assert list(read_schema(server.requests[0])) == ["rationale", "label"]


def test_several_labels_are_objects_in_the_order_of_the_argument(engine, serve):
    items = [{"rationale": "b", "label": "bug"}, {"rationale": "m", "label": "billing"}, {"label": "bug"}]
    server = serve(lambda _: json.dumps({"labels": items}))
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    call = f"ai_classify(s, {LABELS}, {options(multilabel='true', enableRationales='true')})"
    ((value,),) = sql.rows(f"SELECT {call} FROM t")
    assert value["response"] == [{"value": "billing", "rationale": "m"}, {"value": "bug", "rationale": "b"}]


def test_labels_without_details_are_read_from_a_list(engine, serve):
    server = serve(lambda _: answer_with_logprobs('{"labels": ["bug"]}'))
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    call = f"ai_classify(s, {LABELS}, {options(multilabel='true', enableConfidenceScores='true')})"
    ((value,),) = sql.rows(f"SELECT {call} FROM t")
    assert value["response"][0]["value"] == "bug"
    assert 0.7 < value["response"][0]["confidence_score"] < 1


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (f"ai_classify(s, {LABELS}, map{{'enableRationales': 'true'}})", "needs version 2.1"),
        (f"ai_classify(s, {LABELS}, {options(confidence='true')})", "needs version 2.0"),
        ("ai_classify(s, ['a', 'b'], map{'multilabel': 'true'})", "needs version 2"),
        (f"ai_classify(s, {LABELS}, map{{'version': '3.0'}})", "'1.0', '2.0' or '2.1'"),
        (f"ai_classify(s, {LABELS}, {options(enableRationales='maybe')})", "must be 'true' or 'false'"),
        ("ai_extract(s, '[\"a\"]', map{'enableCitations': 'true'})", "needs version 2.1"),
        (f"ai_extract(s, '[\"a\"]', {options(mode='quick')})", "must be 'precision'"),
    ],
)
def test_an_option_of_another_version_is_refused(engine, serve, call, problem):
    server = serve(lambda _: "{}")
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    with pytest.raises(sql.errors, match=problem):
        sql.rows(f"SELECT {call} FROM t")
    assert not server.calls


SCHEMA = json.dumps(
    {
        "total": {"type": "number"},
        "buyer": {"type": "object", "properties": {"name": {"type": "string"}, "value": {"type": "string"}}},
        "items": {"type": "array", "items": {"type": "string"}},
        "kind": {"type": "enum", "labels": ["order", "refund"]},
    }
)
CONTENT = "Ana\u00efs \U0001f600 orders:\n two  chairs, a table. Total 40 EUR."
REPLY = {
    "total": {"value": 40, "quote": "40 EUR"},
    "buyer": {"name": {"value": "Ana\u00efs", "quote": "Ana\u00efs"}, "value": {"value": None, "quote": None}},
    "items": [{"value": "chair", "quote": "two chairs"}, {"value": "table", "quote": "a wooden table"}],
    "kind": {"value": "order", "quote": "ORDERS"},
}


def find_spans(value):
    return {one["id"]: (one["start"], one["stop"]) for one in value["metadata"]["citations"]}


def test_a_citation_is_a_span_of_the_text_that_holds_the_quote(engine, serve):
    server = serve(lambda _: json.dumps(REPLY))
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=[CONTENT])
    ((value,),) = sql.rows(f"SELECT ai_extract(s, '{SCHEMA}', {options(enableCitations='true')}) FROM t")
    response = value["response"]
    assert value["error_message"] is None
    assert value["metadata"]["version"] == "2.1"
    assert value["metadata"]["chunk_type"] == "span"
    assert "mode" not in value["metadata"]
    spans = find_spans(value)
    quoted = {name: [CONTENT[slice(*spans[i])] for i in field["citation_ids"]] for name, field in
              {"total": response["total"], "buyer": response["buyer"]["name"], "chair": response["items"][0],
               "table": response["items"][1], "kind": response["kind"]}.items()}  # fmt: skip
    assert quoted == {"total": ["40 EUR"], "buyer": ["Ana\u00efs"], "chair": ["two  chairs"], "table": [], "kind": []}
    assert response["total"]["value"] == 40
    assert response["items"][1] == {"value": "table", "citation_ids": []}
    assert response["buyer"]["value"] == {"value": None, "citation_ids": []}
    assert len(spans) == 3  # of the two quotes that the text does not have, none
    sent = read_schema(server.requests[0])
    assert sent["total"]["required"] == ["value", "quote"]


def test_a_scalar_has_the_probability_of_its_tokens(engine, serve):
    reply = json.dumps({"total": 40, "kind": "order"})
    server = serve(lambda question: reply if "plain" in question.prompt else answer_with_logprobs(reply))
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(id=[1, 2], s=["text", "plain"])
    schema = '{"total": {"type": "number"}, "kind": {"type": "string"}, "absent": {"type": "string"}}'
    call = f"ai_extract(s, '{schema}', {options(enableConfidenceScores='true')})"
    ((first,), (second,)) = sql.rows(f"SELECT {call} FROM t ORDER BY id")
    scores = {name: field["confidence_score"] for name, field in first["response"].items()}
    assert scores["absent"] is None
    assert scores["total"] in {0.904837, 0.818731}
    assert 0.7 < scores["kind"] < 0.91
    assert second["response"]["total"] == {"value": 40, "confidence_score": None}
    assert set(first["metadata"]) == {"version"}


def test_precision_reads_the_text_twice_and_drops_what_differs(engine, serve):
    def reply(question):
        is_second = "Read the text twice" in question.body["messages"][0]["content"]
        total = 41 if is_second else 40
        fields = {"total": {"value": total, "quote": "40 EUR"}, "kind": {"value": "Order", "quote": "orders"}}
        if is_second:
            fields["kind"]["value"] = "order"
        return json.dumps(fields)

    server = serve(reply)
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=[CONTENT, CONTENT])
    schema = '{"total": {"type": "number"}, "kind": {"type": "string"}}'
    call = f"ai_extract(s, '{schema}', {options(enableCitations='true', mode='precision')})"
    rows = sql.rows(f"SELECT {call} FROM t")
    value = rows[0][0]
    assert rows == [(value,)] * 2
    assert value["metadata"]["mode"] == "precision"
    assert value["response"]["total"] == {"value": None, "citation_ids": []}
    assert value["response"]["kind"]["value"] == "Order"
    ((start, stop),) = find_spans(value).values()
    assert CONTENT[start:stop] == "orders"
    assert server.calls == 2


def test_a_reply_without_quotes_has_values_without_citations(engine, serve):
    server = serve(lambda _: '{"total": 40, "kind": null}')
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    schema = '{"total": {"type": "number"}, "kind": {"type": "string"}}'
    ((value,),) = sql.rows(f"SELECT ai_extract(s, '{schema}', {options(enableCitations='true')}) FROM t")
    assert value["response"]["total"] == {"value": 40, "citation_ids": []}
    assert value["metadata"]["citations"] == []
    assert server.calls == 1


def test_a_reply_that_violates_the_schema_is_an_error_in_the_value(engine, serve):
    server = serve(lambda _: '{"total": "forty"}')
    sql = engine(m=server.endpoint(), defaults=CHAT)
    sql.table(s=["text"])
    call = f'ai_extract(s, \'{{"total": {{"type": "number"}}}}\', {options(mode="precision")})'
    ((value,),) = sql.rows(f"SELECT {call} FROM t")
    assert value["response"] is None
    assert "violates the schema" in value["error_message"]
