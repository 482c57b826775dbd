"""The estimate of a DataFrame counts the requests of its action, and sends none."""

import pytest

from aiquery.errors import ArgumentError
from aiquery.spark import estimate

pytestmark = pytest.mark.spark

EXACT = {
    "SELECT ai_query('m', s) FROM t": 50,
    "SELECT ai_query('m', s), ai_query('m', 'and ' || s) FROM t": 100,
    "SELECT ai_query('m', s) a FROM t WHERE id < 20 ORDER BY a LIMIT 3": 20,
    "SELECT id, ai_query('m', s) FROM t ORDER BY id LIMIT 10": 10,
    "SELECT ai_query('m', s) a FROM t WHERE ai_query('m', s) LIKE '%7%'": 50,
    "SELECT CASE WHEN id < 10 THEN ai_query('m', s) END FROM t": 10,
    "SELECT s, count(*) FROM t WHERE ai_filter(s, 'is it good?') GROUP BY s": 50,
    "SELECT ai_query('m', max(s)) FROM t GROUP BY id % 5": 5,
    "SELECT * FROM t WHERE id < (SELECT max(length(ai_query('m', s))) FROM t)": 50,
    "SELECT s FROM t": 0,
}
AT_LEAST = {
    "SELECT ai_query('m', ai_query('m', s)) FROM t": 50,
    "SELECT ai_query('m', 'again ' || s) FROM t WHERE ai_query('m', s) LIKE '%7%'": 50,
    "SELECT id FROM t WHERE ai_query('m', s) LIKE '%7' LIMIT 1": 0,
    "SELECT ai_query('m', s || id), ai_query('m', 'and ' || id) FROM t LIMIT 10": 20,
    "SELECT ai_query('m', 'then ' || s) FROM t WHERE id < (SELECT max(length(ai_query('m', s))) FROM t)": 50,
}


@pytest.fixture
def table(spark):
    sql = spark(max_tokens=10, price={"input": 1.0, "output": 2.0})
    rows = sql.session.range(0, 1000, 1, 4).selectExpr("CAST(id AS INT) AS id", "'row ' || id % 50 AS s")
    rows.createOrReplaceTempView("t")
    # equal requests of several workers are one call
    sql.session.conf.set("spark.aiquery.shuffleByRequest", "true")
    yield sql
    sql.session.conf.unset("spark.aiquery.shuffleByRequest")


def estimate_and_run(table, statement):
    """Return the estimate, which sends no request, and the number of requests of the action."""
    frame = table.session.sql(statement)
    estimated = estimate(frame)
    assert table.server.calls == 0
    frame.write.format("noop").mode("overwrite").save()
    return estimated, len(table.server.calls_by_prompt)


@pytest.mark.parametrize("statement", EXACT)
def test_the_requests_of_an_action_are_estimated_exactly(table, statement):
    estimated, requests = estimate_and_run(table, statement)
    assert (estimated.requests, estimated.exact) == (EXACT[statement], True)
    assert requests == estimated.requests


@pytest.mark.parametrize("statement", AT_LEAST)
def test_requests_that_depend_on_an_answer_make_a_lower_bound(table, statement):
    estimated, requests = estimate_and_run(table, statement)
    assert (estimated.requests, estimated.exact) == (AT_LEAST[statement], False)
    assert "A lower bound" in str(estimated)
    assert requests >= estimated.requests


def test_cached_answers_cost_nothing(table, tmp_path):
    config = table.config(cache={"store": str(tmp_path / "answers.sqlite")})
    table.session.conf.set("spark.aiquery.config", config)
    table.collect("SELECT ai_query('m', s) FROM t WHERE id < 20")
    frame = table.session.sql("SELECT ai_query('m', s) FROM t")
    (figures,) = estimate(frame).endpoints
    tokens_in = figures.tokens_in
    assert (figures.requests, figures.cache_hits) == (50, 20)
    assert figures.max_output_tokens == 300
    assert figures.tokens_source == "as in earlier runs"
    assert figures.cost_usd == (tokens_in / 1e6, (tokens_in + 600) / 1e6)
    before = table.server.usage["prompt_tokens"]
    frame.write.format("noop").mode("overwrite").save()
    sent = table.server.usage["prompt_tokens"] - before
    assert sent == pytest.approx(tokens_in, rel=0.02)
    assert estimate(frame).requests_to_send == 0


def test_a_cached_frame_that_was_not_computed_is_rejected(table):
    cached = table.session.sql("SELECT ai_query('m', s) AS a FROM t").cache()
    try:
        with pytest.raises(Exception, match="estimate that one first"):
            estimate(cached.selectExpr("ai_query('m', a)"))
        assert table.server.calls == 0
        cached.count()
        assert estimate(cached.selectExpr("ai_query('m', 'more ' || a)")).requests == 50
    finally:
        cached.unpersist()


def test_a_connect_frame_is_rejected():
    with pytest.raises(ArgumentError, match="classic session"):
        estimate(object())
