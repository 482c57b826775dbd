"""A secret is shown nowhere: not by errors, logs, plans, stores, pages, commands, or ``repr``."""

import base64
import json
import logging
import os
import pickle
import re
import socket
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

import aiquery
from aiquery.config.credentials import read_credentials
from aiquery.config.endpoint import Endpoint
from aiquery.config.loader import load
from aiquery.config.settings import CacheSettings, Config
from aiquery.errors import ConfigError, RequestFailed, excerpt
from aiquery.providers.http.errors import excerpt_body
from aiquery.secrets import Secret, find_secrets_in_address, hide_secrets, is_secret_name, remember_secret
from aiquery.testing import Answer

KEY = "sk-Key/7+secret=S3CRETMARK-A"
HEADER = "session S3CRETMARK-B x"
USER_PASSWORD = "pass S3CRETMARK-C/:@"
QUERY = "q&S3CRETMARK-D=1"
PROXY_PASSWORD = "pw-S3CRETMARK-E"
STORE_PASSWORD = "st:S3CRETMARK-F?"
LITERAL_HEADER = "literal S3CRETMARK-G"
MARK = "S3CRETMARK"


def encode(text):
    return base64.b64encode(text.encode()).decode()


def is_shown(text):
    """Return True if a text holds one of the secrets, as it is or encoded."""
    found = text if isinstance(text, str) else text.decode("utf-8", "replace")
    folded = found.lower()
    if MARK.lower() in folded or "s3cretmark" in folded.replace("%", ""):
        return True
    return any(encode("x" * i + MARK)[4:-4] in found for i in range(3))


# --- the type and the function


def test_a_secret_is_shown_by_no_formatter():
    secret = Secret(KEY)
    for shown in (str(secret), repr(secret), f"{secret}", f"{secret!r:>30}", "%s" % secret, f"{[secret]} {secret:x}"):  # noqa: UP031
        assert not is_shown(shown)
    assert secret.reveal() == KEY
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)


@pytest.mark.parametrize(
    "secret", [KEY, USER_PASSWORD, QUERY, STORE_PASSWORD, "schlüssel-S3CRETMARK", 'a"b\\S3CRETMARK\n']
)
@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        json.dumps,
        quote,
        lambda text: quote(text, safe=""),
        lambda text: re.sub("%..", lambda match: match[0].lower(), quote(text, safe="")),
        lambda text: quote(text).replace("%20", "+"),
        encode,
        lambda text: encode(f"user:{text}"),
        lambda text: encode(f"u:{text}:more"),
        lambda text: encode(f"us:{text}").replace("+", "-").replace("/", "_"),
        lambda text: f"before{text}after",
        lambda text: json.dumps(text).replace("/", "\\/"),
        lambda text: json.dumps(text).replace("&", "\\u0026"),
        lambda text: text.replace("&", "&amp;").replace("'", "&#39;").replace('"', "&#34;"),
        lambda text: text.replace("&", "&amp;").replace('"', "&quot;"),
    ],
)
def test_a_secret_is_found_in_every_form(secret, show):
    remember_secret(secret)
    assert not is_shown(hide_secrets(f"a {show(secret)} b"))


def test_a_short_secret_is_hidden_as_a_word_only():
    remember_secret("test")
    assert hide_secrets("the latest test of testing") == "the latest *** of testing"


def test_secrets_that_overlap_are_all_hidden():
    for secret in ("inner", "outer-inner-S3CRETMARK", "S3CRETMARK-and-more", "x-outer"):
        remember_secret(secret)
    assert hide_secrets("a outer-inner-S3CRETMARK-and-more b") == "a *** b"
    assert hide_secrets("a x-outer-inner-S3CRETMARK b, inner") == "a *** b, ***"


def test_a_secret_that_a_limit_cuts_is_not_shown():
    remember_secret(KEY)
    for before in range(2000):
        assert not is_shown(excerpt("x " * before + KEY + " and more " * 500))
    assert not is_shown(excerpt(KEY * 100))
    long_key = "S3CRETMARK-".join(str(i) for i in range(300))
    remember_secret(long_key)
    for shown in (long_key, encode(f"Bearer {long_key}"), f"I got {long_key} and " + "x " * 1000, long_key * 30):
        assert not is_shown(excerpt(shown))
        assert not is_shown(excerpt_body(shown.encode()))


@pytest.mark.parametrize(
    ("address", "secrets"),
    [
        ("http://user:pw%2F1@h/v1", ["pw%2F1"]),
        ("https://token@h/v1", ["token"]),
        ("http://h/v1?api-version=2024-02-01&key=abcd", ["abcd"]),
        ("http://h/v1?sig=abcd&design=x&author=y&tokens=5", ["abcd"]),
        ("postgresql://user@h/db", []),
        ("postgresql://user:pw@h/db?sslpassword=other", ["other", "pw"]),
        ("redis://:pw@h:6379/0", ["pw"]),
        ("redis://h/0?password=pw12", ["pw12"]),
        ("redis://:pa/ss@h/0", ["pa/ss"]),
        ("REDIS://:pw@h", ["pw"]),
        ("redis://:pw@h:port/0", ["pw"]),
        ("/path/of/a@file", []),
        ("http://h/v1#access_token=abcd", ["abcd"]),
        ("http://h/v1?a=1;api_key=abcd", ["abcd"]),
        ("memory:", []),
    ],
)
def test_the_secrets_of_an_address(address, secrets):
    assert find_secrets_in_address(address) == secrets


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "api_key", "X-Auth", "Cookie", "X-Session-Id", "sig"])
def test_names_of_secrets(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["Accept", "X-Title", "anthropic-version", "OpenAI-Organization", "max_tokens", "design"]
)
def test_names_that_are_no_secrets(name):
    assert not is_secret_name(name)


# --- where they could be seen


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def world(serve, monkeypatch, tmp_path):
    """Return a configuration with a secret in every place that takes one, and servers that show all they get."""
    monkeypatch.setenv("THE_KEY", KEY)
    monkeypatch.setenv("THE_HEADER", HEADER)

    def echo(query):
        shown = json.dumps(query.headers)
        basic = query.headers.get("authorization", "")
        return Answer(status=400, text=f"I got {shown} {encode(basic)} {quote(basic)} {query.headers.get('x-session')}")

    server = serve(echo)
    port = closed_port()
    secrets = {"api_key_env": "THE_KEY", "headers": {"X-Session": "$THE_HEADER", "X-Token": LITERAL_HEADER}}
    one = {"max_attempts": 1, "timeout": {"outage_s": 1, "connect_s": 1}}
    password = quote(USER_PASSWORD, safe="")
    endpoints = {
        "echo": {**server.endpoint(), **secrets, **one},
        "user": {**one, "base_url": f"http://user:{password}@127.0.0.1:{port}/v1"},
        "query": {**one, "base_url": f"http://127.0.0.1:{port}/v1?key={quote(QUERY)}"},
        "name": {**one, "base_url": f"http://user:{password}@nowhere.invalid/v1"},
        "tls": {**one, "base_url": f"https://user:{password}@{server.base_url.removeprefix('http://')}"},
        "proxy": {**one, "base_url": "http://h.invalid/v1", "proxy": f"http://u:{PROXY_PASSWORD}@127.0.0.1:{port}"},
        "proxied": {
            **one,
            "base_url": "http://h.invalid/v1",
            "proxy": f"http://u:{PROXY_PASSWORD}@{server.base_url[7:-3]}",
        },
    }
    store = f"redis://:{quote(STORE_PASSWORD, safe='')}@127.0.0.1:{port}/0"
    document = {
        "endpoints": endpoints,
        "cache": {"store": store},
        "runs": {"store": str(tmp_path / "runs.sqlite")},
    }
    return server, document


def statements(name):
    yield f"SELECT ai_query('{name}', 'x', failOnError => false)"
    yield f"SELECT ai_query('{name}', 'x')"
    yield f"EXPLAIN SELECT ai_query('{name}', 'x')"
    yield f"SELECT ai_query('{name}', 'x', returnType => 'NOTHING')"
    yield "SELECT * FROM aiquery_runs()"


def collect(document):
    """Return everything that a user sees of statements against each endpoint, the errors with their tracebacks."""
    with aiquery.connect(config=document) as con:
        seen = [repr(con), repr(con.config), str(con.config)]
        for sql in (sql for name in document["endpoints"] for sql in statements(name)):
            try:
                seen.append(str(con.sql(sql).fetchall()))
            except Exception as error:  # noqa: BLE001  every error is looked at
                seen += [str(error), repr(error), repr(error.__dict__), *traceback.format_exception(error)]
    return seen


def test_statements_show_no_secret(world, caplog, tmp_path):
    server, document = world
    caplog.set_level(logging.DEBUG)
    seen = collect(document)
    assert any("I got" in text for text in seen), "the echoing server was not reached"
    assert [text for text in seen if is_shown(text)] == []
    assert not is_shown(caplog.text)
    for path in tmp_path.glob("*.sqlite*"):
        assert not is_shown(path.read_bytes()), path
    sent = [request.headers for request in server.requests]
    assert any(headers.get("authorization") == f"Bearer {KEY}" for headers in sent), "the key was not sent"


def run_cli(arguments, config):
    command = [sys.executable, "-m", "aiquery", *arguments, "--config", str(config)]
    environment = {**os.environ, "COLUMNS": "4000"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100, check=False)
    return done.stdout + done.stderr


def write_toml(document, path):
    lines = []

    def write_table(name, table):
        lines.append(f"[{name}]")
        nested = {key: value for key, value in table.items() if isinstance(value, dict)}
        lines.extend(f"{key} = {json.dumps(value)}" for key, value in table.items() if key not in nested)
        for key, value in nested.items():
            write_table(f"{name}.{key}", value)

    for name, table in document.items():
        if name == "endpoints":
            for endpoint, settings in table.items():
                write_table(f"endpoints.{endpoint}", settings)
        else:
            write_table(name, table)
    path.write_text("\n".join(lines))


def test_commands_show_no_secret(world, tmp_path):
    _, document = world
    config = tmp_path / "aiquery.toml"
    write_toml(document, config)
    page = tmp_path / "page.html"
    commands = [
        ["config"],
        ["endpoints"],
        *(["endpoints", "test", name] for name in ("echo", "user", "proxy", "tls")),
        ["sql", "SELECT ai_query('echo', 'x', failOnError => false)"],
        ["sql", "SELECT ai_query('query', 'x')"],
        ["estimate", "SELECT ai_query('user', 'x')"],
        ["cache"],
    ]
    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda command: run_cli(command, config), commands))
    commands += [["runs"], ["report", "--html", str(page)]]
    texts += [run_cli(command, config) for command in commands[-2:]]
    seen = {" ".join(command): text for command, text in zip(commands, texts, strict=True)}
    assert "***" in seen["config"]
    assert "http://***@" in seen["endpoints"]
    assert {command: text for command, text in seen.items() if is_shown(text)} == {}
    for path in (*tmp_path.glob("*.html"), *tmp_path.glob("*.sqlite*")):
        assert not is_shown(path.read_bytes()), path


def test_objects_show_no_secret(world):
    _, document = world
    config = load(document)
    for endpoint in config.endpoints.values():
        for shown in (repr(endpoint), str(endpoint), str(endpoint.__rich_repr__()), repr(read_credentials(endpoint))):
            assert not is_shown(shown)
    assert not is_shown(repr(config.cache))
    assert not is_shown(repr(Endpoint(base_url="http://u:S3CRETMARK-H@h", headers={"X-Key": "S3CRETMARK-I"})))
    assert not is_shown(repr(CacheSettings(store="redis://:S3CRETMARK-J@h")))


@pytest.mark.parametrize("store", ["REDIS://:S3CRETMARK-K@127.0.0.1:1/0", "Rediss://:S3CRETMARK-K@127.0.0.1:1/0"])
def test_a_scheme_in_capitals_is_the_same_scheme(tmp_path, monkeypatch, store):
    monkeypatch.chdir(tmp_path)
    with aiquery.connect(config={"endpoints": {"m": {"provider": "fake"}}, "cache": {"store": store}}) as con:
        assert con.sql("SELECT ai_query('m', 'x')").fetchall() == [("echo: x",)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("store", ["mysql://u:S3CRETMARK-L@h/db", "sqlite:///S3CRETMARK-L@h"])
@pytest.mark.parametrize("table", ["cache", "runs"])
def test_another_scheme_is_no_path(tmp_path, monkeypatch, store, table):
    monkeypatch.chdir(tmp_path)
    config = {"endpoints": {"m": {"provider": "fake"}}, table: {"store": store}}
    with pytest.raises(ConfigError, match="is not the address of a store") as error:
        aiquery.connect(config=config).sql("SELECT ai_query('m', 'x')")
    assert not is_shown(str(error.value))
    assert list(tmp_path.iterdir()) == []


def test_the_text_of_an_error_that_is_set_later_is_hidden_too():
    remember_secret(KEY)
    error = RequestFailed("x")
    error.message = f"the key {KEY}"
    assert str(error) == "[AI_FUNCTION_HTTP_REQUEST_ERROR] the key *** SQLSTATE: 08000"


def test_a_postgres_address_shows_no_password():
    uri = f"postgresql://user:{quote(USER_PASSWORD, safe='')}@127.0.0.1:{closed_port()}/db"
    with pytest.raises(Exception, match="Postgres") as error:
        aiquery.update("t", "a = ai_query('m', b)", key="id", database=uri, config=Config())
    assert not any(map(is_shown, traceback.format_exception(error.value)))


def test_no_process_has_a_secret_among_its_arguments(world):
    _, document = world
    collect(document)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes()
        except OSError:
            continue  # it has ended
        assert not is_shown(arguments), arguments
