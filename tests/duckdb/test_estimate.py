"""An estimate counts the requests of a statement, its tokens, cost and time, and sends nothing."""

import deltalake
import pyarrow as pa
import pytest

import aiquery
from aiquery.errors import ArgumentError

PRICE = {"input": 2.0, "output": 10.0}


@pytest.fixture
def endpoint_and_connect(serve, tmp_path):
    """Return a server, and a function that connects to it with settings of the endpoint."""
    server = serve()
    store = {"store": str(tmp_path / "answers.sqlite")}

    def start(**settings):
        endpoints = {"m": server.endpoint(**settings)}
        return aiquery.connect(config={"endpoints": endpoints, "cache": store})

    return server, start


def test_a_hundred_thousand_rows_are_counted_and_nothing_is_sent(endpoint_and_connect):
    server, start = endpoint_and_connect
    with start(price=PRICE, max_tokens=50, requests_per_minute=6000) as con:
        con.execute("CREATE TABLE t AS SELECT 'a longer text about ' || (i % 30000) AS s FROM range(100000) r(i)")
        estimate = con.estimate("SELECT ai_query('m', s) FROM t")
        assert (estimate.requests, estimate.requests_to_send) == (30_000, 30_000)
        assert (estimate.exact, server.calls) == (True, 0)
        (figures,) = estimate.endpoints
        assert (figures.cache_hits, figures.seconds) == (0, 300.0)
        assert figures.max_output_tokens == 30_000 * 50
        min_cost = 2e-6 * figures.tokens_in
        max_cost = min_cost + 10e-6 * figures.max_output_tokens
        assert figures.cost_usd == pytest.approx((min_cost, max_cost))
        assert estimate.cost_usd == figures.cost_usd[1]
        assert figures.tokens_source == "4 characters per token"
        assert "30,000 distinct requests, 0 cached, 30,000 to send" in str(estimate)


def test_cached_answers_cost_nothing_in_another_client_of_the_store(endpoint_and_connect):
    server, start = endpoint_and_connect
    statement = "SELECT ai_query('m', 'text ' || i) FROM range({}) r(i)"
    with start() as con:
        con.sql(statement.format(30))
    with start() as con:
        (figures,) = con.estimate(statement.format(100)).endpoints
        assert (figures.requests, figures.cache_hits) == (100, 30)
        assert figures.requests_to_send == 70
        con.sql(statement.format(100))
        assert con.estimate(statement.format(100)).requests_to_send == 0
    assert server.calls == 100


def test_tokens_are_expected_as_in_the_last_run_of_the_function(endpoint_and_connect):
    server, start = endpoint_and_connect
    statement = "SELECT ai_query('m', 'A ticket that is about as long as any other, number ' || i) FROM range({}) r(i)"
    with start(price=PRICE, max_tokens=500) as con:
        (figures,) = con.estimate(statement.format(200)).endpoints
        assert figures.tokens_source == "4 characters per token"
        assert figures.expected_output_tokens is None
        con.sql(statement.format(200))
        (figures,) = con.estimate(statement.format(1200)).endpoints
        assert figures.tokens_source == "as in earlier runs"
        assert figures.seconds > 0
        before = dict(server.usage)
        con.sql(statement.format(1200))
        tokens_in = server.usage["prompt_tokens"] - before["prompt_tokens"]
        tokens_out = server.usage["completion_tokens"] - before["completion_tokens"]
        expected_out = figures.expected_output_tokens
        assert abs(figures.tokens_in - tokens_in) <= 0.02 * tokens_in
        assert abs(expected_out - tokens_out) <= 0.02 * tokens_out
        assert f"about {expected_out:,} (at most 500,000) out" in str(figures)


def test_two_endpoints_without_a_price_or_a_maximum_of_tokens(serve):
    servers = [serve(), serve()]
    endpoints = {"a": servers[0].endpoint(), "b": servers[1].endpoint(price=PRICE)}
    with aiquery.connect(config={"endpoints": endpoints}) as con:
        estimate = con.estimate("SELECT ai_query('a', 'x'), ai_query('b', 'y' || i) FROM range(3) r(i)")
    first, second = sorted(estimate.endpoints, key=lambda figures: figures.endpoint)
    assert (first.requests, first.cost_usd, first.max_output_tokens) == (1, None, None)
    assert (second.requests, second.cost_usd[1], estimate.cost_usd) == (3, None, None)
    assert "no price is known" in str(first)


def test_the_estimate_of_a_statement_that_writes_only_counts(endpoint_and_connect, tmp_path):
    server, start = endpoint_and_connect
    path = tmp_path / "delta"
    texts = [f"text {i % 4}" for i in range(10)]
    deltalake.write_deltalake(path, pa.table({"id": range(10), "s": texts}))
    create = "CREATE TABLE made AS SELECT ai_query('m', s) AS a FROM t"
    update = "UPDATE t SET a = ai_query('m', s) WHERE id < 5"
    update_delta = f"UPDATE delta.`{path}` SET s = ai_query('m', s)"
    with start() as con:
        con.execute("CREATE TABLE t AS SELECT i AS id, 'text ' || i AS s, NULL::VARCHAR AS a FROM range(9) r(i)")
        assert con.estimate(create).requests == 9
        assert con.estimate(update).requests == 5
        assert con.estimate(update_delta, "databricks").requests == 4
        assert con.execute("SELECT count(a) FROM t").fetchall() == [(0,)]
        tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal")
        assert tables.fetchall() == [("t",)]
    assert server.calls == 0


def test_requests_that_depend_on_an_answer_make_the_estimate_a_lower_bound(endpoint_and_connect):
    server, start = endpoint_and_connect
    with start() as con:
        con.execute("CREATE TABLE t AS SELECT i AS id, 'text ' || i AS s FROM range(50) r(i)")
        statement = "SELECT ai_query('m', 'again ' || s) FROM t WHERE ai_query('m', s) LIKE '%7'"
        estimate = con.estimate(statement)
        con.sql(statement)
        assert (estimate.requests, estimate.exact, server.calls) == (50, False, 55)
        assert "A lower bound" in str(estimate)
        unknown = con.estimate("SELECT id FROM t WHERE ai_query('m', s) = 'x' LIMIT 3")
        assert (unknown.requests, unknown.exact, unknown.worst_case.requests) == (3, False, 50)
        con.execute("CREATE TEMP VIEW v AS SELECT id, ai_query('m', s) AS a FROM t")
        viewed = con.estimate("SELECT * FROM v")
        assert (viewed.requests, viewed.exact) == (50, True)
        plain = con.estimate("SELECT 1")
        assert (plain.requests, plain.exact, plain.cost_usd) == (0, True, 0)


def test_explain_shows_the_estimate(endpoint_and_connect):
    server, start = endpoint_and_connect
    with start() as con:
        rows = con.sql("EXPLAIN SELECT ai_query('m', 'text ' || i) FROM range(5) r(i)").fetchall()
        assert "5 distinct requests" in dict(rows)["ai_estimate"]
        assert con.sql("EXPLAIN SELECT 1").fetchall()[-1][0] != "ai_estimate"
        translated = con.sql("EXPLAIN SELECT ai_query('m', 'text') AS `a`", "databricks").fetchall()
        assert "1 distinct requests" in dict(translated)["ai_estimate"]
    assert server.calls == 0


def test_several_statements_and_an_unknown_dialect_are_rejected(endpoint_and_connect):
    _, start = endpoint_and_connect
    with start() as con:
        with pytest.raises(ArgumentError, match="one statement, not 2"):
            con.estimate("SELECT 1; SELECT 2")
        with pytest.raises(ArgumentError, match="use 'duckdb' or 'databricks'"):
            con.estimate("SELECT 1", "oracle")


@pytest.mark.local_model
def test_tokens_are_within_two_percent_with_the_models_own_tokenizer():
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        con.execute(
            "CREATE TABLE t AS SELECT 'Ticket ' || i || ': ' || repeat('the invoice is wrong again, ', 1 + i % 5) AS s "
            "FROM range(40) r(i)"
        )
        statement = "SELECT ai_query('local:smollm2-135m-instruct', s, modelParameters => {'max_tokens': 1}) FROM t"
        (figures,) = con.estimate(statement).endpoints
        con.sql(statement)
        (totals,) = con.ledger.totals.values()
    assert figures.tokens_source == "the model's tokenizer"
    assert abs(figures.tokens_in - totals.tokens_in) <= 0.02 * totals.tokens_in
