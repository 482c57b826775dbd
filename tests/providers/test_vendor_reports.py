"""Replies and requests of users' reports about vendors: each one was once answered wrongly here."""

import json

import pytest

import aiquery
import aiquery.config
from aiquery.errors import ConfigError
from aiquery.testing import Answer

SQL = "SELECT ai_query('m', 'q', failOnError => false)"
FORMATS = {
    "openai": {"provider": "openai"},
    "responses": {"provider": "openai", "end": "/responses"},
    "anthropic": {"provider": "anthropic"},
    "gemini": {"provider": "gemini"},
    "bedrock": {"provider": "bedrock", "api_key_env": "THE_KEY"},
}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("THE_KEY", "bedrock-api-key-abc")


def connect(server, form, budget=None, **settings):
    own = dict(FORMATS[form])
    end = own.pop("end", "")
    endpoint = server.endpoint(hedge=False, **own, **settings)
    if form in {"openai", "responses"}:
        endpoint["base_url"] += end
    else:
        endpoint["base_url"] = endpoint["base_url"].removesuffix("/v1")
    config = {"endpoints": {"m": endpoint}, "defaults": {"chat": "m"}, "cache": {"store": "memory:"}}
    return aiquery.connect(config=config | ({"budget": budget} if budget else {}))


def reply(document, status=200):
    return lambda _: Answer(status=status, body=json.dumps(document).encode())


def ask(serve, form, document, sql=SQL, **settings):
    server = serve(reply(document))
    with connect(server, form, **settings) as con:
        ((answer,),) = con.sql(sql).fetchall()
    return answer["result"], answer["errorMessage"], server


def candidates(*parts, **fields):
    return {"candidates": [{"content": {"parts": list(parts)}, "finishReason": "STOP"}], **fields}


def message(text, **fields):
    return {"type": "message", "content": [{"type": "output_text", "text": text}], **fields}


def converse(*blocks, stop="end_turn"):
    return {"output": {"message": {"content": list(blocks)}}, "stopReason": stop}


def chat(text, finish="stop", **fields):
    return {"choices": [{"message": {"content": text}, "finish_reason": finish}], **fields}


CITED = {"citationsContent": {"content": [{"text": "B"}], "citations": [{"title": "x"}]}}
ANSWERS = {
    "Gemini, a side field of another type": (
        "gemini",
        candidates({"text": "z", "thought": True}, {"text": "ok"}, usageMetadata={"promptTokenCount": "12"}),
        "ok",
    ),
    "Responses, commentary before the answer": (
        "responses",
        {
            "output": [message("Let me check.", phase="commentary"), message("POSITIVE", phase="final_answer")],
            "status": "completed",
        },
        "POSITIVE",
    ),
    "Bedrock, citations": ("bedrock", converse({"text": "A "}, CITED, {"text": " C"}), "A B C"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer(serve, name):
    form, document, expected = ANSWERS[name]
    assert ask(serve, form, document)[:2] == (expected, None)


NO_ANSWERS = {
    "anthropic, a turn that pauses": (
        "anthropic",
        {"content": [{"type": "text", "text": "half"}], "stop_reason": "pause_turn"},
    ),
    "anthropic, nothing": ("anthropic", {"content": [], "stop_reason": "end_turn"}),
    "anthropic, thinking only": (
        "anthropic",
        {"content": [{"type": "thinking", "thinking": "hm", "signature": "x"}], "stop_reason": "end_turn"},
    ),
    "Responses, cancelled": ("responses", {"output": [message("half")], "status": "cancelled"}),
    "Responses, a new reason": (
        "responses",
        {"output": [message("half")], "status": "incomplete", "incomplete_details": {"reason": "new"}},
    ),
    "DeepSeek, no resources": ("openai", chat("half", "insufficient_system_resource")),
    "Gemini behind a gateway": ("openai", chat("half", "SAFETY")),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_half_an_answer_is_the_error_of_its_row(serve, name):
    form, document = NO_ANSWERS[name]
    result, error, _ = ask(serve, form, document, max_attempts=1)
    assert result is None
    assert error


PARAMETERS = {
    "anthropic, effort": ("anthropic", "{'output_config': {'effort': 'low'}}", ("output_config", "effort"), "low"),
    "anthropic, OpenAI's name": ("anthropic", "{'reasoning_effort': 'low'}", ("output_config", "effort"), "low"),
    "Responses, verbosity": ("responses", "{'verbosity': 'low'}", ("text", "verbosity"), "low"),
    "Responses, text": ("responses", "{'text': {'verbosity': 'low'}}", ("text", "verbosity"), "low"),
    "Bedrock, the model's own": (
        "bedrock",
        "{'additionalModelRequestFields': {'top_k': 3}}",
        ("additionalModelRequestFields", "top_k"),
        3,
    ),
    "Bedrock, effort": ("bedrock", "{'reasoning_effort': 'low'}", ("outputConfig", "effort"), "low"),
    "Gemini, a configuration": (
        "gemini",
        "{'generationConfig': {'mediaResolution': 'LOW'}}",
        ("generationConfig", "mediaResolution"),
        "LOW",
    ),
    "Gemini, tools": ("gemini", "{'tools': [{'googleSearch': {'x': 1}}]}", ("tools", 0, "googleSearch", "x"), 1),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_what_the_user_set_is_sent_beside_what_we_set(serve, name):
    form, parameters, path, expected = PARAMETERS[name]
    server = serve(lambda _: Answer(text='{"a": 1}'))
    with connect(server, form) as con:
        sql = f"SELECT ai_query('m', 'q', returnType => 'STRUCT<a: INT>', modelParameters => {parameters})"
        assert con.sql(sql).fetchall() == [({"a": 1},)]
    found = server.requests[0].body
    for step in path:
        found = found[step]
    assert found == expected


@pytest.mark.parametrize("form", ["anthropic", "bedrock"])
def test_top_p_of_the_user_goes_without_our_temperature(serve, form):
    server = serve(lambda _: Answer(text="x"))
    with connect(server, form) as con:
        con.sql("SELECT ai_query('m', 'q', modelParameters => {'top_p': 0.5})").fetchall()
        con.sql("SELECT ai_query('m', 'r')").fetchall()
    first, second = (json.dumps(request.body) for request in server.requests)
    assert "temperature" not in first
    assert "temperature" in second


@pytest.mark.parametrize(
    "words",
    ["Your prompt about temperature is not supported: flagged", "json_schema is not supported for this content"],
)
def test_one_bad_row_does_not_change_the_others(serve, words):
    def answer(question):
        if "bad" in question.prompt:
            return Answer(status=400, body=json.dumps({"error": {"message": words}}).encode())
        return Answer(text='{"a": 1}')

    server = serve(answer)
    with connect(server, "openai") as con:
        sql = "SELECT ai_query('m', '{}', returnType => 'STRUCT<a: INT>', failOnError => false)"
        con.sql(sql.format("good")).fetchall()
        ((bad,),) = con.sql(sql.format("bad")).fetchall()
        con.sql(sql.format("good again")).fetchall()
    assert words in bad["errorMessage"]
    first, last = server.requests[0].body, server.requests[-1].body
    assert first.keys() == last.keys()
    assert last["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize("status", [498, 520, 522, 524])
def test_an_error_of_a_proxy_is_tried_again(serve, status):
    answers = iter([Answer(status=status), Answer(text="x")])
    server = serve(lambda _: next(answers))
    with connect(server, "openai") as con:
        assert con.sql("SELECT ai_query('m', 'q')").fetchall() == [("x",)]


def test_a_reply_of_the_model_that_its_server_rejects_is_tried_again(serve):
    error = {"message": "Failed to validate JSON", "code": "json_validate_failed", "failed_generation": "{"}
    answers = iter([Answer(status=400, body=json.dumps({"error": error}).encode()), Answer(text="x")])
    server = serve(lambda _: next(answers))
    with connect(server, "openai") as con:
        assert con.sql("SELECT ai_query('m', 'q')").fetchall() == [("x",)]


def test_a_quota_of_a_day_is_not_waited_for(serve):
    quota = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "250"}
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [quota]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "40s"},
    ]
    error = {"code": 429, "message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED"}
    server = serve(reply({"error": {**error, "details": details}}, 429))
    with connect(server, "gemini") as con:
        ((answer,),) = con.sql(SQL).fetchall()
    assert "exceeded your current quota" in answer["errorMessage"]
    assert server.calls == 1


def test_a_schema_that_google_rejects_without_a_reason_is_sent_as_a_tool(serve):
    def answer(question):
        if "responseJsonSchema" in question.body.get("generationConfig", {}):
            error = {"code": 400, "message": "Request contains an invalid argument.", "status": "INVALID_ARGUMENT"}
            return Answer(status=400, body=json.dumps({"error": error}).encode())
        call = {"functionCall": {"name": "answer", "args": {"a": 1}}}
        return Answer(body=json.dumps(candidates(call)).encode())

    server = serve(answer)
    with connect(server, "gemini") as con:
        sql = "SELECT ai_query('m', 'q', returnType => 'STRUCT<a: INT>')"
        assert con.sql(sql).fetchall() == [({"a": 1},)]


def test_a_reply_without_usage_counts_as_the_most_that_it_may_have_cost(serve):
    server = serve(reply(chat("x")))
    price = {"input": 10.0, "output": 100.0}
    budget = {"max_cost_usd": 1.0, "on_budget": "null"}
    with connect(server, "openai", budget=budget, price=price, max_tokens=1000) as con:
        rows = con.sql("SELECT ai_query('m', 'q' || i) FROM range(200) t(i)").fetchall()
    assert server.calls <= 10
    assert rows.count((None,)) >= 190


@pytest.mark.parametrize("role", ["developer", "system"])
@pytest.mark.parametrize("form", ["anthropic", "gemini", "bedrock"])
def test_instructions_of_a_conversation(serve, form, role):
    server = serve(lambda _: Answer(text="x"))
    messages = f"[{{'role': '{role}', 'content': 'be brief'}}, {{'role': 'user', 'content': 'hello'}}]"
    with connect(server, form) as con:
        con.sql(f"SELECT ai_query('m', {{'messages': {messages}}})").fetchall()
    body = server.requests[0].body
    turns = body.get("messages", body.get("contents"))
    assert [turn["role"] for turn in turns] == ["user"]
    assert "be brief" in json.dumps(body.get("system", body.get("systemInstruction")))


@pytest.mark.parametrize(
    ("form", "address", "path"),
    [
        ("gemini", "/v1beta?key=x", "/v1beta/models/m:generateContent?key=x"),
        ("gemini", "/v1beta/models/m:generateContent", "/v1beta/models/m:generateContent"),
        ("bedrock", "/?x=1", "/model/m/converse?x=1"),
        ("bedrock", "/proxy/model/m/converse", "/proxy/model/m/converse"),
    ],
)
def test_addresses_with_a_query_or_the_whole_path(serve, form, address, path):
    server = serve(lambda _: Answer(text="x"))
    own = FORMATS[form]
    base_url = server.base_url.removesuffix("/v1") + address
    endpoint = server.endpoint(model="m", **own) | {"base_url": base_url}
    with aiquery.connect(config={"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}}) as con:
        con.sql("SELECT ai_query('m', 'q')").fetchall()
    assert server.requests[0].path == path


@pytest.mark.parametrize(
    "value",
    [
        "https://r.openai.azure.com",
        "https://r.openai.azure.com/openai/v1/",
        "https://r.openai.azure.com/openai/deployments/d?api-version=1",
    ],
)
def test_the_address_that_azure_shows(monkeypatch, value):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", value)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k" * 32)
    assert aiquery.config.load({}).endpoint("azure:d").base_url == "https://r.openai.azure.com/openai/v1"


@pytest.mark.parametrize("price", [{"input": -1}, {"input": 1, "output": float("nan")}, {"input": float("inf")}])
def test_a_price_that_is_none_is_an_error(price):
    with pytest.raises(ConfigError, match="must be a number of USD"):
        aiquery.config.load({"endpoints": {"m": {"base_url": "http://x/v1", "price": price}}})


def test_the_length_of_an_embedding_is_sent_to_models_that_take_it(serve):
    server = serve()
    settings = server.endpoint(task="embedding", model="text-embedding-3-small", dimensions=8)
    with aiquery.connect(config={"endpoints": {"m": settings}, "defaults": {"embedding": "m"}}) as con:
        con.sql("SELECT ai_embed('x', failOnError => false)").fetchall()
    assert server.requests[0].body["dimensions"] == 8


@pytest.mark.parametrize(
    "document",
    [
        {"code": 1302, "msg": "rate limit reached"},
        {"base_resp": {"status_code": 1002, "status_msg": "rate limit reached"}},
        {"errors": [{"message": "rate limit reached"}], "success": False, "result": None},
        {"object": "error", "message": "rate limit reached"},
        {"detail": "rate limit reached"},
    ],
)
def test_what_a_gateway_says_with_http_200_is_in_the_error(serve, document):
    _, error, _ = ask(serve, "openai", document, max_attempts=1)
    assert "rate limit reached" in error
