package org.apache.spark.sql.aiquery

import org.junit.runner.{Description, JUnitCore}
import org.junit.runner.notification.{Failure, RunListener}

/** Runs the suites whose class names are the arguments, and exits with 1 if a test fails or none runs. */
object RunTests {
  def main(arguments: Array[String]): Unit = {
    val runner = new JUnitCore()
    runner.addListener(PrintProgress)
    val suites = arguments.map(name => Class.forName(name))
    val result = runner.run(suites: _*)
    val failed = result.getFailureCount
    val passed = result.getRunCount - failed
    println(s"$passed passed, $failed failed")
    val isSuccess = failed == 0 && passed > 0
    // Spark's threads and the sidecar end with the process.
    System.exit(if (isSuccess) 0 else 1)
  }

  private object PrintProgress extends RunListener {
    private var failures = Set.empty[Description]

    override def testFailure(failure: Failure): Unit = {
      failures += failure.getDescription
      println(s"FAILED ${getLabel(failure.getDescription)}")
      println(failure.getTrimmedTrace)
    }

    override def testFinished(test: Description): Unit =
      if (!failures.contains(test)) println(s"ok     ${getLabel(test)}")

    private def getLabel(test: Description): String =
      s"${test.getTestClass.getSimpleName}: ${test.getMethodName}"
  }
}
