package org.apache.spark.sql.aiquery

class EstimateSuite extends PlanSuite {
  private def estimate(sql: String): Estimate = Estimate.of(session.sql(sql))

  test("an estimate has a column for each figure of a request") {
    val columns = estimate("SELECT ask(s) FROM t").requests.columns.toSeq
    val names = Seq("endpoint", "key", "function", "is_cached", "characters", "size", "max_output_tokens")
    assertEquals(columns, names)
  }

  test("an estimate plans calls that send no request") {
    val plan = estimate("SELECT ask(s), rate(s) FROM t").requests.queryExecution.optimizedPlan
    val calls = findNodes(plan).flatMap(findCalls)
    assertEquals(calls.map(_.function), Seq("ask", "rate"))
    assert(calls.forall(_.estimateOnly))
  }

  test("an estimate of independent calls is exact") {
    assert(estimate("SELECT ask(s), rate(s) FROM t WHERE id < 5").exact)
  }

  test("an estimate is a lower bound below a limit") {
    assert(!estimate("SELECT id FROM t WHERE ask(s) = 'x' LIMIT 3").exact)
  }

  test("an estimate is a lower bound where an answer decides about another call") {
    assert(!estimate("SELECT rate(s) FROM t WHERE ask(s) = 'x'").exact)
    assert(!estimate("SELECT rate(ask(s)) FROM t").exact)
  }
}
