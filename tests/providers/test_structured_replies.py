"""How a reply is constrained: the firmest way that a model takes, found with one request per way that it rejects."""

import json

import pytest

import aiquery
from aiquery.errors import AIQueryError
from aiquery.testing import Answer

SQL = "SELECT ai_query('m', 'q' || i, returnType => 'STRUCT<a: INT>') FROM range(40) t(i)"
MESSAGES = {
    "strict": "Invalid schema for response_format 'answer': 'strict' is not supported",
    "json_schema": "This response_format type is unavailable now",
    "tool": "`tools` is not supported with this model",
    "json_object": "Unknown parameter: response_format",
}


def find_way(body):
    """Return how a request constrains its reply."""
    if "tools" in body:
        assert body["tool_choice"] == {"type": "function", "function": {"name": "answer"}}
        return "tool"
    form = body.get("response_format")
    if form is None:
        return "prompt"
    if form["type"] == "json_object":
        return "json_object"
    return "strict" if form["json_schema"].get("strict") else "json_schema"


def answer_as(way):
    """Return the reply of a model that was constrained in this way."""
    text = '{"a": 1}'
    if way != "tool":
        return Answer(text=text)
    call = {"id": "1", "type": "function", "function": {"name": "answer", "arguments": text}}
    choice = {"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    return Answer(body=json.dumps({"choices": [choice]}).encode())


def open_connection(server, **settings):
    return aiquery.connect(
        config={"endpoints": {"m": server.endpoint(hedge=False, **settings)}, "cache": {"store": "memory:"}}
    )


WAYS = ["strict", "json_schema", "tool", "json_object", "prompt"]


@pytest.mark.parametrize("taken", WAYS)
def test_the_first_way_that_the_model_takes(serve, taken):
    rejected = WAYS[: WAYS.index(taken)]

    def answer(question):
        way = find_way(question.body)
        if way in rejected:
            return Answer(status=400, body=json.dumps({"error": {"message": MESSAGES[way]}}).encode())
        return answer_as(way)

    server = serve(answer)
    with open_connection(server) as con:
        assert con.sql(SQL).fetchall() == [({"a": 1},)] * 40
    assert server.statuses[200] == 40
    assert server.statuses[400] == len(rejected)
    last = server.requests[-1].body
    assert find_way(last) == taken
    said = json.dumps(last["messages"])
    assert ("JSON schema" in said) == (taken in {"json_object", "prompt"})


@pytest.mark.parametrize(("setting", "way"), [("json_schema", "strict"), *((way, way) for way in WAYS[2:])])
def test_the_setting_fixes_the_way(serve, setting, way):
    server = serve(lambda question: answer_as(find_way(question.body)))
    with open_connection(server, structured=setting) as con:
        assert con.sql(SQL).fetchall() == [({"a": 1},)] * 40
    assert {find_way(question.body) for question in server.requests} == {way}


def test_a_fixed_way_that_the_model_rejects_is_an_error(serve):
    server = serve(lambda _: Answer(status=400, body=json.dumps({"error": {"message": MESSAGES["tool"]}}).encode()))
    with (
        open_connection(server, structured="tool") as con,
        pytest.raises(AIQueryError, match="`tools` is not supported"),
    ):
        con.sql(SQL)


def test_a_wrong_setting_is_named():
    with pytest.raises(AIQueryError, match="structured"):
        aiquery.connect(config={"endpoints": {"m": {"provider": "fake", "structured": "xml"}}})


def test_the_arguments_of_a_tool_may_be_an_object(serve):
    call = {"function": {"name": "answer", "arguments": {"a": 1}}}
    body = json.dumps({"choices": [{"message": {"tool_calls": [call]}}]}).encode()
    server = serve(lambda _: Answer(body=body))
    with open_connection(server, structured="tool") as con:
        assert con.sql(SQL).fetchall() == [({"a": 1},)] * 40


def test_an_answer_in_the_text_is_read_though_a_tool_was_asked_for(serve):
    server = serve(lambda _: Answer(text='Sure: {"a": 1}'))
    with open_connection(server, structured="tool") as con:
        assert con.sql(SQL).fetchall() == [({"a": 1},)] * 40


def test_a_schema_of_the_user_loses_its_strictness_and_nothing_else(serve):
    """The strict mode of OpenAI needs additionalProperties in every object."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    form = json.dumps({"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}})
    message = "Invalid schema for response_format 'x': In context=(), 'additionalProperties' is required to be supplied"

    def answer(question):
        if question.body["response_format"]["json_schema"].get("strict"):
            return Answer(status=400, body=json.dumps({"error": {"message": message + " and to be false"}}).encode())
        return Answer(text='{"a": 1}')

    server = serve(answer)
    with open_connection(server) as con:
        rows = con.sql(f"SELECT ai_query('m', 'q' || i, responseFormat => '{form}') FROM range(9) t(i)")
        assert set(rows.fetchall()) == {('{"a": 1}',)}
    assert server.requests[-1].body["response_format"]["json_schema"] == {"name": "x", "schema": schema}
    assert server.statuses == {200: 9, 400: 1}


def test_one_schema_that_is_rejected_changes_nothing_for_the_others(serve):
    text = "Invalid schema for response_format 'answer': In context=(), too many properties."

    def answer(question):
        schema = question.body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        names = schema.get("properties", {})
        if len(names) > 5:
            error = {"message": text, "param": "response_format", "type": "invalid_request_error"}
            return Answer(status=400, body=json.dumps({"error": error}).encode())
        return Answer(text=json.dumps(dict.fromkeys("abcdefgh", 1)))

    server = serve(answer)
    few, many = "STRUCT<a: INT>", f"STRUCT<{', '.join(f'{name}: INT' for name in 'abcdefgh')}>"
    with open_connection(server) as con:
        for return_type in (few, many, few):
            con.sql(f"SELECT ai_query('m', '{len(server.requests)}', returnType => '{return_type}')").fetchall()
        assert server.requests[-1].body["response_format"]["json_schema"]["strict"] is True
        con.sql(f"SELECT ai_query('m', 'again', returnType => '{many}')").fetchall()
    assert server.statuses == {200: 4, 400: 2}  # strict, and not strict: then a tool
