"""Clients of others, which speak to our test endpoint: URL."""

import asyncio
import sys

import instructor
import litellm
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import OpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

URL = sys.argv[1]
KEY = "none"


class City(BaseModel):
    name: str
    people: int
    districts: list[str]


def use_langchain():
    chat = ChatOpenAI(base_url=URL, api_key=KEY, model="m")
    assert chat.invoke("hello").content == "echo: hello"
    assert "".join(piece.content for piece in chat.stream("hello")) == "echo: hello"
    for method in ("json_schema", "function_calling"):
        assert isinstance(chat.with_structured_output(City, method=method).invoke("a city"), City)
    responses = ChatOpenAI(base_url=URL, api_key=KEY, model="m", use_responses_api=True)
    assert responses.invoke("hello").text == "echo: hello"
    embeddings = OpenAIEmbeddings(base_url=URL, api_key=KEY, model="e", check_embedding_ctx_length=False)
    assert len(embeddings.embed_documents(["a", "b", "c"])) == 3
    assert asyncio.run(chat.ainvoke("hello")).content == "echo: hello"


def use_instructor():
    for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
        client = instructor.from_openai(OpenAI(base_url=URL, api_key=KEY), mode=mode)
        messages = [{"role": "user", "content": "a city"}]
        assert isinstance(client.chat.completions.create(model="m", messages=messages, response_model=City), City)


def use_pydantic_ai():
    provider = OpenAIProvider(base_url=URL, api_key=KEY)
    for model in (OpenAIChatModel("m", provider=provider), OpenAIResponsesModel("m", provider=provider)):
        assert Agent(model).run_sync("hello").output == "echo: hello"
        assert isinstance(Agent(model, output_type=City).run_sync("a city").output, City)


def use_litellm():
    common = {"api_base": URL, "api_key": KEY}
    messages = [{"role": "user", "content": "hello"}]
    reply = litellm.completion(model="openai/m", messages=messages, **common)
    assert reply.choices[0].message.content == "echo: hello"
    pieces = litellm.completion(model="openai/m", messages=messages, stream=True, **common)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "echo: hello"
    root = URL.removesuffix("/v1")
    anthropic = litellm.completion(model="anthropic/m", messages=messages, api_base=root, api_key=KEY)
    assert anthropic.choices[0].message.content == "echo: hello"
    vectors = litellm.embedding(model="openai/e", input=["a", "b"], **common)
    assert len(vectors.data) == 2


for use in (use_langchain, use_instructor, use_pydantic_ai, use_litellm):
    use()
    print(use.__name__, "ok", flush=True)  # noqa: T201
