"""The official clients of the vendors drive the test endpoint, each in its own format."""

import urllib.error
import urllib.request

import anthropic
import boto3
import botocore.config
import openai
import pytest
from google import genai
from google.genai import types
from pydantic import BaseModel

from aiquery.testing import Answer


class Ticket(BaseModel):
    """What the model extracts."""

    topic: str
    urgent: bool


SCHEMA = {
    "type": "object",
    "properties": {"topic": {"type": "string"}, "urgent": {"type": "boolean"}},
    "required": ["topic", "urgent"],
    "additionalProperties": False,
}
MESSAGES = [{"role": "user", "content": "hello there"}]


@pytest.fixture
def server(serve):
    return serve(dimensions=4)


@pytest.fixture
def chat(server):
    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        yield client


def test_openai_chat(chat):
    reply = chat.chat.completions.create(model="x", messages=MESSAGES, n=3)
    assert [choice.message.content for choice in reply.choices] == ["echo: hello there"] * 3
    assert reply.usage.prompt_tokens == 3


def test_openai_stream(chat):
    options = {"include_usage": True}
    stream = chat.chat.completions.create(model="x", messages=MESSAGES, stream=True, stream_options=options)
    chunks = list(stream)
    texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(texts) == "echo: hello there"
    assert len(texts) > 2
    assert chunks[-1].usage.completion_tokens > 0


def test_openai_parse(chat):
    reply = chat.chat.completions.parse(model="x", messages=MESSAGES, response_format=Ticket)
    assert isinstance(reply.choices[0].message.parsed, Ticket)


def test_openai_tools(chat):
    tool = {"type": "function", "function": {"name": "file", "parameters": SCHEMA}}
    choice = {"type": "function", "function": {"name": "file"}}
    reply = chat.chat.completions.create(model="x", messages=MESSAGES, tools=[tool], tool_choice=choice)
    (call,) = reply.choices[0].message.tool_calls
    assert call.function.name == "file"
    assert Ticket.model_validate_json(call.function.arguments)
    assert reply.choices[0].finish_reason == "tool_calls"


def test_openai_responses(chat):
    assert chat.responses.create(model="x", input="hello there").output_text == "echo: hello there"
    assert chat.responses.create(model="x", input=MESSAGES).output_text == "echo: hello there"
    parsed = chat.responses.parse(model="x", input="hello", text_format=Ticket)
    assert isinstance(parsed.output_parsed, Ticket)


def test_openai_embeddings_and_models(chat):
    reply = chat.embeddings.create(model="x", input=["a", "b"], encoding_format="float")
    assert [len(item.embedding) for item in reply.data] == [4, 4]
    assert [model.id for model in chat.models.list()] == ["test"]


def test_openai_errors(serve):
    server = serve(lambda _: Answer(status=429, text="slow down"))
    client = openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0)
    with client, pytest.raises(openai.RateLimitError, match="slow down"):
        client.chat.completions.create(model="x", messages=MESSAGES)


def test_anthropic(server):
    root = server.base_url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=root, api_key="k", max_retries=0) as client:
        reply = client.messages.create(model="x", max_tokens=9, system="Be brief.", messages=MESSAGES)
        assert reply.content[0].text == "echo: hello there"
        assert (reply.stop_reason, reply.usage.input_tokens) == ("end_turn", 3)
        tool = {"name": "file", "input_schema": SCHEMA}
        choice = {"type": "tool", "name": "file"}
        reply = client.messages.create(model="x", max_tokens=9, messages=MESSAGES, tools=[tool], tool_choice=choice)
        assert reply.stop_reason == "tool_use"
        assert Ticket.model_validate(reply.content[0].input)
        assert client.messages.count_tokens(model="x", messages=MESSAGES).input_tokens == 3


def test_gemini(server):
    root = server.base_url.removesuffix("/v1")
    with genai.Client(api_key="k", http_options=types.HttpOptions(base_url=root)) as client:
        reply = client.models.generate_content(model="x", contents="hello there")
        assert reply.text == "echo: hello there"
        assert reply.usage_metadata.prompt_token_count == 3
        config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=SCHEMA)
        reply = client.models.generate_content(model="x", contents="hello", config=config)
        assert Ticket.model_validate_json(reply.text)


def test_bedrock(server):
    client = boto3.client(
        "bedrock-runtime",
        region_name="eu-central-1",
        endpoint_url=server.base_url.removesuffix("/v1"),
        aws_access_key_id="k",
        aws_secret_access_key="s",
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )
    try:
        messages = [{"role": "user", "content": [{"text": "hello there"}]}]
        reply = client.converse(modelId="x", messages=messages)
    finally:
        client.close()
    assert reply["output"]["message"]["content"] == [{"text": "echo: hello there"}]
    assert reply["stopReason"] == "end_turn"
    assert reply["usage"]["inputTokens"] == 3


def test_any_other_path_is_named_with_those_that_exist(server):
    request = urllib.request.Request(f"{server.base_url}/completion", data=b"{}")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=10)
    with error.value as reply:
        assert reply.status == 404
        said = reply.read().decode()
    assert "no such path: /v1/completion" in said
    assert "/chat/completions, /responses" in said
