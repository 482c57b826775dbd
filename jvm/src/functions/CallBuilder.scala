package org.apache.spark.sql.aiquery

import java.util.UUID

import org.apache.spark.sql.catalyst.expressions.{Expression, PythonUDF}
import org.apache.spark.sql.types.YearMonthIntervalType

/** Builds the PythonUDF of a call in SQL. The driver sidecar checks the constants and returns the type. */
object CallBuilder {
  def build(signature: FunctionSignature, parsed: Seq[Expression]): Expression = {
    val places = Arguments.place(signature, parsed)
    val constants = Arguments.evaluateConstants(signature, places)
    val columns = readColumns(signature, places)
    val settings = Settings.current
    val sidecar = Sidecar.of(settings)
    val bound = sidecar.bind(signature.name, constants, settings)
    val transport = Versions.transportType(bound.returns)
    val spec = CallSpec(
      function = signature.name,
      constants = Json.write(constants),
      config = bound.config,
      columns = columns.map(_._1),
      inArray = transport != bound.returns)
    val environment = sidecar.workerEnvironment(settings.driverHost)
    val planId = UUID.randomUUID.toString
    val function = CallFunction(Seq(spec), environment, settings.python, sidecar.pythonVersion)(planId)
    val arguments = columns.map(_._2)
    val call = PythonUDF(
      signature.name, function, transport, arguments, Versions.evalType, udfDeterministic = true)
    Versions.unwrap(call, bound.returns)
  }

  private def readColumns(signature: FunctionSignature, places: Map[String, Expression]): Seq[(String, Expression)] =
    for {
      parameter <- signature.parameters if !parameter.isConstant
      value <- places.get(parameter.name)
    } yield parameter.name -> prepareColumn(parameter, value)

  private def prepareColumn(parameter: Parameter, argument: Expression): Expression = {
    val value = Arguments.removeAliases(argument)
    if (parameter.isGroup) {
      // The worker converts the values of a group to texts and sorts them, so that equal groups are equal requests.
      Versions.collectList(Versions.prepareInput(value))
    } else if (value.dataType.existsRecursively(_.isInstanceOf[YearMonthIntervalType])) {
      throw new CallError(
        s"${parameter.name} is an INTERVAL of years and months, which Arrow cannot carry; cast it to STRING.")
    } else Versions.prepareInput(value)
  }
}
