"""With ``[runs] texts = false`` no text of a row, a statement or a model is in the run store, the log or the page."""

import json
import logging

import pytest

import aiquery
from aiquery.config.settings import Config
from aiquery.errors import AIQueryError
from aiquery.reporting.html.page import render_page
from aiquery.sql.redact import redact_sql
from aiquery.testing import Answer
from aiquery.tracking.redaction import cut_at_quote, redact_detail
from aiquery.tracking.store import RunStore

CONFIG = Config({"endpoints": {"m": {"provider": "fake"}}})
STATEMENTS = [
    ("databricks", 'SELECT ai_query("m", "Ann Smith is HIV positive")'),
    ("databricks", r"SELECT ai_query('m', 'don\'t tell Ann Smith she can\'t know')"),
    ("databricks", r"SELECT ai_query('m', 'a\\'), 'Ann Smith'"),
    ("databricks", 'SELECT ai_query("m", "it\'s Ann Smith")'),
    ("databricks", r"SELECT ai_query('m', r'Ann Smith\')"),
    ("duckdb", "SELECT ai_query('m', 'it''s Ann Smith')"),
    ("duckdb", "SELECT ai_query('m', $$Ann Smith$$), $a$Ann Smith$a$"),
    ("duckdb", r"SELECT ai_query('m', E'\'Ann Smith')"),
    ("duckdb", "SELECT ai_query('m', 'local: Ann Smith is HIV positive')"),
    ("duckdb", "SELECT ai_query('m', 'openai:Ann_Smith')"),
    ("duckdb", "SELECT ai_query('local:Ann Smith', 'x')"),
    ("duckdb", "SELECT concat('m', 'local:Ann_Smith'), 'openai:Ann_Smith'"),
    ("duckdb", "SELECT ai_query('m', s) -- for Ann Smith\n/* Ann_Smith */ FROM t WHERE name = 'Ann Smith'"),
]


@pytest.mark.parametrize(("dialect", "text"), STATEMENTS)
def test_a_stored_statement_has_no_literal(dialect, text):
    stored = redact_sql(text, CONFIG, dialect)
    assert stored is None or ("Ann" not in stored and "Smith" not in stored)


@pytest.mark.parametrize("dialect", ["duckdb", "databricks"])
@pytest.mark.parametrize(
    "text",
    [
        "SELECT ai_query('m', '…') AS a",
        "SELECT ai_query('openai:gpt-5-mini', s)",
        "SELECT AI_QUERY('local:org/repo:Q8_0', s)",
        "SELECT ai_gen(s, endpoint => 'm')",
    ],
)
def test_names_of_endpoints_and_columns_stay(dialect, text):
    assert redact_sql(text, CONFIG, dialect) == text


def test_a_name_in_double_quotes_stays_in_duckdbs_dialect():
    text = 'SELECT ai_query(\'m\', "my column") FROM "my table"'
    assert redact_sql(text, CONFIG, "duckdb") == text


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("the reply is not JSON (byte 3): 'Ann'", "the reply is not JSON …"),
        ("endpoint 'm': the reply is none of 'a', 'b': 'Ann'", "endpoint 'm': the reply is none of …"),
        ('the reply violates the schema ("Ann" is not ..)', "the reply violates the schema …"),
        ("the reply has no choices", "the reply has no choices"),
    ],
)
def test_the_example_of_an_error_ends_before_a_reply(message, shown):
    assert cut_at_quote(message) == shown


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("HTTP 400: who is Ann?", "HTTP 400: … is …"),
        ("HTTP 400: 'ill' is not a value of ANN", "HTTP 400: … is not a value of …"),
        ("HTTP 400: 患者王小明有病 is invalid", "HTTP 400: … is invalid"),
        ("HTTP 400: invalid label\\nQuetzal, Li", "HTTP 400: invalid …"),
        ("HTTP 429: rate limit reached", "HTTP 429: rate limit reached"),
    ],
)
def test_the_example_of_an_error_has_only_common_words_of_a_server(message, shown):
    assert redact_detail(message) == shown


# --- everything that is stored

PRIVATE = ("Zanzibar", "Quetzal", "Wolpertinger")
"""A word of the statement, a word of a row, a word of the model."""


def replies():
    yield lambda q: Answer(status=400, text=f"cannot read {q.prompt}")
    yield lambda _: Answer(status=400, text="odd word: QUETZAL")
    yield lambda q: Answer(status=503, text=f"no, {q.prompt}")
    yield lambda _: Answer(text="Wolpertinger")
    yield lambda _: Answer(text='{"a": "Wolpertinger"}')
    yield lambda _: Answer(text='{"Wolpertinger": 1}')
    yield lambda _: Answer(text="Wolpertinger", finish_reason="length")
    yield lambda _: Answer(body=b"Wolpertinger")
    yield lambda _: Answer(body=json.dumps({"error": {"message": "Wolpertinger"}}).encode())
    refusal = {"choices": [{"message": {"refusal": "Wolpertinger"}}]}
    yield lambda _: Answer(body=json.dumps(refusal).encode())


TYPES = ("STRING", "STRUCT<a: INT>", "MAP<STRING, INT>")


@pytest.mark.parametrize("reply", list(replies()))
def test_nothing_private_is_stored_or_logged(serve, tmp_path, caplog, reply):
    caplog.set_level(logging.INFO, "aiquery")
    server = serve(reply)
    path = tmp_path / "runs.sqlite"
    config = {
        "endpoints": {"m": server.endpoint(max_attempts=1, timeout={"outage_s": 0.5})},
        "cache": {"store": "memory:"},
        "runs": {"store": str(path)},
    }
    row = "(SELECT 'Tell me of Zanzibar: ' || s AS s FROM (VALUES ('a Quetzal'), ('Quetzal 2')) t(s))"
    with aiquery.connect(config=config) as con:
        for ddl in TYPES:
            call = f"ai_query('m', s, returnType => '{ddl}', failOnError => false)"
            con.sql(f"SELECT {call} FROM {row} -- Zanzibar")
            run_failing(con, f"SELECT ai_query('m', s, returnType => '{ddl}') FROM {row}")
        run_failing(con, "SELECT ai_query('m', 'Tell me of Zanzibar')")
        run_failing(con, "SELECT ai_gen('Tell me of Zanzibar', endpoint => 'm')")
        run_failing(con, f"SELECT ai_classify(s, ['Zanzibar', 'other'], endpoint => 'm') FROM {row}")
    store = RunStore(str(path), keep_days=1, max_bytes=2**40)
    seen = [path.read_bytes().decode("latin-1"), caplog.text]
    seen += [render_page(run, store.attempts(run.progress.run)) for run in store.runs()]
    store.close()
    assert len(seen) > len(TYPES)
    folded = "\n".join(seen).casefold()
    assert [word for word in PRIVATE if word.casefold() in folded] == []


def run_failing(con, sql):
    try:
        con.sql(sql)
    except AIQueryError:
        return
