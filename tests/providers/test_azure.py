"""Azure OpenAI: deployments with a version in the query, its two kinds of keys, and its content filter.

The error is that of learn.microsoft.com/azure/ai-services/openai/concepts/content-filter, read on 2026-11-27.
"""

import json

import pytest

import aiquery
from aiquery.testing import Answer

KEY = "0123456789abcdef0123456789abcdef"
TOKEN = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL2NvZ25pdGl2ZSJ9.c2lnbmF0dXJl"
PATH = "/openai/deployments/my-deployment"
FILTERED = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
        "Please modify your prompt and retry. To learn more about our content filtering policies please read our "
        "documentation: https://go.microsoft.com/fwlink/?linkid=2198766",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {
                "hate": {"filtered": True, "severity": "high"},
                "jailbreak": {"filtered": False, "detected": False},
            },
        },
    }
}


def connect(server, base_url=None):
    endpoint = server.endpoint(hedge=False, api_key_env="THE_KEY", model="gpt-5-mini")
    address = endpoint["base_url"].removesuffix("/v1")
    endpoint["base_url"] = base_url or f"{address}{PATH}?api-version=2024-10-21"
    return aiquery.connect(
        config={"endpoints": {"m": endpoint}, "defaults": {"chat": "m"}, "cache": {"store": "memory:"}}
    )


@pytest.mark.parametrize(
    ("key", "header", "value"), [(KEY, "api-key", KEY), (TOKEN, "authorization", f"Bearer {TOKEN}")]
)
def test_a_deployment_gets_a_key_or_a_token_in_its_header(serve, monkeypatch, key, header, value):
    monkeypatch.setenv("THE_KEY", key)
    server = serve()
    with connect(server) as con:
        assert con.sql("SELECT ai_query('m', 'q')").fetchall() == [("echo: q",)]
    (request,) = server.requests
    assert request.path == f"{PATH}/chat/completions?api-version=2024-10-21"
    headers = {name.lower(): text for name, text in request.headers.items()}
    assert headers[header] == value
    assert len({"api-key", "authorization"} & headers.keys()) == 1


def test_a_filtered_prompt_is_the_error_of_its_row(serve, monkeypatch):
    monkeypatch.setenv("THE_KEY", KEY)

    def answer(question):
        if "bad" in question.prompt:
            return Answer(status=400, body=json.dumps(FILTERED).encode())
        return Answer()

    server = serve(answer)
    texts = [f"q{i}" for i in range(20)] + ["a bad one"]
    rows = ", ".join(f"('{text}')" for text in texts)
    with connect(server) as con:
        answers = con.sql(f"SELECT ai_query('m', x, failOnError => false) FROM (VALUES {rows}) t(x)").fetchall()
    failed = [answer["errorMessage"] for (answer,) in answers if answer["errorMessage"]]
    assert len(failed) == 1
    assert "content management policy" in failed[0]
    assert server.statuses == {200: 20, 400: 1}


def test_a_filtered_answer_is_the_error_of_its_row(serve, monkeypatch):
    monkeypatch.setenv("THE_KEY", KEY)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "half an ans"},
        "finish_reason": "content_filter",
        "content_filter_results": {"violence": {"filtered": True, "severity": "medium"}},
    }
    body = json.dumps({"choices": [choice], "prompt_filter_results": [{"prompt_index": 0}]}).encode()
    server = serve(lambda _: Answer(body=body))
    with connect(server) as con:
        ((row,),) = con.sql("SELECT ai_query('m', 'q', failOnError => false)").fetchall()
    assert row["result"] is None
    assert "content filter" in row["errorMessage"]
