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
    "gemini": "/v1beta/models/model:generateContent",
    "vertex": "/v1/projects/my-project/locations/europe-west1/publishers/google/models/model:generateContent",
    "bedrock": "/model/model/converse",
    "perplexity": "/v1/responses",
    "tgi": "/v1/chat/completions",
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
VARIABLES = {"GOOGLE_CLOUD_PROJECT": "my-project", "GOOGLE_CLOUD_LOCATION": "europe-west1", "AWS_REGION": "eu-west-1"}
AWS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIEXAMPLE",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


def test_every_vendor_with_a_server_is_tested():
    assert set(PATHS) == {name for name, row in vendors().items() if "base_url" in row}


@pytest.mark.usefixtures("gcloud")
@pytest.mark.parametrize("vendor", PATHS)
def test_the_first_line_of_a_users_statement_reaches_the_vendor(vendor, serve, monkeypatch):
    server = serve(lambda _: Answer(text="hello"))
    row = vendors()[vendor]
    for names in re.findall(r"\{([A-Z_|]+)\}", row["base_url"]):
        name = names.partition("|")[0]
        monkeypatch.setenv(name, VARIABLES.get(name, "https://resource.example/"))
    has_key = "api_key_env" in row or "api_key_command" in row
    if "api_key_env" in row:
        monkeypatch.setenv(row["api_key_env"], "key-of-the-vendor")
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    base_url = Config().endpoint(f"{vendor}:model").base_url
    local = f"http://127.0.0.1:{urlsplit(server.base_url).port}{urlsplit(base_url).path}"
    monkeypatch.setitem(row, "base_url", local)
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        assert con.sql(f"SELECT ai_query('{vendor}:model', 'q')").fetchall() == [("hello",)]
    (request,) = server.requests
    assert request.path == PATHS[vendor]
    assert request.body.get("model", "model") == "model"
    headers = [request.headers.get(name, "") for name in ("authorization", "x-api-key", "x-goog-api-key")]
    sent = "".join(headers).removeprefix("Bearer ")
    if vendor == "bedrock":
        assert sent.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    else:
        assert sent == ("key-of-the-vendor" if has_key else "")


def test_a_key_that_may_be_missing_is_used_where_it_is_set(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    assert Config().endpoint("bedrock:m").api_key_env is None
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-abc")
    assert Config().endpoint("bedrock:m").api_key_env == "AWS_BEARER_TOKEN_BEDROCK"


def test_the_second_variable_counts_where_the_first_one_is_not_set(monkeypatch):
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    assert Config().endpoint("bedrock:m").base_url == "https://bedrock-runtime.ap-south-1.amazonaws.com"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigError, match="AWS_REGION, a part of its address, which is not set"):
        Config().endpoint("bedrock:m")


def test_a_model_on_vertex_ai_has_no_temperature_and_no_price_of_another_vendor(monkeypatch):
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "global")
    endpoint = Config().endpoint("vertex:gemini-3.8-flash")
    assert not endpoint.send_temperature
    assert endpoint.price is None


def test_an_address_without_its_variable_is_an_error_that_names_it(monkeypatch):
    monkeypatch.delenv("DATABRICKS_HOST", raising=False)
    with pytest.raises(ConfigError, match="DATABRICKS_HOST, its address, which is not set"):
        Config().endpoint("databricks:databricks-meta-llama-3-3-70b-instruct")
    monkeypatch.setenv("DATABRICKS_HOST", "adb-1.azuredatabricks.net")
    endpoint = Config().endpoint("databricks:llama")
    assert endpoint.base_url == "https://adb-1.azuredatabricks.net/serving-endpoints"
