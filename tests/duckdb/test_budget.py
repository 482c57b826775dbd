"""Budgets hold exactly at high concurrency; what was answered is kept, and a re-run goes on from there."""

import pytest

import aiquery
from aiquery.errors import BudgetReached, ConfigError

PRICE = {"input": 1.0, "output": 2.0}


@pytest.fixture
def spend(serve):
    """Return a function that asks 3,000 rows within a budget, and the server."""
    server = serve(latency=0.005)
    opened = []

    def ask(arguments="", **budget):
        settings = server.endpoint(
            max_concurrency=256, max_tokens=40, price=PRICE, hedge=False
        )
        con = aiquery.connect(config={"endpoints": {"m": settings}}, budget=budget)
        opened.append(con)
        con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(3000) r(i)")
        return con, lambda: con.sql(
            f"SELECT s, ai_query('m', s{arguments}) AS a FROM t"
        ).fetchall()

    yield ask, server
    for con in opened:
        con.close()


@pytest.mark.parametrize(
    ("name", "most"),
    [("max_requests", 700), ("max_tokens", 9000), ("max_cost_usd", 0.012)],
)
def test_the_budget_holds_and_a_rerun_goes_on(spend, name, most):
    ask, server = spend
    con, run = ask(**{name: most})
    with pytest.raises(BudgetReached, match=name) as error:
        run()
    totals = con.ledger.totals["m"]
    spent = {
        "max_requests": totals.attempts,
        "max_tokens": totals.tokens_in + totals.tokens_out,
        "max_cost_usd": totals.cost_usd,
    }
    assert 0.9 * most <= spent[name] <= most
    assert server.calls == totals.attempts
    left = 3000 - totals.attempts
    assert f"at least {left:,} distinct" in str(error.value)
    con.close()
    _, again = ask()
    assert len(again()) == 3000
    assert server.calls == 3000


def test_on_budget_null_finishes_with_nulls(spend):
    ask, server = spend
    con, run = ask(", on_budget => 'null'", max_requests=500)
    rows = run()
    assert len(rows) == 3000
    assert sum(answer is not None for _, answer in rows) == 500
    assert server.calls == con.ledger.totals["m"].attempts == 500


def test_on_budget_null_with_errors_as_values(spend):
    ask, _ = spend
    _, run = ask(", failOnError => false, on_budget => 'null'", max_requests=10)
    kinds = {(row["result"] is None, row["errorMessage"] is None) for _, row in run()}
    assert kinds == {(False, True), (True, True)}


def test_a_budget_needs_to_know_the_most_a_call_can_cost(serve):
    server = serve()
    for settings, budget, fix in (
        (server.endpoint(price=PRICE), {"max_cost_usd": 1}, "max_tokens"),
        (server.endpoint(max_tokens=10), {"max_cost_usd": 1}, "price"),
        (server.endpoint(), {"max_cost": 1}, "max_cost_usd"),
    ):
        with (
            pytest.raises(ConfigError, match=fix),
            aiquery.connect(
                config={"endpoints": {"m": settings}}, budget=budget
            ) as con,
        ):
            con.sql("SELECT ai_query('m', 'x')")
    assert server.calls == 0


def test_a_budget_of_time(spend):
    ask, server = spend
    server.latency = 0.5
    _, run = ask(max_seconds=0.8)
    with pytest.raises(BudgetReached, match="max_seconds"):
        run()
    assert 256 <= server.calls < 3000
