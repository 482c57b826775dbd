"""Chat requests in the form of OpenAI's Responses API: where the address says so, or the model has no other."""

import json

import pytest

import aiquery
from aiquery.errors import RequestFailed
from aiquery.requests.request import Usage
from aiquery.testing import Answer

PRO = "This model is only supported in v1/responses and not in v1/chat/completions."
OTHER_WORDS = (
    "The requested operation is unsupported. Please use /v1/responses.",
    "The chatCompletion operation does not work with the specified model, gpt-5-pro. Please use the Responses API.",
)
TYPED = "SELECT ai_query('m', 'q', returnType => 'STRUCT<a: INT, b: ARRAY<STRING>>')"


def reject_chat_completions(message):
    def answer(question):
        if question.path.endswith("/chat/completions"):
            error = {"message": message, "type": "invalid_request_error", "param": "model", "code": None}
            return Answer(status=404, body=json.dumps({"error": error}).encode())
        return Answer()

    return answer


def connect(server, end="", **settings):
    endpoint = server.endpoint(hedge=False, **settings)
    endpoint["base_url"] += end
    return aiquery.connect(
        config={"endpoints": {"m": endpoint}, "defaults": {"chat": "m"}, "cache": {"store": "memory:"}}
    )


@pytest.mark.parametrize("message", [PRO, *OTHER_WORDS])
def test_a_model_without_chat_completions_is_learned(serve, message):
    server = serve(reject_chat_completions(message))
    with connect(server) as con:
        rows = con.sql("SELECT ai_query('m', 'q' || i) FROM range(200) t(i)").fetchall()
    assert rows[7] == ("echo: q7",)
    assert server.statuses == {404: 1, 200: 200}


def test_the_address_may_name_the_api(serve):
    server = serve()
    with connect(server, "/responses", max_tokens=77) as con:
        con.sql(TYPED).fetchall()
    (request,) = server.requests
    assert request.path == "/v1/responses"
    body = request.body
    assert body["store"] is False
    assert body["max_output_tokens"] == 77
    assert body["text"]["format"]["type"] == "json_schema"
    assert body["text"]["format"]["strict"] is True
    assert body["text"]["format"]["schema"]["required"] == ["a", "b"]
    assert not {"messages", "response_format", "max_tokens"} & body.keys()


@pytest.mark.parametrize("structured", ["json_schema", "tool", "json_object", "prompt"])
def test_typed_answers(serve, structured):
    text = json.dumps({"a": 3, "b": ["x"]})
    server = serve(lambda _: Answer(text=text))
    with connect(server, "/responses", structured=structured) as con:
        assert con.sql(TYPED).fetchall() == [({"a": 3, "b": ["x"]},)]
    if structured == "tool":
        (tool,) = server.requests[0].body["tools"]
        assert tool["type"] == "function"
        assert tool["name"] == "answer"


def reply(**fields):
    document = {"id": "r", "object": "response", "status": "completed", "error": None, "output": [], **fields}
    return lambda _: Answer(body=json.dumps(document).encode())


def message(*parts):
    reasoning = {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "I think"}]}
    search = {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "q"}}
    return [reasoning, search, {"type": "message", "role": "assistant", "content": list(parts)}]


def text(value):
    return {"type": "output_text", "text": value, "annotations": [{"type": "url_citation", "url": "https://x"}]}


def test_the_answer_is_the_text_of_the_message(serve):
    usage = {"input_tokens": 100, "output_tokens": 30, "total_tokens": 130}
    usage["input_tokens_details"] = {"cached_tokens": 60}
    usage["output_tokens_details"] = {"reasoning_tokens": 20}
    server = serve(reply(output=message(text("bl"), text("ue")), usage=usage))
    with connect(server, "/responses") as con:
        assert con.sql("SELECT ai_query('m', 'q')").fetchall() == [("blue",)]
        totals = con.ledger.totals["m"]
    assert (totals.tokens_in, totals.tokens_cached, totals.tokens_out) == (100, 60, 30)


CUT = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
FAILED = {"status": "failed", "error": {"code": "server_error", "message": "The model had an error"}}
BAD = {"status": "failed", "error": {"code": "invalid_prompt", "message": "Invalid prompt: it breaks the policy"}}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"output": message({"type": "refusal", "refusal": "I cannot help"})}, "the model refused: 'I cannot help'"),
        ({"output": message(), **CUT}, "max_tokens"),
        ({"output": message(), "status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "filter"),
        ({"output": message()}, "the reply has no text"),
        ({"output": None}, "the reply has no output"),
        ({**FAILED}, "The model had an error"),
        ({**BAD}, "breaks the policy"),
    ],
)
def test_no_answer_is_the_error_of_the_row(serve, fields, words):
    server = serve(reply(**fields))
    sql = "SELECT ai_query('m', 'q', failOnError => false).errorMessage"
    with connect(server, "/responses", max_attempts=2) as con:
        ((error,),) = con.sql(sql).fetchall()
    assert words in error


def test_an_image_and_a_conversation(serve, tmp_path):
    png = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de")
    server = serve()
    (tmp_path / "a.png").write_bytes(png)
    with connect(server, "/responses") as con:
        file = (tmp_path / "a.png").as_posix()
        con.sql(f"SELECT ai_query('m', 'what is it', files => content) FROM read_blob('{file}')").fetchall()
    (item,) = server.requests[0].body["input"]
    assert item["content"][0] == {"type": "input_text", "text": "what is it"}
    assert item["content"][1]["type"] == "input_image"
    assert item["content"][1]["image_url"].startswith("data:image/png;base64,")


def test_a_parameter_that_the_api_does_not_have_is_an_error(serve):
    def answer(question):
        if "stop" in question.body:
            error = {"message": "Unknown parameter: 'stop'.", "param": "stop", "code": "unknown_parameter"}
            return Answer(status=400, body=json.dumps({"error": error}).encode())
        return Answer()

    server = serve(answer)
    with connect(server, "/responses") as con, pytest.raises(RequestFailed, match="Unknown parameter: 'stop'"):
        con.sql("SELECT ai_query('m', 'q', modelParameters => {'stop': 'x'})").fetchall()


def test_reasoning_that_is_missing_in_the_output_tokens_is_billed():
    from aiquery.providers.openai.usage import ReportedUsage, read_usage

    xai = ReportedUsage(prompt_tokens=32, completion_tokens=9, total_tokens=135)
    assert read_usage(xai) == Usage(32, 0, 103)
    openai = ReportedUsage(prompt_tokens=32, completion_tokens=103, total_tokens=135)
    assert read_usage(openai) == Usage(32, 0, 103)
