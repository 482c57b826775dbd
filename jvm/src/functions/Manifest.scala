package org.apache.spark.sql.aiquery

import scala.jdk.CollectionConverters._

/** The AI functions of this jar. The build writes `manifest.json` from the Python functions. */
object Manifest {
  private val file = "/org/apache/spark/sql/aiquery/manifest.json"

  lazy val functions: Seq[FunctionSignature] = {
    val stream = getClass.getResourceAsStream(file)
    try {
      val nodes = Json.read(stream).elements.asScala
      nodes.map(FunctionSignature.read).toSeq
    } finally stream.close()
  }
}
