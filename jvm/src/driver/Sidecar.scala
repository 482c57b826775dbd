package org.apache.spark.sql.aiquery

import java.io.{BufferedReader, BufferedWriter, InputStreamReader, OutputStreamWriter}
import java.lang.ProcessBuilder.Redirect
import java.nio.charset.StandardCharsets.UTF_8
import java.util.LinkedHashMap
import java.util.concurrent.{CompletableFuture, ConcurrentHashMap, ExecutionException, TimeoutException}
import java.util.concurrent.TimeUnit.SECONDS
import java.util.concurrent.atomic.AtomicLong

import scala.jdk.CollectionConverters._

import com.fasterxml.jackson.databind.JsonNode

import org.apache.spark.SparkEnv
import org.apache.spark.sql.types.DataType

/**
 * The Python process beside the driver.
 *
 * It checks the constants of calls and returns their types with the same code as on every other engine. It also runs
 * the coordinator of the workers and reads the run history. It lives as long as the application, or as the driver's
 * JVM where no further application starts. A question takes about 1 ms.
 *
 * The protocol is lines of JSON: the process writes one line when it has started, then one line for each question. A
 * reply has the number of its question, so that a slow question of one session does not hold those of others.
 */
class Sidecar(python: String, bindAddress: String, coordinatorPort: Option[String], application: String) {
  private val process = start()
  private val output = new BufferedWriter(new OutputStreamWriter(process.getOutputStream, UTF_8))
  private val input = new BufferedReader(new InputStreamReader(process.getInputStream, UTF_8))
  private val handshake = readHandshake()
  private val numbers = new AtomicLong()
  private val waiting = new ConcurrentHashMap[Long, CompletableFuture[JsonNode]]()
  startReader()

  /** The version of the sidecar's Python. Spark compares it with the version of the workers' Python. */
  val pythonVersion: String = handshake.get("python").asText

  def hasCoordinator: Boolean = handshake.has("port")

  /** Returns the environment of Python workers. It contains a token, so no text of a plan may show it. */
  def workerEnvironment(driverHost: String): Map[String, String] =
    if (!hasCoordinator) Map.empty
    else {
      val token = handshake.get("token").asText
      val port = handshake.get("port").asInt
      Map("AIQUERY_COORDINATOR" -> s"$token@$driverHost:$port")
    }

  def isAlive: Boolean = process.isAlive

  /** Returns whether the process runs and belongs to the application. */
  def serves(current: String): Boolean = isAlive && application == current

  /** Closes the input of the process, which then ends. */
  def close(): Unit = output.close()

  def bind(function: String, constants: LinkedHashMap[String, AnyRef], settings: Settings): BoundCall = {
    val reply = query(
      "bind",
      "function" -> function,
      "constants" -> constants,
      "config" -> settings.config,
      "of_session" -> Boolean.box(settings.isOfSession))
    BoundCall(readType(reply), reply.get("config").asText)
  }

  /** Returns the type of the rows of a table of the run history, and each row as JSON. */
  def readTable(table: String, argument: String, config: String): (DataType, Seq[String]) = {
    val reply = query("read", "table" -> table, "argument" -> argument, "config" -> config)
    (readType(reply), readTexts(reply, "rows"))
  }

  /** Returns the executions that have reported tasks and have no end yet. */
  def readOpenExecutions(): Seq[String] = readTexts(query("open_executions"), "executions")

  def endExecutions(executions: Seq[String]): Unit =
    query("end_executions", "executions" -> executions.asJava)

  /** Sends a question and returns the reply. */
  private def query(question: String, fields: (String, AnyRef)*): JsonNode = {
    val number = numbers.incrementAndGet()
    val message = new LinkedHashMap[String, AnyRef]()
    message.put("type", question)
    message.put("number", java.lang.Long.valueOf(number))
    for ((name, value) <- fields) message.put(name, value)
    val reply = new CompletableFuture[JsonNode]()
    waiting.put(number, reply)
    try {
      send(Json.write(message))
      raiseError(await(reply))
    } finally waiting.remove(number)
  }

  private def send(line: String): Unit = synchronized {
    output.write(line)
    output.newLine()
    output.flush()
  }

  private def await(reply: CompletableFuture[JsonNode]): JsonNode =
    try {
      if (!isAlive) failWaiting()
      reply.get(Sidecar.timeoutS, SECONDS)
    } catch {
      case error: ExecutionException => throw error.getCause
      case _: TimeoutException =>
        throw new CallError(
          s"the driver sidecar, the Python process that checks AI functions, gave no answer in ${Sidecar.timeoutS} s; "
            + "see its error output on the driver, then run the statement again.")
    }

  private def raiseError(reply: JsonNode): JsonNode = {
    val error = Option(reply.get("error"))
    for (text <- error) throw new CallError(text.asText)
    reply
  }

  private def startReader(): Unit = {
    val reader = new Thread(() => readReplies(), "aiquery-sidecar-replies")
    reader.setDaemon(true)
    reader.start()
  }

  private def readReplies(): Unit =
    try {
      val lines = Iterator.continually(input.readLine()).takeWhile(_ != null)
      lines.map(Json.read).foreach(complete)
    } finally failWaiting()

  private def complete(reply: JsonNode): Unit = {
    val number = reply.get("number").asLong
    for (question <- Option(waiting.get(number))) question.complete(reply)
  }

  private def failWaiting(): Unit = {
    val ended = new CallError(
      "the driver sidecar, the Python process that checks AI functions, has ended; see its error output on the "
        + "driver, then run the statement again.")
    waiting.values.forEach(question => question.completeExceptionally(ended))
  }

  private def readType(reply: JsonNode): DataType = {
    val json = reply.get("returns").toString
    DataType.fromJson(json)
  }

  private def readTexts(reply: JsonNode, field: String): Seq[String] =
    reply.get(field).elements.asScala.map(_.asText).toSeq

  private def start(): Process = {
    // -P: no module comes from the working directory.
    val module = Seq(python, "-P", "-m", "aiquery.engines.spark.driver.sidecar")
    val identity = Seq("--host", bindAddress, "--application", application)
    val port = coordinatorPort.toSeq.flatMap(number => Seq("--port", number))
    val command = module ++ identity ++ port
    new ProcessBuilder(command.asJava).redirectError(Redirect.INHERIT).start()
  }

  private def readHandshake(): JsonNode = {
    val line = Option(input.readLine()).getOrElse {
      throw new CallError(
        s"the Python '$python' cannot import aiquery; install it there, or set spark.pyspark.python (on the driver: "
          + "spark.pyspark.driver.python) to one that has it.")
    }
    raiseError(Json.read(line))
  }
}

object Sidecar {
  /** The longest time that a question may take, in seconds. */
  private val timeoutS = 60L

  /** The key is the Python command, the address and the port: sessions with the same settings share a process. */
  private val sidecars = new ConcurrentHashMap[Seq[String], Sidecar]()

  /** Returns the process for the settings, and starts it if it does not run for this application. */
  def of(settings: Settings): Sidecar = {
    Executions.startPolling()
    val application = SparkEnv.get.conf.getAppId
    val key = Seq(settings.driverPython, settings.bindAddress) ++ settings.coordinatorPort
    sidecars.compute(key, (_, previous) => reuse(previous, settings, application))
  }

  def all: Seq[Sidecar] = sidecars.values.asScala.toSeq

  private def reuse(previous: Sidecar, settings: Settings, application: String): Sidecar =
    if (previous != null && previous.serves(application)) previous
    else {
      if (previous != null) previous.close()
      new Sidecar(settings.driverPython, settings.bindAddress, settings.coordinatorPort, application)
    }
}
