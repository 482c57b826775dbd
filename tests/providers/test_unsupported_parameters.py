"""A parameter that a model does not take costs one request, and what the user set is an error.

The rules are those of models at OpenAI, DeepSeek, Groq, Google and of vLLM, each as its server words them.
"""

import json

import pytest

import aiquery
import aiquery.config
from aiquery.errors import RequestFailed
from aiquery.testing import Answer


def refuse(message, status=400, **fields):
    return Answer(status=status, body=json.dumps({"error": {"message": message, **fields}}).encode())


def gpt_5(question):
    """A reasoning model of OpenAI."""
    body = question.body
    if body.get("temperature", 1) != 1:
        message = (
            "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) is supported."
        )
        return refuse(message, param="temperature", code="unsupported_value", type="invalid_request_error")
    if "max_tokens" in body:
        message = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        return refuse(message, param="max_tokens", code="unsupported_parameter", type="invalid_request_error")
    if "logprobs" in body or "top_logprobs" in body:
        return refuse("You are not allowed to request logprobs from this model", param=None, code=None)
    return Answer()


def open_connection(server, **settings):
    config = {
        "endpoints": {"m": server.endpoint(hedge=False, **settings)},
        "defaults": {"chat": "m"},
        "cache": {"store": "memory:"},
    }
    return aiquery.connect(config=config)


def test_ten_thousand_rows_waste_one_request_for_each_parameter(serve, caplog):
    server = serve(gpt_5, latency=0.005, keep=False)
    with open_connection(server, max_tokens=50) as con:
        rows = con.sql("SELECT ai_query('m', 'q' || i) FROM range(10_000) t(i)").fetchall()
        assert len(set(rows)) == 10_000
        assert server.statuses == {200: 10_000, 400: 2}
        con.sql("SELECT ai_query('m', 'r' || i) FROM range(100) t(i)").fetchall()
    assert server.statuses == {200: 10_100, 400: 2}
    assert caplog.text.count("the model does not take temperature") == 1
    assert caplog.text.count("the model does not take max_tokens") == 1


def test_the_readme_model_wastes_no_request():
    assert not aiquery.config.load({}).endpoint("openai:gpt-5-mini").send_temperature
    assert aiquery.config.load({}).endpoint("openai:gpt-4.1-mini").send_temperature


def test_the_limit_of_tokens_keeps_its_value_under_its_new_name(serve):
    server = serve(gpt_5)
    with open_connection(server) as con:
        con.sql("SELECT ai_query('m', 'q', modelParameters => {'max_tokens': 77})").fetchall()
    assert server.requests[-1].body["max_completion_tokens"] == 77
    assert "max_tokens" not in server.requests[-1].body


def test_what_the_user_set_is_an_error(serve):
    server = serve(gpt_5)
    sql = "SELECT ai_query('m', 'q' || i, modelParameters => {'temperature': 0.0}) FROM range(1000) t(i)"
    with open_connection(server) as con, pytest.raises(RequestFailed, match="'temperature' does not support"):
        con.sql(sql)
    assert server.calls <= 64  # those in flight at the first error


def test_confidences_are_null_where_the_model_gives_no_log_probabilities(serve):
    server = serve(gpt_5)
    sql = """SELECT ai_classify('q' || i, '["a1", "b1"]', MAP {'confidence': 'true'}) FROM range(20) t(i)"""
    with open_connection(server) as con:
        values = [json.loads(str(value)) for (value,) in con.sql(sql).fetchall()]
    assert {tuple(value["confidence"]) for value in values} == {(None,)}
    assert server.statuses[400] == 2  # temperature and logprobs


REJECTIONS = {
    "OpenAI": ("temperature", "Unsupported value: 'temperature' does not support 0 with this model.", 400),
    "OpenAI, o1": ("temperature", "Unsupported parameter: 'temperature' is not supported with this model.", 400),
    "Anthropic": ("temperature", "`temperature` is deprecated for this model.", 400),
    "Anthropic, thinking": ("temperature", "`temperature` may only be set to 1 when thinking is enabled.", 400),
    "Bedrock": (
        "temperature",
        "The model returned the following errors: temperature: Extra inputs are not permitted",
        400,
    ),
    "FastAPI": ("temperature", "[{'loc': ('body', 'temperature'), 'msg': 'extra fields not permitted'}]", 422),
    "Moonshot": ("temperature", "invalid temperature: only 1 is allowed for this model, not allowed", 400),
    "Azure": ("max_tokens", "Unrecognized request argument supplied: max_tokens", 400),
}


@pytest.mark.parametrize("name", REJECTIONS)
def test_rejections_in_the_words_of_servers(serve, name):
    parameter, message, status = REJECTIONS[name]
    server = serve(lambda q: refuse(message, status) if parameter in q.body else Answer())
    with open_connection(server, max_tokens=9) as con:
        assert len(con.sql("SELECT ai_query('m', 'q' || i) FROM range(50) t(i)").fetchall()) == 50
    assert server.statuses == {200: 50, status: 1}


NO_SYSTEM = [
    "System role not supported",
    "Developer instruction is not enabled for models/gemma-3",
    "Only user and assistant roles are supported!",
    "messages[0].role: 'system' is not one of ['user', 'assistant']",
]


@pytest.mark.parametrize("message", NO_SYSTEM)
def test_without_a_system_role_the_instructions_stand_in_the_first_message(serve, message):
    def answer(question):
        roles = [one["role"] for one in question.body["messages"]]
        return refuse(message) if "system" in roles else Answer(text='{"label": "bug"}')

    server = serve(answer)
    with open_connection(server) as con:
        sql = "SELECT ai_classify('it crashes ' || i, ['bug', 'billing']) FROM range(30) t(i)"
        assert set(con.sql(sql).fetchall()) == {("bug",)}
    assert server.statuses == {200: 30, 400: 1}
    (first,) = server.requests[-1].body["messages"]
    assert "The labels are" in first["content"]
    assert "it crashes" in first["content"]


OTHER_ERRORS = [
    ("The model `x` does not exist or you do not have access to it.", 404, {"code": "model_not_found"}),
    ("Your request was flagged by a system that is not available to you", 400, {}),
    ("Internal system error, unknown cause", 500, {}),
    ("maximum context length is 8192 tokens. However, you requested 9001 tokens, instead of less", 400, {}),
]


@pytest.mark.parametrize(("message", "status", "fields"), OTHER_ERRORS)
def test_other_errors_change_nothing(serve, message, status, fields):
    server = serve(lambda _: refuse(message, status, **fields))
    with open_connection(server, max_attempts=1) as con:
        values = con.sql(
            "SELECT ai_query('m', 'q' || i, failOnError => false).errorMessage FROM range(5) t(i)"
        ).fetchall()
    assert all(message[:40] in value for (value,) in values)
    assert all(question.body["temperature"] == 0 for question in server.requests)


def test_while_an_endpoint_throttles_nothing_is_learned(serve):
    server = serve()
    busy = iter([True] * 3)

    def answer(question):
        return Answer(status=503) if next(busy, False) else gpt_5(question)

    server.reply = answer
    with open_connection(server) as con:
        assert len(con.sql("SELECT ai_query('m', 'q' || i) FROM range(200) t(i)").fetchall()) == 200
    assert server.statuses == {200: 200, 400: 1, 503: 3}
