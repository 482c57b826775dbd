package org.apache.spark.sql.aiquery

import java.io.{BufferedReader, BufferedWriter, InputStreamReader, OutputStreamWriter}
import java.nio.charset.StandardCharsets.UTF_8
import java.util.LinkedHashMap
import java.util.concurrent.ConcurrentHashMap

import scala.jdk.CollectionConverters._

import com.fasterxml.jackson.databind.JsonNode

import org.apache.spark.SparkEnv
import org.apache.spark.sql.SparkSession
import org.apache.spark.sql.types.DataType

/**
 * What of the session decides how calls are bound and run: the workers' Python, the driver's, the configuration, and
 * where the coordinator listens and is found; `port` is None where there is to be none.
 */
case class Settings(python: String, driverPython: String, config: String, listen: String, host: String, port: Option[String]) {
  def pythonVersion: String = Binder.of(this).version

  /** Of the Python workers: where the coordinator is. It is not part of what Spark shows of a plan. */
  def environment: Map[String, String] =
    Binder.of(this).coordinator.map { case (token, port) => "AIQUERY_COORDINATOR" -> s"$token@$host:$port" }.toMap
}

object Settings {
  /** The active session's, not SQLConf.get: inside a permanent view that is the view's own. */
  def current: Settings = {
    val conf = SparkSession.getActiveSession.map(_.conf)
    def setting(name: String): Option[String] = conf.flatMap(_.getOption(name))
    val python = setting("spark.aiquery.python").orElse(setting("spark.pyspark.python"))
      .orElse(sys.env.get("PYSPARK_PYTHON")).getOrElse("python3")
    val driver = SparkEnv.get.conf
    val host = driver.get("spark.driver.host", "localhost")
    val listen = driver.get("spark.driver.bindAddress", host)
    val off = setting("spark.aiquery.coordinator").contains("off")
    Settings(python, setting("spark.pyspark.driver.python").getOrElse(python),
      setting("spark.aiquery.config").getOrElse(""), listen, host,
      if (off) None else Some(setting("spark.aiquery.coordinator.port").getOrElse("0")))
  }
}

/** A bound call: its type, and the configuration as it travels with the plan. */
case class Bound(returns: DataType, config: String)

/**
 * A Python process beside the driver that checks the constants of calls and says their types: the same code that binds
 * them everywhere else, so that no function is described twice. It lives as long as the application, or as the driver's
 * JVM if that has no further one; a call takes about 1 ms.
 */
class Binder(python: String, listen: String, port: Option[String], application: String) {
  private val command = Seq(python, "-m", "aiquery.engines.spark.driver.sidecar", "--host", listen,
    "--application", application) ++ port.toSeq.flatMap(Seq("--port", _))
  private val process = new ProcessBuilder(command: _*).redirectError(ProcessBuilder.Redirect.INHERIT).start()
  private val out = new BufferedWriter(new OutputStreamWriter(process.getOutputStream, UTF_8))
  private val in = new BufferedReader(new InputStreamReader(process.getInputStream, UTF_8))

  private val hello = Json.read(Option(in.readLine()).getOrElse(throw new CallError(
    s"the Python '$python' cannot import aiquery; install it there, or set spark.pyspark.python (on the driver: spark.pyspark.driver.python) to one that has it.")))
  if (hello.has("error")) throw new CallError(hello.get("error").asText)

  /** Of the Python that runs the workers too, as Spark's own check wants it. */
  val version: String = hello.get("python").asText

  /** Token and port. */
  val coordinator: Option[(String, Int)] =
    if (hello.has("port")) Some(hello.get("token").asText -> hello.get("port").asInt) else None

  def ask(kind: String, fields: (String, AnyRef)*): JsonNode = {
    val question = new LinkedHashMap[String, AnyRef]()
    for ((name, value) <- ("type" -> kind) +: fields) question.put(name, value)
    val answer = Json.read(said(Json.write(question)))
    if (answer.has("error")) throw new CallError(answer.get("error").asText)
    answer
  }

  private def said(line: String): String = synchronized {
    out.write(line)
    out.newLine()
    out.flush()
    Option(in.readLine()).getOrElse(throw new CallError("the Python process that binds AI functions has ended; see its error output."))
  }

  def serves(current: String): Boolean = process.isAlive && application == current

  def isAlive: Boolean = process.isAlive

  /** It ends when nobody can ask any more. */
  def close(): Unit = out.close()
}

object Binder {
  private val binders = new ConcurrentHashMap[Seq[String], Binder]()

  def of(settings: Settings): Binder = {
    val application = SparkEnv.get.conf.getAppId
    Executions.watched
    binders.compute(Seq(settings.driverPython, settings.listen) ++ settings.port, (_, known) =>
      if (known != null && known.serves(application)) known
      else {
        if (known != null) known.close()
        new Binder(settings.driverPython, settings.listen, settings.port, application)
      })
  }

  def all: Iterable[Binder] = binders.values.asScala

  def bind(settings: Settings, function: String, constants: LinkedHashMap[String, AnyRef]): Bound = {
    val answer = of(settings).ask("bind", "function" -> function, "constants" -> constants, "config" -> settings.config)
    Bound(DataType.fromJson(answer.get("returns").toString), answer.get("config").asText)
  }

  /** The type of a table's rows, and each of them as JSON. */
  def read(settings: Settings, table: String, argument: String): (DataType, Seq[String]) = {
    val answer = of(settings).ask("read", "table" -> table, "argument" -> argument, "config" -> settings.config)
    (DataType.fromJson(answer.get("returns").toString), answer.get("rows").elements.asScala.map(_.asText).toSeq)
  }
}
