"""Google's own API, as a double describes it that was written from its documentation alone."""

import json

import pytest
from gemini_double import GeminiDouble

import aiquery
from aiquery.testing import Answer

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de")
VERTEX = "/v1/projects/p/locations/us-central1/publishers/google"
TYPED = "SELECT ai_query('m', 'q' || i, returnType => 'STRUCT<a: INT, b: ARRAY<STRING>>') FROM range(30) t(i)"
ERROR = "SELECT ai_query('m', 'q', failOnError => false).errorMessage"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("THE_KEY", GeminiDouble.api_key)
    monkeypatch.setenv("THE_TOKEN", GeminiDouble.token)


def connect(double, path="", **settings):
    endpoint = {"provider": "gemini", "base_url": double.url + path, "model": "gemini-3.8-flash"}
    endpoint |= {"api_key_env": "THE_TOKEN" if path == VERTEX else "THE_KEY", "hedge": False, **settings}
    task = settings.get("task", "chat")
    return aiquery.connect(
        config={"endpoints": {"m": endpoint}, "defaults": {task: "m"}, "cache": {"store": "memory:"}}
    )


@pytest.mark.parametrize("path", ["", "/", "/v1beta", "/v1", VERTEX])
def test_a_thousand_rows(path):
    with GeminiDouble() as double, connect(double, path) as con:
        rows = con.sql("SELECT ai_query('m', 'q' || i) FROM range(1000) t(i)").fetchall()
    assert rows[7] == ("echo: q7",)
    assert double.statuses == {200: 1000}


@pytest.mark.parametrize("structured", ["auto", "json_schema", "json_object", "prompt"])
def test_typed_answers(structured):
    def answer(*_):
        return json.dumps({"a": 1, "b": ["x"]})

    with GeminiDouble(answer) as double, connect(double, structured=structured) as con:
        assert con.sql(TYPED).fetchall() == [({"a": 1, "b": ["x"]},)] * 30
    assert double.statuses == {200: 30}
    config = double.requests[0][1].get("generationConfig", {})
    assert ("responseJsonSchema" in config) == (structured in {"auto", "json_schema"})


def test_an_answer_by_a_function_call(serve):
    call = {"functionCall": {"name": "answer", "args": {"a": 1, "b": ["x"]}}}
    thought = {"text": "I think", "thought": True}
    candidate = {"content": {"parts": [thought, call], "role": "model"}, "finishReason": "STOP"}
    server = serve(lambda _: Answer(body=json.dumps({"candidates": [candidate]}).encode()))
    server.url = server.endpoint()["base_url"].removesuffix("/v1")
    with connect(server, structured="tool") as con:
        assert con.sql(TYPED).fetchall() == [({"a": 1, "b": ["x"]},)] * 30
    body = server.requests[0].body
    assert body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]["required"] == ["a", "b"]
    assert body["toolConfig"]["functionCallingConfig"]["mode"] == "ANY"


def test_functions_send_their_instructions_beside_the_turns():
    with GeminiDouble(lambda *_: json.dumps({"label": "bug"})) as double, connect(double) as con:
        assert con.sql("SELECT ai_classify('it crashes', ['bug', 'billing'])").fetchall() == [("bug",)]
        assert con.sql("SELECT ai_classify('so slow', ['bug', 'billing'])").fetchall() == [("bug",)]
    _, body = double.requests[-1]
    assert "The labels are" in body["systemInstruction"]["parts"][0]["text"]
    assert {one["role"] for one in body["contents"]} <= {"user", "model"}


def test_tokens_are_counted_as_google_bills_them():
    double = GeminiDouble(lambda *_: "blue sky")
    double.faults.append({"thoughts": 25, "cached": 3})
    price = {"input": 1.0, "cached_input": 0.1, "output": 10.0}
    with double, connect(double, price=price) as con:
        con.sql("SELECT ai_query('m', 'what is the colour of the sky over the sea')").fetchall()
        totals = con.ledger.totals["m"]
    written = totals.tokens_out - 25
    assert written > 0
    assert totals.tokens_cached == 3
    cost = (totals.tokens_in - 3) * 1.0 + 3 * 0.1 + totals.tokens_out * 10.0
    assert totals.cost_usd == pytest.approx(cost / 1e6)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"block_prompt": "PROHIBITED_CONTENT"}, "the endpoint blocked the prompt: PROHIBITED_CONTENT"),
        ({"block": "SAFETY"}, "the endpoint blocked the prompt: SAFETY"),
        ({"finish": "SAFETY"}, "the endpoint stopped the reply: SAFETY"),
        ({"finish": "RECITATION"}, "the endpoint stopped the reply: RECITATION"),
        ({"status": 400, "message": "Request contains an invalid argument."}, "invalid argument"),
    ],
)
def test_no_answer_is_the_error_of_the_row(fault, words):
    double = GeminiDouble()
    double.faults.append(fault)
    with double, connect(double) as con:
        ((error,),) = con.sql(ERROR).fetchall()
    assert words in error
    assert len(double.requests) == 1


def test_thoughts_that_use_up_the_tokens_are_said():
    double = GeminiDouble()
    double.faults.append({"thoughts": 50})
    with double, connect(double, max_tokens=50) as con:
        ((error,),) = con.sql(ERROR).fetchall()
    assert "max_tokens" in error


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_error_is_tried_again(status):
    double = GeminiDouble()
    double.faults.append({"status": status, "delay": 0.01, "message": "later"} if status != 429 else {"status": 429})
    with double, connect(double) as con:
        assert con.sql("SELECT ai_query('m', 'q')").fetchall() == [("echo: q",)]
    assert double.statuses == {status: 1, 200: 1}


@pytest.mark.parametrize("model", ["gemini-3.8-flash", "gemini-4-argon", "gemini-3.5-flash", "gemini-3.1-pro-preview"])
def test_what_a_model_does_not_take_is_learned(model):
    def answer(*_):
        return json.dumps({"label": "bug"})

    with GeminiDouble(answer) as double, connect(double, model=model) as con:
        sql = """SELECT ai_classify('q' || i, '["bug", "ok"]', MAP {'confidence': 'true'}) FROM range(50) t(i)"""
        assert len(con.sql(sql).fetchall()) == 50
    assert double.statuses[200] == 50
    assert double.statuses[400] <= 2


def test_an_image_is_sent_inline(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    with GeminiDouble() as double, connect(double) as con:
        file = (tmp_path / "a.png").as_posix()
        con.sql(f"SELECT ai_query('m', 'what is it', files => content) FROM read_blob('{file}')").fetchall()
    _, body = double.requests[0]
    text, image = body["contents"][0]["parts"]
    assert text == {"text": "what is it"}
    assert image["inlineData"]["mimeType"] == "image/png"


def test_a_wrong_key_ends_the_statement(monkeypatch):
    monkeypatch.setenv("THE_KEY", "wrong")
    with GeminiDouble() as double, connect(double) as con:
        with pytest.raises(aiquery.errors.AIQueryError, match="API key not valid"):
            con.sql("SELECT ai_query('m', 'q' || i) FROM range(1000) t(i)")
        assert len(double.requests) <= 64


def test_an_unknown_model_ends_the_statement():
    error = pytest.raises(aiquery.errors.AIQueryError, match="gemini-0")
    with GeminiDouble() as double, connect(double, model="gemini-0") as con, error:
        con.sql("SELECT ai_query('m', 'q' || i) FROM range(1000) t(i)")


@pytest.mark.parametrize(
    ("path", "model", "batch"),
    [
        ("", "gemini-embedding-001", 100),
        ("", "gemini-embedding-2", 100),
        (VERTEX, "gemini-embedding-001", 1),
        (VERTEX, "gemini-embedding-2", 1),
        (VERTEX, "text-embedding-005", 25),
    ],
)
def test_embeddings(path, model, batch):
    with GeminiDouble() as double, connect(double, path, task="embedding", model=model, dimensions=256) as con:
        rows = con.sql("SELECT ai_embed('text ' || i) FROM range(200) t(i)").fetchall()
        again = con.sql("SELECT ai_embed('text 7')").fetchall()
    assert [len(vector) for (vector,) in rows] == [256] * 200
    assert again == rows[7:8]
    assert len({tuple(vector) for (vector,) in rows}) == 200
    assert double.statuses[200] >= 200 / batch


@pytest.mark.parametrize(("path", "model"), [("", "gemini-embedding-001"), (VERTEX, "text-embedding-005")])
def test_a_text_that_is_too_long_is_never_cut_by_the_server(path, model, caplog):
    text = "word " * 6000
    with GeminiDouble() as double, connect(double, path, task="embedding", model=model) as con:
        ((vector,),) = con.sql(f"SELECT ai_embed('{text}')").fetchall()
        totals = con.ledger.totals["m"]
    assert len(vector) > 100
    assert double.statuses[400] >= 1
    assert totals.truncated == 1
