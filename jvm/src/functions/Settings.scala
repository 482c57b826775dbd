package org.apache.spark.sql.aiquery

import org.apache.spark.{SparkConf, SparkEnv}
import org.apache.spark.sql.SparkSession

/**
 * The settings of a session that decide how calls are bound and run.
 *
 * @param python the Python command of the workers
 * @param driverPython the Python command of the driver sidecar
 * @param config the configuration: a path, JSON, or empty for the default locations
 * @param isOfSession whether a session set the configuration, and not who started the driver
 * @param bindAddress the address at which the coordinator listens
 * @param driverHost the host name under which workers reach the coordinator
 * @param coordinatorPort the port of the coordinator, "0" for a free one, None for no coordinator
 * @param isLocked whether the configuration is the same for all sessions
 */
case class Settings(
    python: String,
    driverPython: String,
    config: String,
    isOfSession: Boolean,
    bindAddress: String,
    driverHost: String,
    coordinatorPort: Option[String],
    isLocked: Boolean)

object Settings {
  private val pythonName = "spark.aiquery.python"
  private val coordinatorName = "spark.aiquery.coordinator"
  private val portName = "spark.aiquery.coordinator.port"
  private val lockName = "spark.aiquery.lockConfiguration"
  private val configName = "spark.aiquery.config"

  /** Settings that only the driver's own configuration decides: they name programs, ports and what sessions may do. */
  private val driverOnly = Seq(pythonName, coordinatorName, portName, lockName)

  /** The Python of a driver that installed the extension into a running session. */
  @volatile private var installedPython: Option[String] = None

  def setInstalledPython(python: String): Unit = installedPython = Option(python)

  /** Reads the driver's configuration and the active session. */
  def current: Settings = {
    val driver = SparkEnv.get.conf
    for (name <- driverOnly) checkUnchanged(name, driver)
    val python = driver
      .getOption(pythonName)
      .orElse(installedPython)
      .orElse(driver.getOption("spark.pyspark.python"))
      .orElse(sys.env.get("PYSPARK_PYTHON"))
      .getOrElse("python3")
    val driverHost = driver.get("spark.driver.host", "localhost")
    val isLocked = driver.getBoolean(lockName, defaultValue = false)
    if (isLocked) checkUnchanged(configName, driver)
    val config = findSetting(configName)
    Settings(
      python = python,
      driverPython = driver.getOption("spark.pyspark.driver.python").getOrElse(python),
      config = config.getOrElse(""),
      isOfSession = config.isDefined && config != driver.getOption(configName),
      bindAddress = driver.get("spark.driver.bindAddress", driverHost),
      driverHost = driverHost,
      coordinatorPort = findCoordinatorPort(driver),
      isLocked = isLocked)
  }

  private def findCoordinatorPort(driver: SparkConf): Option[String] =
    if (driver.getOption(coordinatorName).contains("off")) None
    else Some(driver.get(portName, "0"))

  private def checkUnchanged(name: String, driver: SparkConf): Unit = {
    val own = findSetting(name)
    if (own.isDefined && own != driver.getOption(name)) {
      throw new CallError(
        s"$name cannot be set in a session, because it decides about the whole application; set it where the driver "
          + s"is started, and RESET $name here.")
    }
  }

  private def findSetting(name: String): Option[String] =
    SparkSession.getActiveSession.flatMap(_.conf.getOption(name))
}
