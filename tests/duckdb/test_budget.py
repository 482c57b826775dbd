"""Budgets hold exactly at high concurrency; a second run continues with the answers in the cache."""

import pytest

import aiquery
from aiquery.errors import BudgetReached, ConfigError

PRICE = {"input": 1.0, "output": 2.0}


@pytest.fixture
def spend(serve):
    """Return a function that prepares a query of 3,000 rows within a budget, and the server."""
    server = serve(latency=0.005)
    opened = []

    def prepare(arguments="", **budget):
        settings = server.endpoint(max_concurrency=256, max_tokens=40, price=PRICE, hedge=False)
        con = aiquery.connect(config={"endpoints": {"m": settings}}, budget=budget)
        opened.append(con)
        con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(3000) r(i)")
        sql = f"SELECT s, ai_query('m', s{arguments}) AS a FROM t"
        return con, lambda: con.sql(sql).fetchall()

    yield prepare, server
    for con in opened:
        con.close()


@pytest.mark.parametrize(("name", "limit"), [("max_requests", 700), ("max_tokens", 9000), ("max_cost_usd", 0.012)])
def test_the_budget_holds_and_a_second_run_continues(spend, name, limit):
    prepare, server = spend
    con, query = prepare(**{name: limit})
    with pytest.raises(BudgetReached, match=name) as error:
        query()
    totals = con.ledger.totals["m"]
    spent = {
        "max_requests": totals.attempts,
        "max_tokens": totals.tokens_in + totals.tokens_out,
        "max_cost_usd": totals.cost_usd,
    }
    assert 0.9 * limit <= spent[name] <= limit
    assert server.calls == totals.attempts
    left = 3000 - totals.attempts
    assert f"at least {left:,} distinct" in str(error.value)
    con.close()
    _, query = prepare()
    assert len(query()) == 3000
    assert server.calls == 3000


def test_on_budget_null_finishes_with_nulls(spend):
    prepare, server = spend
    con, query = prepare(", on_budget => 'null'", max_requests=500)
    rows = query()
    assert len(rows) == 3000
    assert sum(answer is not None for _, answer in rows) == 500
    assert server.calls == con.ledger.totals["m"].attempts == 500


def test_on_budget_null_with_errors_as_values(spend):
    prepare, _ = spend
    arguments = ", failOnError => false, on_budget => 'null'"
    _, query = prepare(arguments, max_requests=10)
    kinds = {(row["result"] is None, row["errorMessage"] is None) for _, row in query()}
    assert kinds == {(False, True), (True, True)}


def test_a_cost_budget_needs_a_price_and_a_maximum_of_tokens(serve):
    server = serve()
    for settings, budget, fix in (
        (server.endpoint(price=PRICE), {"max_cost_usd": 1}, "max_tokens"),
        (server.endpoint(max_tokens=10), {"max_cost_usd": 1}, "price"),
        (server.endpoint(), {"max_cost": 1}, "max_cost_usd"),
    ):
        config = {"endpoints": {"m": settings}}
        with pytest.raises(ConfigError, match=fix), aiquery.connect(config=config, budget=budget) as con:
            con.sql("SELECT ai_query('m', 'x')")
    assert server.calls == 0


def test_a_budget_of_seconds_ends_the_statement(spend):
    prepare, server = spend
    server.latency = 0.5
    _, query = prepare(max_seconds=0.8)
    with pytest.raises(BudgetReached, match="max_seconds"):
        query()
    assert 256 <= server.calls < 3000
