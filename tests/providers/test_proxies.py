"""The proxies of the environment: used as other clients use them, refused if they are of another kind."""

import pytest
from yarl import URL

import aiquery
from aiquery.config.endpoint import Endpoint
from aiquery.errors import ConfigError
from aiquery.providers.http.proxies import find_proxy

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch.setenv


def find(url, **settings):
    return find_proxy(Endpoint(name="m", base_url=url, **settings), URL(url))


def test_each_scheme_has_its_proxy(environment):
    environment("HTTP_PROXY", "http://plain:3128")
    environment("HTTPS_PROXY", "http://secure:3128")
    assert find("http://models.example/v1") == "http://plain:3128"
    assert find("https://models.example/v1") == "http://secure:3128"


def test_one_for_all_schemes_without_a_scheme_of_its_own(environment):
    environment("ALL_PROXY", "proxy:3128")
    assert find("https://models.example/v1") == "http://proxy:3128"


@pytest.mark.parametrize(
    "listed", ["models.example", ".example", "else.example.org, models.example", "*", "models.example:8443"]
)
def test_hosts_that_need_no_proxy(environment, listed):
    environment("HTTPS_PROXY", "http://proxy:3128")
    environment("NO_PROXY", listed)
    assert find("https://models.example:8443/v1") is None
    if listed != "*":
        assert find("https://models.other:8443/v1") == "http://proxy:3128"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "a.localhost"])
def test_this_machine_is_reached_directly(environment, host):
    environment("HTTP_PROXY", "http://proxy:3128")
    assert find(f"http://{host}:8000/v1") is None


def test_the_endpoint_decides_first(environment):
    environment("HTTPS_PROXY", "http://proxy:3128")
    assert find("https://models.example/v1", proxy="http://own:1") == "http://own:1"
    assert find("https://models.example/v1", proxy="direct") is None


@pytest.mark.parametrize("address", ["socks5://proxy:1080", "ftp://proxy"])
def test_a_proxy_of_another_kind_is_refused_by_name(environment, address):
    environment("HTTPS_PROXY", address)
    kind = address.partition(":")[0]
    message = f"HTTPS_PROXY must start with http:// or https://, and {kind}:// is not supported"
    config = {"endpoints": {"m": {"base_url": "https://models.invalid/v1"}}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con, pytest.raises(ConfigError, match=message):
        con.sql("SELECT ai_query('m', 'q')")


def test_a_statement_goes_through_the_proxy_of_the_environment(environment, serve):
    proxy = serve()
    environment("HTTP_PROXY", f"http://me:pw-of-the-proxy@{proxy.base_url[7:-3]}")
    config = {"endpoints": {"m": {"base_url": "http://models.invalid/v1"}}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        assert con.sql("SELECT ai_query('m', 'q')").fetchall() == [("echo: q",)]
    (request,) = proxy.requests
    assert request.path == "http://models.invalid/v1/chat/completions"
    assert request.headers["proxy-authorization"].startswith("Basic ")
