"""Bad input fails before any call: ``connect`` raises errors of aiquery, ``register`` errors of DuckDB."""

import duckdb
import pytest

import aiquery
from aiquery import errors

# (SQL, class of the error, pattern of its message)
BAD = [
    ("ai_query('keylss', s)", errors.UnknownEndpoint, "endpoint 'keylss' is not configured; did you mean 'keyless'"),
    ("ai_query('m', s, returnType => s)", errors.ArgumentError, "must be (a )?constant"),
    ("ai_query(s, s)", errors.ArgumentError, "must be (a )?constant"),
    ("ai_query(NULL, s)", errors.ArgumentError, "endpoint must be a constant STRING"),
    ("ai_query('m', s, returnType => 'INTT')", errors.UnsupportedReturnType, "INTT.*Known types"),
    ("ai_query('m', s, returnType => 'MAP<INT, INT>')", errors.UnsupportedReturnType, "keys of a MAP"),
    ("ai_query('m', s, modelParameters => {'stream': true})", errors.InvalidModelParameters, "'stream' is reserved"),
    ("ai_query('m', s, modelParameters => {'max_tokens': 'x'})", errors.InvalidModelParameters, "must be an integer"),
    ("ai_query('m', s, modelParameters => {'temperature': 3})", errors.InvalidModelParameters, "between 0 and 2"),
    ("ai_query('m', s, modelParameters => 7)", errors.InvalidModelParameters, "must be a STRUCT"),
    ("ai_query('m', s, responseFormat => '{\"type\":')", errors.UnsupportedResponseFormat, "malformed JSON"),
    ("ai_query('m', s, responseFormat => '{\"type\":\"xml\"}')", errors.UnsupportedResponseFormat, "not 'xml'"),
    ("ai_query('m', s, responseFormat => 'STRUCT<a: INT>')", errors.UnsupportedResponseFormat, "exactly one top-level"),
    (
        'ai_query(\'m\', s, responseFormat => \'{"type":"json_schema","json_schema":{"schema":{"type":"bogus"}}}\')',
        errors.UnsupportedResponseFormat,
        "not a JSON Schema",
    ),
    ("ai_query('keyless', s)", errors.MissingKey, "NO_SUCH_KEY"),
    ("ai_query('nowhere', s)", errors.ConfigError, "base_url"),
    ("ai_query('plugin', s)", errors.ConfigError, "did you mean 'openai'"),
    ("ai_query('local:/no/such.gguf', s)", errors.ModelFileError, "cannot be read"),
    ("ai_query('local:nonsense', s)", errors.ModelFileError, "hub reference"),
]


@pytest.fixture
def endpoints(endpoint):
    return {
        "m": endpoint.endpoint(),
        "keyless": endpoint.endpoint(api_key_env="NO_SUCH_KEY"),
        "nowhere": {"provider": "openai"},
        "plugin": {"provider": "opena"},
    }


@pytest.mark.parametrize(("call", "kind", "message"), BAD, ids=[case[0][:60] for case in BAD])
def test_a_connection_of_aiquery_raises_its_own_error(connect, endpoint, endpoints, call, kind, message):
    con = connect(**endpoints)
    con.execute("CREATE TABLE t AS SELECT 'a' AS s")
    with pytest.raises(kind, match=message) as error:
        con.sql(f"CREATE TABLE o AS SELECT {call} FROM t")
    if kind.error_class is not None:
        assert str(error.value).startswith(f"[{kind.error_class}]")
    assert endpoint.calls == 0


@pytest.mark.parametrize(("call", "kind", "message"), BAD, ids=[case[0][:60] for case in BAD])
def test_a_plain_connection_raises_an_error_of_duckdb(plain, endpoint, endpoints, call, kind, message):
    con = plain(**endpoints)
    con.execute("CREATE TABLE t AS SELECT 'a' AS s")
    with pytest.raises(duckdb.Error, match=message):
        con.sql(f"SELECT {call} FROM t")
    assert endpoint.calls == 0


def test_a_file_that_is_not_gguf(connect, tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"PK\3\4 this is a zip")
    with pytest.raises(errors.ModelFileError, match="is not GGUF"):
        connect().sql(f"SELECT ai_query('local:{tmp_path}/model.gguf', 'q')")


def test_a_missing_extra_names_the_install_line(connect, monkeypatch):
    monkeypatch.setattr("aiquery.providers.local.provider.find_spec", lambda _: None)
    with pytest.raises(errors.MissingExtra, match=r"pip install 'aiquery\[local\]'"):
        connect().sql("SELECT ai_query('local:smollm2-135m-instruct', 'q')")


@pytest.mark.parametrize("dialect", ["duckdb", "databricks"])
def test_a_syntax_error_names_the_line(connect, dialect, endpoint):
    con = connect(m=endpoint.endpoint())
    sql = "SELECT ai_query('m', 'a');\nSELECT ai_query('m', s) FORM t WHERE ("
    with pytest.raises(errors.StatementError, match=r"(?s)(line|LINE) 2.*FORM"):
        con.sql(sql, dialect=dialect)
    assert endpoint.calls == 0


def test_an_unknown_dialect_is_rejected(connect):
    with pytest.raises(errors.ArgumentError, match="oracle"):
        connect().sql("SELECT 1", dialect="oracle")


def test_register_takes_connections_only():
    with pytest.raises(TypeError, match="duckdb"):
        aiquery.register(object())


def test_a_model_parameter_of_null_is_the_default(connect, endpoint):
    con = connect(m=endpoint.endpoint())
    con.sql("SELECT ai_query('m', 'q', modelParameters => {'max_tokens': NULL})")
    assert "max_tokens" not in endpoint.requests[0].body


def test_a_list_as_the_request_is_rejected(connect, endpoint):
    con = connect(m=endpoint.endpoint())
    message = "request must be a STRING or a STRUCT"
    with pytest.raises(errors.ArgumentError, match=message):
        con.sql("SELECT ai_query('m', ['a', 'b'])")
    assert endpoint.calls == 0
