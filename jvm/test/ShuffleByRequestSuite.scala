package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.plans.logical.{RepartitionByExpression, Sort}

class ShuffleByRequestSuite extends PlanSuite {
  private def shuffle(sql: String) = withSetting(ShuffleByRequest.setting, "true")(optimize(sql))

  test("rows are not shuffled by default") {
    assert(!contains(optimize("SELECT ask(s) FROM t"), "RepartitionByExpression"))
  }

  test("the setting shuffles and sorts rows by their request") {
    val node = findNode(shuffle("SELECT id, ask(s) FROM t"))
    node.child match {
      case Sort(order, false, RepartitionByExpression(keys, _, _, _), _) =>
        assertEquals(keys.map(readNames), Seq(Set("s")))
        assertEquals(order.map(readNames), Seq(Set("s")))
      case other => fail(s"the rows are not shuffled:\n$other")
    }
  }

  test("a condition is not a part of the request") {
    val plan = shuffle("SELECT CASE WHEN id < 5 THEN ask(s) END FROM t")
    val keys = plan.collect { case repartition: RepartitionByExpression => repartition.partitionExpressions }
    assertEquals(keys.flatten.map(readNames), Seq(Set("s")))
  }

  test("rows with an order are not shuffled") {
    val plan = shuffle("SELECT ask(s) FROM (SELECT * FROM t ORDER BY id LIMIT 10)")
    assert(!contains(plan, "RepartitionByExpression"))
  }

  test("a call of constants is not shuffled") {
    assert(!contains(shuffle("SELECT id, ask('same') FROM t"), "RepartitionByExpression"))
  }
}
