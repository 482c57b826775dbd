"""The Messages API, as a double describes it that was written from Anthropic's documentation alone."""

import json

import pytest
from anthropic_double import AnthropicDouble

import aiquery
from aiquery.errors import AIQueryError

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("THE_KEY", "sk-ant-double")


def connect(double, **settings):
    endpoint = {"provider": "anthropic", "base_url": double.base_url, "model": "claude-haiku-4-5"}
    endpoint |= {"api_key_env": "THE_KEY", "hedge": False, **settings}
    return aiquery.connect(
        config={"endpoints": {"m": endpoint}, "defaults": {"chat": "m"}, "cache": {"store": "memory:"}}
    )


def test_plain_answers_and_their_usage():
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 5,
        "cache_read_input_tokens": 100,
        "output_tokens": 7,
    }
    double = AnthropicDouble(answer=lambda _: {"text": "blue", "usage": usage}, api_key="sk-ant-double")
    with double, connect(double) as con:
        assert con.sql("SELECT ai_query('m', 'q')").fetchall() == [("blue",)]
        totals = con.ledger.totals["m"]
    assert (totals.tokens_in, totals.tokens_cached, totals.tokens_out) == (115, 100, 7)
    (request,) = double.requests
    assert request["headers"]["x-api-key"] == "sk-ant-double"
    assert "authorization" not in request["headers"]
    assert request["body"]["max_tokens"] == 4096


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/messages"])
def test_the_address_may_have_its_version_and_its_path(end):
    with AnthropicDouble() as double, connect(double, base_url=double.base_url + end) as con:
        con.sql("SELECT ai_query('m', 'q')").fetchall()
    assert [request["path"] for request in double.requests] == ["/v1/messages"]


def test_a_thousand_rows():
    with AnthropicDouble() as double, connect(double) as con:
        rows = con.sql("SELECT ai_query('m', 'q' || i) FROM range(1000) t(i)").fetchall()
    assert len(set(rows)) == 1000
    assert double.statuses == {200: 1000}


TYPED = "SELECT ai_query('m', 'q' || i, returnType => 'STRUCT<a: INT, b: ARRAY<STRING>>') FROM range(30) t(i)"


@pytest.mark.parametrize("without", [set(), {"structured_outputs"}])
def test_typed_answers(without):
    def answer(body):
        document = {"a": 1, "b": ["x"]}
        if "tools" in body:
            return {"content": [{"type": "tool_use", "id": "t", "name": "answer", "input": document}]}
        return json.dumps(document)

    with AnthropicDouble(answer=answer, without=without) as double, connect(double) as con:
        assert con.sql(TYPED).fetchall() == [({"a": 1, "b": ["x"]},)] * 30
    assert double.statuses[200] == 30
    assert double.statuses[400] == len(without)


def test_functions_send_their_instructions_as_the_system_prompt():
    with AnthropicDouble(answer=lambda _: json.dumps({"label": "bug"})) as double, connect(double) as con:
        assert con.sql("SELECT ai_classify('it crashes', ['bug', 'billing'])").fetchall() == [("bug",)]
    body = double.requests[-1]["body"]
    assert "The labels are" in body["system"]
    assert [message["role"] for message in body["messages"]] == ["user"]


def test_a_model_without_temperature_costs_one_request():
    with AnthropicDouble(without={"temperature"}) as double, connect(double) as con:
        assert len(con.sql("SELECT ai_query('m', 'q' || i) FROM range(200) t(i)").fetchall()) == 200
    assert double.statuses == {200: 200, 400: 1}


def test_parameters_have_their_names():
    sql = "SELECT ai_query('m', 'q', modelParameters => {'stop': ['END'], 'max_completion_tokens': 9, 'top_k': 3})"
    with AnthropicDouble() as double, connect(double) as con:
        con.sql(sql).fetchall()
    body = double.requests[-1]["body"]
    assert (body["stop_sequences"], body["max_tokens"], body["top_k"]) == (["END"], 9, 3)
    assert not {"stop", "max_completion_tokens"} & set(body)


def test_images():
    with AnthropicDouble() as double, connect(double) as con:
        con.raw.execute("CREATE TABLE t AS SELECT ?::BLOB AS image", [PNG])
        con.sql("SELECT ai_query('m', 'what is it?', files => image) FROM t").fetchall()
    image, text = sorted(double.requests[-1]["body"]["messages"][0]["content"], key=lambda part: part["type"])
    assert image["source"]["media_type"] == "image/png"
    assert text["text"] == "what is it?"


ERRORS = {
    "a refusal": ({"text": "", "stop_reason": "refusal"}, "the model refused"),
    "no tokens left": (
        {"content": [{"type": "thinking", "thinking": "hm", "signature": "s"}], "stop_reason": "max_tokens"},
        "used up by reasoning; raise the endpoint's max_tokens",
    ),
    "a wrong key": ({"status": 401, "type": "authentication_error"}, "HTTP 401"),
    "the highest spending": ({"status": 429, "details": {"error_code": "enforced_spend_limit_reached"}}, "HTTP 429"),
    "no credit": ({"status": 400, "type": "billing_error"}, "HTTP 400"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_of_a_row(name):
    answer, words = ERRORS[name]
    double = AnthropicDouble(answer=lambda _: answer)
    with double, connect(double) as con, pytest.raises(AIQueryError, match=words):
        con.sql("SELECT ai_query('m', 'q')")
    assert len(double.requests) == 1


def test_an_overloaded_server_is_asked_again():
    busy = iter([529, 529, 429])

    def answer(_):
        status = next(busy, 200)
        return "blue" if status == 200 else {"status": status, "headers": {"retry-after": "0"}}

    with AnthropicDouble(answer=answer) as double, connect(double) as con:
        assert con.sql("SELECT ai_query('m', 'q')").fetchall() == [("blue",)]
    assert double.statuses == {529: 2, 429: 1, 200: 1}


def test_thinking_is_no_part_of_the_answer():
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "blue"}]
    with AnthropicDouble(answer=lambda _: {"content": blocks}) as double, connect(double) as con:
        assert con.sql("SELECT ai_query('m', 'q')").fetchall() == [("blue",)]


def test_a_long_system_prompt_is_offered_to_the_cache_and_its_tokens_are_billed():
    labels = ", ".join(f"'label {i} {'x' * 91}'" for i in range(20))
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 1_000,
        "cache_read_input_tokens": 4_000,
        "output_tokens": 7,
    }
    answer = {"text": json.dumps({"label": f"label 3 {'x' * 91}"}), "usage": usage}
    price = {"input": 1.0, "cached_input": 0.1, "cache_write": 1.25, "output": 5.0}
    double = AnthropicDouble(answer=lambda _: answer)
    with double, connect(double, price=price) as con:
        con.sql(f"SELECT ai_classify('text', [{labels}])").fetchall()
        totals = con.ledger.totals["m"]
    (block,) = double.requests[-1]["body"]["system"]
    assert block["cache_control"] == {"type": "ephemeral"}
    assert totals.cost_usd == pytest.approx((10 * 1.0 + 1_000 * 1.25 + 4_000 * 0.1 + 7 * 5.0) / 1e6)
