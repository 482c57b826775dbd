"""Configuration: the files that are read, the documents that are rejected, and secrets that are never shown."""

import re

import pytest

from aiquery.config import settings
from aiquery.config.credentials import Credentials, read_credentials
from aiquery.config.endpoint import Endpoint, Price
from aiquery.config.loader import load
from aiquery.config.settings import Config
from aiquery.errors import ConfigError, MissingKey, UnknownEndpoint
from aiquery.secrets import Secret

TOML = """
[endpoints.big]
base_url = "http://vllm.internal:8000/v1"
model = "org/Big"
api_key_env = "BIG_KEY"
max_concurrency = 512
price = { input = 0.60, output = 0.60, cached_input = 0.15 }
timeout = { connect_s = 2.5 }

[defaults]
chat = "big"
"""


def test_the_first_configuration_found_is_used(tmp_path, monkeypatch):
    (tmp_path / "aiquery.toml").write_text('[endpoints.here]\nprovider = "fake"\n')
    named = tmp_path / "named.toml"
    named.write_text(TOML)
    assert "here" in load().endpoints
    monkeypatch.setenv("AIQUERY_CONFIG", str(named))
    assert list(load().endpoints) == ["big"]
    assert list(load({"endpoints": {"given": {}}}).endpoints) == ["given"]
    assert list(load(str(named)).endpoints) == ["big"]
    monkeypatch.delenv("AIQUERY_CONFIG")
    (tmp_path / "aiquery.toml").unlink()
    assert load().endpoints == {}


def test_every_setting_is_read(tmp_path):
    (tmp_path / "a.toml").write_text(TOML)
    loaded = load(tmp_path / "a.toml")
    big = loaded.endpoint("big")
    assert (big.model, big.max_concurrency) == ("org/Big", 512)
    assert big.timeout.connect_s == 2.5
    assert big.price == Price(input=0.6, output=0.6, cached_input=0.15)
    assert loaded.defaults.chat == "big"
    assert loaded.origin_of("endpoints", "big", "model") == str(tmp_path / "a.toml")
    assert loaded.origin_of("endpoints", "big", "proxy") == settings.DEFAULT_ORIGIN


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"endpoints": {"m": {"base_ulr": "x"}}}, "did you mean 'base_url'"),
        ({"endpoints": {"m": {"max_concurrency": "many"}}}, r"\[endpoints.m\].*Expected `int"),
        ({"endpoints": {"m": {"api_key": "sk-123"}}}, "api_key_env"),
        ({"endpoint": {}}, "unknown table or setting 'endpoint'"),
        ({"defaults": {"chatt": "x"}}, "did you mean 'chat'"),
    ],
)
def test_an_invalid_document_is_rejected_with_the_fix(document, message):
    with pytest.raises(ConfigError, match=message) as error:
        Config(document, "x.toml")
    assert "sk-123" not in str(error.value)


def test_a_malformed_or_missing_file_is_rejected(tmp_path):
    (tmp_path / "bad.toml").write_text("[endpoints")
    for path in ("bad.toml", "none.toml"):
        with pytest.raises(ConfigError, match=path):
            load(tmp_path / path)


def test_the_error_of_an_unknown_endpoint_names_the_nearest():
    config = Config({"endpoints": {"llama-70b": {}, "other": {}}})
    with pytest.raises(UnknownEndpoint, match="did you mean 'llama-70b'") as error:
        config.endpoint("llama-7b")
    assert str(error.value).startswith("[REMOTE_FUNCTION_HTTP_FAILED_ERROR]")
    assert "57012" in str(error.value)


def test_an_endpoint_by_vendor_and_model():
    endpoint = Config().endpoint("openai:gpt-5-mini")
    assert (endpoint.model, endpoint.api_key_env) == ("gpt-5-mini", "OPENAI_API_KEY")
    assert Config().endpoint("local:org/repo:Q8_0").model == "org/repo:Q8_0"
    with pytest.raises(UnknownEndpoint):
        Config().endpoint("unknown:model")


def test_keys_are_read_from_variables_and_never_shown(monkeypatch):
    endpoint = Endpoint(name="m", api_key_env="THE_KEY", headers={"X-Team": "$THE_TEAM", "X-Plain": "yes"})
    with pytest.raises(MissingKey, match="THE_TEAM"):
        read_credentials(endpoint)
    monkeypatch.setenv("THE_TEAM", "team-secret")
    with pytest.raises(MissingKey, match="export THE_KEY="):
        read_credentials(endpoint)
    monkeypatch.setenv("THE_KEY", "key-secret")
    credentials = read_credentials(endpoint)
    headers = {"X-Team": Secret("team-secret"), "X-Plain": Secret("yes")}
    assert credentials == Credentials(Secret("key-secret"), headers)
    assert "secret" not in repr(credentials)
    assert "secret" not in repr(endpoint)


def test_the_cost_of_tokens():
    price = Price(input=1.0, output=2.0, cached_input=0.5)
    assert price.cost_usd(1_000_000, 400_000, 500_000) == pytest.approx(0.6 + 0.2 + 1.0)
    assert Price(input=1.0).cost_usd(10, 4, 0) == pytest.approx(10 / 1e6)


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"endpoints": {"m": "openai:gpt-5"}}, "[endpoints.m]"),
        ({"endpoints": ["m"]}, "[endpoints]"),
        ({"cache": "memory:"}, "[cache]"),
        ({"budget": 5}, "[budget]"),
    ],
)
def test_a_value_in_place_of_a_table_is_an_error_that_names_it(document, where):
    with pytest.raises(ConfigError, match=re.escape(f"{where} must be a table of settings, not a")):
        Config(document)


@pytest.mark.parametrize("key", ["sk-proj-secret123", "gsk_secretAbc1234567890", "secret with spaces"])
def test_a_key_in_place_of_a_variables_name_is_refused_without_its_text(key):
    with pytest.raises(ConfigError, match="must be the name of an environment variable") as error:
        Config({"endpoints": {"m": {"api_key_env": key}}})
    assert "secret" not in str(error.value)


def test_another_type_in_place_of_a_configuration_is_an_error():
    with pytest.raises(ConfigError, match=r"config must be a mapping, the path .*, not a int"):
        load(3)
