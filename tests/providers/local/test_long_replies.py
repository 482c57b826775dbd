"""Nothing is cut silently: strings and lists have no bound but the tokens; a runaway is the error of its row."""

import asyncio
import json

import pytest

import aiquery
from aiquery.config.settings import Config
from aiquery.errors import ReplyParseError
from aiquery.functions.ai_query import AI_QUERY
from aiquery.providers.local import provider as local_provider
from aiquery.providers.local.chat_model import ChatModel
from aiquery.providers.local.llama_server import ModelSettings
from aiquery.providers.local.provider import LocalProvider
from aiquery.providers.local.repetition import RepetitionDetector, ends_in_repetition
from aiquery.requests.request import Request

MODEL = "local:smollm2-135m-instruct"
TEXT = " ".join(f"word{i}" for i in range(60))[:400]


class ScriptedServer:
    """Writes a fixed reply, one part after another, as xllamacpp does."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.payloads = []

    def handle_chat_completions(self, payload, receive):
        self.payloads.append(payload)
        reply = self.replies.pop(0)
        for i in range(0, len(reply), 7):
            if receive({"choices": [{"delta": {"content": reply[i : i + 7]}}]}):
                return
        usage = {"prompt_tokens": 3, "completion_tokens": len(reply) // 4}
        receive({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage})


def ask(monkeypatch, tmp_path, ddl, *replies):
    """Return the value of the scripted reply, and the server."""
    server = ScriptedServer(*replies)
    monkeypatch.setattr("aiquery.providers.local.llama_server.load", lambda *_, **__: server)
    settings = ModelSettings(path=tmp_path, task="chat", slots=1, context=2048, threads=1)
    call = AI_QUERY.bind({"endpoint": MODEL, "returnType": ddl}, Config())

    async def go():
        model = ChatModel(settings)
        provider = LocalProvider(settings, model, "generation")
        request = Request(call.template, "question")
        try:
            return call.template.parser.read(await provider.complete(request), request)
        finally:
            await model.close()

    return asyncio.run(go()), server


def test_a_long_string_and_a_long_list_come_through_whole(monkeypatch, tmp_path):
    value, server = ask(monkeypatch, tmp_path, "STRUCT<s: STRING>", json.dumps({"s": TEXT}))
    assert value == {"s": TEXT}
    assert len(server.payloads) == 1
    assert "maxLength" not in json.dumps(server.payloads)
    items = [f"item {i}" for i in range(30)]
    value, server = ask(monkeypatch, tmp_path, "ARRAY<STRING>", json.dumps({"result": items}))
    assert value == items
    assert "maxItems" not in json.dumps(server.payloads)


@pytest.mark.parametrize("items", [["the same item"] * 30, ["a", "b", "c"] * 15])
def test_a_list_of_equal_items_is_no_runaway(monkeypatch, tmp_path, items):
    value, server = ask(monkeypatch, tmp_path, "ARRAY<STRING>", json.dumps({"result": items}))
    assert value == items
    assert len(server.payloads) == 1


def test_a_runaway_is_written_once_more_against_repetition(monkeypatch, tmp_path):
    runaway = '{"result": "so ' + "very " * 400
    value, server = ask(monkeypatch, tmp_path, "STRUCT<result: STRING>", runaway, '{"result": "so very good"}')
    assert value == {"result": "so very good"}
    first, second = server.payloads
    assert "frequency_penalty" not in first
    assert second["frequency_penalty"] > 0


def test_a_model_that_repeats_itself_again_is_the_error_of_its_row(monkeypatch, tmp_path):
    runaway = '{"result": ["' + 'apple", "' * 400
    with pytest.raises(ReplyParseError, match="repeated itself"):
        ask(monkeypatch, tmp_path, "ARRAY<STRING>", runaway, runaway)


@pytest.mark.parametrize("text", ["-" * 500, "la " * 130, TEXT, '{"a": ["x", "x", "x"], "b": 1}', "ab" * 5])
def test_what_is_no_runaway(text):
    assert not ends_in_repetition(text)


@pytest.mark.parametrize("piece", ["x", "never again. ", "\n", "The quick brown fox jumps over the lazy dog, and "])
def test_what_is_a_runaway(piece):
    detector = RepetitionDetector()
    detector.add("It begins well. ")
    written = 0
    while not detector.is_found:
        detector.add(piece)
        written += len(piece)
        assert written < 2000
    assert written >= 500


@pytest.mark.local_model
def test_a_real_model_repeats_a_long_text_whole():
    """Copying is not a runaway, and the copy is not cut at 50 characters, as it once was."""
    text = (
        "The parcel left Lyon on Monday, reached Turin on Tuesday, and waited there for the papers until Friday noon."
    )
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        ((answer,),) = con.sql(
            f"SELECT ai_query('{MODEL}', 'Copy this text: {text}', returnType => 'STRUCT<text: STRING>')"
        ).fetchall()
    assert answer == {"text": text}


@pytest.mark.local_model
def test_a_reply_at_the_token_limit_is_the_error_of_its_row():
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        ((message,),) = con.sql(
            f"SELECT ai_query('{MODEL}', 'Tell a story.', returnType => 'STRUCT<s: STRING>', failOnError => false, "
            "modelParameters => {'max_tokens': 8}).errorMessage"
        ).fetchall()
    assert "token limit" in message


def test_the_default_limit_of_tokens_leaves_room():
    assert local_provider.MAX_TOKENS >= 512
