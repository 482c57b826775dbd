"""Real servers, which none of us wrote: plain, typed, classify, extract, embeddings, too long, wrong key."""

import pytest

import aiquery
from aiquery.cli.served_models import add_served_model
from aiquery.config.endpoint import Endpoint
from aiquery.errors import AIQueryError
from conftest import KEY

SERVERS = ("llama_cpp_python", "xllamacpp", "litellm")


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("INTEROP_KEY", KEY)


@pytest.fixture(params=SERVERS)
def server(request, key):
    return request.getfixturevalue(request.param)


def connect(addresses, **settings):
    chat, embedding = addresses
    common = {"api_key_env": "INTEROP_KEY", **settings}
    endpoints = {
        "m": {"base_url": chat, "model": "chat", "max_tokens": 64, **common},
        "e": {"base_url": embedding, "model": "embedding", "task": "embedding", **common},
    }
    defaults = {"chat": "m", "embedding": "e"}
    return aiquery.connect(config={"endpoints": endpoints, "defaults": defaults, "cache": {"store": "memory:"}})


def test_plain(server):
    with connect(server) as con:
        rows = con.sql("SELECT ai_query('m', 'Say hello to number ' || i) FROM range(8) t(i)").fetchall()
    assert all(isinstance(text, str) and text for (text,) in rows)


def test_typed(server):
    with connect(server, max_tokens=200) as con:
        sql = "SELECT ai_query('m', 'Name a colour and a number', returnType => 'STRUCT<colour: STRING, n: INT>')"
        ((value,),) = con.sql(sql).fetchall()
    assert value.keys() == {"colour", "n"}
    assert isinstance(value["n"], int | None)


def test_classify(server):
    with connect(server) as con:
        sql = "SELECT ai_classify(x, ['billing', 'bug']) FROM (VALUES ('it crashes'), ('my bill is wrong')) t(x)"
        labels = {label for (label,) in con.sql(sql).fetchall()}
    assert labels <= {"billing", "bug"}


def test_extract(server):
    with connect(server) as con:
        ((value,),) = con.sql("SELECT ai_extract('Anna lives in Berlin', ['person', 'city'])").fetchall()
    assert value.keys() == {"person", "city"}


def test_embeddings(server):
    with connect(server) as con:
        rows = con.sql("SELECT ai_embed('text number ' || i) FROM range(50) t(i)").fetchall()
    assert {len(vector) for (vector,) in rows} == {384}
    assert len({tuple(vector) for (vector,) in rows}) == 50


def test_too_long_is_the_error_of_its_row(server):
    sql = "SELECT ai_query('m', repeat('word ', n), failOnError => false) FROM (VALUES (1), (20000)) t(n)"
    with connect(server, max_attempts=2) as con:
        good, bad = [answer for (answer,) in con.sql(sql).fetchall()]
    assert good["errorMessage"] is None
    assert bad["result"] is None
    assert any(word in bad["errorMessage"].lower() for word in ("context", "exceed", "too long", "too large"))


@pytest.mark.parametrize("server", ["xllamacpp", "litellm"], indirect=True)  # llama-cpp-python's server aborts
def test_a_text_to_embed_that_is_too_long_is_shortened(server):
    with connect(server, max_attempts=3) as con:
        ((vector,),) = con.sql("SELECT ai_embed(repeat('word ', 3000))").fetchall()
        assert con.ledger.totals["e"].truncated == 1
    assert len(vector) == 384


def test_a_wrong_key_ends_the_statement(server, monkeypatch):
    monkeypatch.setenv("INTEROP_KEY", "sk-wrong-abcdefghijk")
    with connect(server) as con, pytest.raises(AIQueryError, match=r"40[01]") as raised:
        con.sql("SELECT ai_query('m', 'q' || i) FROM range(100) t(i)")
    assert "abcdefghijk" not in str(raised.value)


def test_the_only_model_of_a_server(key, xllamacpp):
    endpoint = Endpoint(name="m", base_url=xllamacpp[0], api_key_env="INTEROP_KEY")
    assert add_served_model(endpoint).model


def test_scoring_with_mlflow(mlflow):
    endpoint = {"provider": "mlflow", "base_url": mlflow, "task": "custom", "return_type": "BIGINT"}
    with aiquery.connect(config={"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}}) as con:
        assert con.sql("SELECT ai_query('m', {'a': i}) FROM range(20) t(i)").fetchall() == [(2 * i,) for i in range(20)]
        assert con.sql("SELECT ai_query('m', 'four')").fetchall() == [(4,)]
        with pytest.raises(AIQueryError, match="400"):
            con.sql("SELECT ai_query('m', {'a': NULL, 'b': [1, 2]})").fetchall()
