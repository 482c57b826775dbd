package org.apache.spark.sql.aiquery

import org.apache.spark.SparkEnv
import org.apache.spark.sql.SparkSession

/**
 * The settings of a session that decide how calls are bound and run.
 *
 * @param python the Python command of the workers
 * @param driverPython the Python command of the driver sidecar
 * @param config the configuration: a path, JSON, or empty for the default locations
 * @param bindAddress the address at which the coordinator listens
 * @param driverHost the host name under which workers reach the coordinator
 * @param coordinatorPort the port of the coordinator, "0" for a free one, None for no coordinator
 */
case class Settings(
    python: String,
    driverPython: String,
    config: String,
    bindAddress: String,
    driverHost: String,
    coordinatorPort: Option[String])

object Settings {
  /** Reads the active session. SQLConf.get would return the settings of a permanent view inside that view. */
  def current: Settings = {
    val python = findSetting("spark.aiquery.python")
      .orElse(findSetting("spark.pyspark.python"))
      .orElse(sys.env.get("PYSPARK_PYTHON"))
      .getOrElse("python3")
    val driver = SparkEnv.get.conf
    val driverHost = driver.get("spark.driver.host", "localhost")
    Settings(
      python = python,
      driverPython = findSetting("spark.pyspark.driver.python").getOrElse(python),
      config = findSetting("spark.aiquery.config").getOrElse(""),
      bindAddress = driver.get("spark.driver.bindAddress", driverHost),
      driverHost = driverHost,
      coordinatorPort = findCoordinatorPort())
  }

  private def findCoordinatorPort(): Option[String] =
    if (findSetting("spark.aiquery.coordinator").contains("off")) None
    else Some(findSetting("spark.aiquery.coordinator.port").getOrElse("0"))

  private def findSetting(name: String): Option[String] =
    SparkSession.getActiveSession.flatMap(_.conf.getOption(name))
}
