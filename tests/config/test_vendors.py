"""``vendor:model``: each vendor's address, key and provider; requests go to the documented path."""

import re
from urllib.parse import urlsplit

import pytest

import aiquery
from aiquery.config.catalogs import vendors
from aiquery.config.settings import Config
from aiquery.errors import ConfigError
from aiquery.testing import Answer

PATHS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "azure": "/openai/v1/chat/completions",
    "databricks": "/serving-endpoints/chat/completions",
    "gemini": "/v1beta/openai/chat/completions",
    "mistral": "/v1/chat/completions",
    "groq": "/openai/v1/chat/completions",
    "together": "/v1/chat/completions",
    "fireworks": "/inference/v1/chat/completions",
    "deepseek": "/v1/chat/completions",
    "xai": "/v1/chat/completions",
    "cohere": "/compatibility/v1/chat/completions",
    "openrouter": "/api/v1/chat/completions",
    "huggingface": "/v1/chat/completions",
    "nvidia": "/v1/chat/completions",
    "cerebras": "/v1/chat/completions",
    "vllm": "/v1/chat/completions",
    "sglang": "/v1/chat/completions",
    "ollama": "/v1/chat/completions",
    "lmstudio": "/v1/chat/completions",
    "llamacpp": "/v1/chat/completions",
    "litellm": "/v1/chat/completions",
}
MESSAGE = b'{"content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn"}'


def test_every_vendor_with_a_server_is_tested():
    assert set(PATHS) == {name for name, row in vendors().items() if "base_url" in row}


@pytest.mark.parametrize("vendor", PATHS)
def test_the_first_line_of_a_users_statement_reaches_the_vendor(vendor, serve, monkeypatch):
    server = serve(lambda _: Answer(body=MESSAGE) if vendor == "anthropic" else Answer(text="hello"))
    row = vendors()[vendor]
    for name in re.findall(r"\{([A-Z_]+)\}", row["base_url"]):
        monkeypatch.setenv(name, "https://resource.example/")
    key_variable = row.get("api_key_env")
    if key_variable:
        monkeypatch.setenv(key_variable, "key-of-the-vendor")
    base_url = Config().endpoint(f"{vendor}:model").base_url
    local = f"http://127.0.0.1:{urlsplit(server.base_url).port}{urlsplit(base_url).path}"
    monkeypatch.setitem(row, "base_url", local)
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        assert con.sql(f"SELECT ai_query('{vendor}:model', 'q')").fetchall() == [("hello",)]
    (request,) = server.requests
    assert request.path == PATHS[vendor]
    assert request.body["model"] == "model"
    sent = request.headers.get("authorization", request.headers.get("x-api-key", ""))
    assert sent.removeprefix("Bearer ") == ("key-of-the-vendor" if key_variable else "")


def test_an_address_without_its_variable_is_an_error_that_names_it(monkeypatch):
    monkeypatch.delenv("DATABRICKS_HOST", raising=False)
    with pytest.raises(ConfigError, match="DATABRICKS_HOST, its address, which is not set"):
        Config().endpoint("databricks:databricks-meta-llama-3-3-70b-instruct")
    monkeypatch.setenv("DATABRICKS_HOST", "adb-1.azuredatabricks.net")
    endpoint = Config().endpoint("databricks:llama")
    assert endpoint.base_url == "https://adb-1.azuredatabricks.net/serving-endpoints"
