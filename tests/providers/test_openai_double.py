"""OpenAI and Azure, as a double describes them that was written from their documentation alone."""

import json

import pytest
from openai_double import OpenAIDouble

import aiquery
from aiquery.errors import AIQueryError

V1 = "/v1"
RESPONSES = "/v1/responses"
DEPLOYMENT = "/openai/deployments/{}?api-version=2024-10-21"
AZURE_V1 = "/openai/v1"
TYPED = "SELECT ai_query('m', 'q' || i, returnType => 'STRUCT<a: INT, b: ARRAY<STRING>>') FROM range(30) t(i)"
ERROR = "SELECT ai_query('m', 'q', failOnError => false).errorMessage"
REASONING = ("gpt-6.2-astra", "gpt-6-luna", "gpt-5.6-terra", "gpt-5.5", "gpt-5.1", "gpt-5-mini", "o3")
OTHERS = ("gpt-4.1", "gpt-4o-mini")
RESPONSES_ONLY = ("gpt-5.5-pro", "gpt-5.2-pro", "gpt-5-pro", "gpt-5.3-codex", "o1-pro", "o3-pro")
FILES = "SELECT ai_query('m', 'what is it', files => content) FROM read_blob('{}')"
PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("THE_KEY", OpenAIDouble.api_key)


def connect(double, model="gpt-4.1", path=V1, **settings):
    endpoint = {"base_url": double.url + path.format(model), "model": model, "api_key_env": "THE_KEY", "hedge": False}
    task = settings.get("task", "chat")
    return aiquery.connect(
        config={"endpoints": {"m": {**endpoint, **settings}}, "defaults": {task: "m"}, "cache": {"store": "memory:"}}
    )


@pytest.mark.parametrize("path", [V1, "", "/v1/chat/completions", RESPONSES, DEPLOYMENT, AZURE_V1])
def test_five_hundred_rows(path):
    with OpenAIDouble() as double, connect(double, path=path) as con:
        rows = con.sql("SELECT ai_query('m', 'q' || i) FROM range(500) t(i)").fetchall()
    assert len(set(rows)) == 500
    assert double.statuses[200] == 500
    assert sum(double.statuses.values()) <= 501  # without /v1 the first request finds out that it is missing


@pytest.mark.parametrize("path", [V1, RESPONSES])
@pytest.mark.parametrize("model", [*REASONING, *OTHERS, *RESPONSES_ONLY])
def test_every_model_answers_and_what_it_does_not_take_costs_one_request_each(model, path):
    labels = """'["bug", "ok"]', MAP {'confidence': 'true'}"""
    with OpenAIDouble(lambda *_: json.dumps({"label": "bug"})) as double, connect(double, model, path) as con:
        rows = con.sql(f"SELECT ai_classify('q' || i, {labels}) FROM range(100) t(i)").fetchall()
    assert len(rows) == 100
    assert double.statuses.pop(200) == 100
    assert sum(double.statuses.values()) <= 5  # the API, temperature, max_tokens, logprobs and top_logprobs


@pytest.mark.parametrize("structured", ["auto", "json_schema", "tool", "json_object", "prompt"])
@pytest.mark.parametrize("path", [V1, RESPONSES])
@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-6-sol"])
def test_typed_answers(path, model, structured):
    double = OpenAIDouble(lambda *_: json.dumps({"a": 1, "b": ["x"]}))
    with double, connect(double, model, path, structured=structured) as con:
        assert con.sql(TYPED).fetchall() == [({"a": 1, "b": ["x"]},)] * 30
    assert double.statuses[200] == 30
    assert sum(double.statuses.values()) <= 33


@pytest.mark.parametrize("path", [V1, RESPONSES, DEPLOYMENT])
def test_an_image_and_a_conversation(path, tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    messages = "[{'role': 'system', 'content': 'be brief'}, {'role': 'user', 'content': 'hello'}]"
    with OpenAIDouble() as double, connect(double, "gpt-4o", path) as con:
        assert con.sql(FILES.format((tmp_path / "a.png").as_posix())).fetchall()
        assert con.sql(f"SELECT ai_query('m', {{'messages': {messages}}})").fetchall()
    assert double.statuses == {200: 2}


@pytest.mark.parametrize(
    ("path", "fault", "words"),
    [
        (V1, {"refusal": "I cannot help with that."}, "the model refused: 'I cannot help with that.'"),
        (RESPONSES, {"refusal": "I cannot help with that."}, "the model refused: 'I cannot help with that.'"),
        (V1, {"finish": "content_filter"}, "content filter"),
        (RESPONSES, {"incomplete": "content_filter"}, "content filter"),
        (DEPLOYMENT, {"finish": "content_filter"}, "content filter"),
        (DEPLOYMENT, {"filter_prompt": True}, "content management policy"),
        (AZURE_V1, {"filter_prompt": True}, "content management policy"),
        (V1, {"status": 403}, "Country, region, or territory not supported"),
        (V1, {"status": 429, "code": "insufficient_quota", "type": "insufficient_quota"}, "429"),
        (V1, {"status": 429, "code": "project_spend_limit_exceeded", "type": "insufficient_quota"}, "429"),
    ],
)
def test_no_answer_is_the_error_of_the_row_at_once(path, fault, words):
    double = OpenAIDouble()
    double.faults.append(fault)
    with double, connect(double, path=path) as con:
        ((error,),) = con.sql(ERROR).fetchall()
    assert words in error
    assert len(double.requests) == 1


@pytest.mark.parametrize(
    ("path", "fault"), [(V1, {"finish": "length"}), (RESPONSES, {"incomplete": "max_output_tokens"})]
)
def test_a_cut_answer_is_counted(path, fault):
    double = OpenAIDouble()
    double.faults.append(fault)
    with double, connect(double, path=path) as con:
        con.sql("SELECT ai_query('m', 'a longer question', failOnError => false)").fetchall()
        assert con.ledger.totals["m"].truncated == 1


@pytest.mark.parametrize("path", [V1, RESPONSES, DEPLOYMENT])
@pytest.mark.parametrize("fault", [{"status": 429, "retry_after": 0}, {"status": 500}, {"status": 503}])
def test_a_passing_error_is_tried_again(path, fault):
    double = OpenAIDouble()
    double.faults.append(fault)
    with double, connect(double, path=path) as con:
        assert con.sql(ERROR).fetchall() == [(None,)]
    assert double.statuses == {fault["status"]: 1, 200: 1}


@pytest.mark.parametrize("path", [V1, RESPONSES])
def test_a_reply_that_failed_is_tried_again(path):
    double = OpenAIDouble()
    double.faults.append({"failed": "server_error"})
    with double, connect(double, path=path) as con:
        assert con.sql(ERROR).fetchall() == [(None,)]


@pytest.mark.parametrize("path", [V1, RESPONSES])
def test_reasoning_and_cached_tokens_are_counted(path):
    double = OpenAIDouble(lambda *_: "blue")
    with double, connect(double, "gpt-6-sol", path, send_temperature=False) as con:
        double.faults.append({"reasoning": 25, "cached": 3})
        con.sql("SELECT ai_query('m', 'what is the colour of the sky over the sea')").fetchall()
        totals = con.ledger.totals["m"]
    assert totals.tokens_cached == 3
    assert totals.tokens_out >= 26


@pytest.mark.parametrize("path", [V1, RESPONSES])
def test_a_prompt_that_is_too_long_is_the_error_of_its_row(path):
    with OpenAIDouble() as double, connect(double, path=path) as con:
        double.window = 100
        sql = "SELECT ai_query('m', repeat('word ', n), failOnError => false) FROM (VALUES (1), (1000)) t(n)"
        good, bad = [answer for (answer,) in con.sql(sql).fetchall()]
    assert good["errorMessage"] is None
    assert bad["result"] is None
    assert double.statuses == {200: 1, 400: 1}


@pytest.mark.parametrize(("path", "status"), [(V1, 401), (RESPONSES, 401), (DEPLOYMENT, 401), (AZURE_V1, 401)])
def test_a_wrong_key_ends_the_statement(monkeypatch, path, status):
    monkeypatch.setenv("THE_KEY", "sk-wrong-0123456789abcdef")
    with OpenAIDouble() as double, connect(double, path=path) as con:
        with pytest.raises(AIQueryError, match=str(status)) as raised:
            con.sql("SELECT ai_query('m', 'q' || i) FROM range(1000) t(i)")
        assert len(double.requests) <= 64
    assert "0123456789" not in str(raised.value)


def test_a_token_of_entra_id_reaches_a_deployment(monkeypatch):
    monkeypatch.setenv("THE_KEY", OpenAIDouble.entra_token)
    with OpenAIDouble() as double, connect(double, path=DEPLOYMENT) as con:
        assert con.sql(ERROR).fetchall() == [(None,)]


@pytest.mark.parametrize("path", [V1, DEPLOYMENT, AZURE_V1])
def test_embeddings(path):
    with OpenAIDouble() as double, connect(double, "text-embedding-3-small", path, task="embedding") as con:
        rows = con.sql("SELECT ai_embed('text number ' || i) FROM range(600) t(i)").fetchall()
        long = con.sql(f"SELECT ai_embed('{'word ' * 12_000}')").fetchall()
        assert con.ledger.totals["m"].truncated == 1
    assert {len(vector) for (vector,) in [*rows, *long]} == {1536}
    assert len({tuple(vector) for (vector,) in rows}) > 500
