"""A line break in an address, a header or a key is refused when it is read; it never reaches a socket."""

import pytest

import aiquery
from aiquery.config.loader import endpoint_from_text
from aiquery.config.settings import Config
from aiquery.errors import ConfigError

SECRET = "sk-secret-12345"
BREAKS = ["\r\nX-Injected: yes", "\nX-Injected: yes", "\r\n\r\nGET /b HTTP/1.1", "\0", "\x1b[2J", "\x85"]


def ask(server, **settings):
    config = {"endpoints": {"m": {**server.endpoint(), **settings}}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        return con.sql("SELECT ai_query('m', 'x')").fetchall()


@pytest.mark.parametrize("end", BREAKS)
@pytest.mark.parametrize(
    ("setting", "make", "named"),
    [
        ("headers", lambda end: {"X-A": SECRET + end}, "the header X-A"),
        ("headers", lambda end: {"X-A: 1" + end: "v"}, "headers has a name"),
        ("base_url", lambda end: f"http://user:{SECRET}@api.example/v1{end}", "base_url"),
        ("proxy", lambda end: f"http://user:{SECRET}@proxy.example:80{end}", "proxy"),
    ],
)
def test_a_line_break_in_a_setting_is_refused_when_it_is_read(serve, setting, make, named, end):
    server = serve()
    with pytest.raises(ConfigError, match=named) as error:
        ask(server, **{setting: make(end)})
    assert SECRET not in str(error.value)
    assert server.calls == 0


@pytest.mark.parametrize("end", BREAKS)
@pytest.mark.parametrize("settings", [{"api_key_env": "A_KEY"}, {"headers": {"X-A": "$A_KEY"}}])
def test_a_line_break_in_a_variable_is_refused_before_anything_is_sent(serve, monkeypatch, settings, end):
    if "\0" in end:
        pytest.skip("no variable has it")
    monkeypatch.setenv("A_KEY", SECRET + end)
    server = serve()
    with pytest.raises(ConfigError, match="environment variable A_KEY has a line break") as error:
        ask(server, **settings)
    assert SECRET not in str(error.value)
    assert server.calls == 0


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_line_break_at_the_end_of_a_key_file_is_no_part_of_the_key(serve, monkeypatch, end):
    monkeypatch.setenv("A_KEY", SECRET + end)
    server = serve()
    assert len(ask(server, api_key_env="A_KEY")) == 1
    assert server.calls == 1


@pytest.mark.parametrize("proxy", [f"user:{SECRET}@proxy:3128", "proxy:3128", "socks5://proxy"])
def test_a_proxy_is_an_address_of_http(proxy):
    with pytest.raises(ConfigError, match="proxy must start with http") as error:
        Config({"endpoints": {"m": {"proxy": proxy}}})
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("name", ["X A", "X:A", "", "Xé", "(X)"])
def test_a_header_name_is_a_token(name):
    with pytest.raises(ConfigError, match="headers has a name"):
        Config({"endpoints": {"m": {"headers": {name: "v"}}}})


@pytest.mark.parametrize("value", ["", "a\tb", "Bearer a b", "é"])
def test_other_header_values_are_sent_as_they_are(value):
    Config({"endpoints": {"m": {"headers": {"X-A": value}}}})


def test_an_address_on_the_command_line_is_checked_too():
    with pytest.raises(ConfigError, match="base_url"):
        endpoint_from_text("http://127.0.0.1/v1\r\nX: y", "m", Config())
