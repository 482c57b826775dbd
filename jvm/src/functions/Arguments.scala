package org.apache.spark.sql.aiquery

import java.util.LinkedHashMap

import scala.util.control.NonFatal

import org.apache.spark.sql.catalyst.expressions.{Alias, Expression, NamedArgumentExpression, RuntimeReplaceable}

/** Assigns the arguments of a call to the parameters of its function, and evaluates the constant ones. */
object Arguments {
  /** Returns the argument of each parameter by the parameter's name. */
  def place(signature: FunctionSignature, arguments: Seq[Expression]): Map[String, Expression] = {
    val (positional, named) = arguments.span(!_.isInstanceOf[NamedArgumentExpression])
    if (positional.size > signature.parameters.size)
      fail(signature, s"${positional.size} arguments were given; it takes ${signature.parameterNames}.")
    val names = signature.parameters.map(_.name)
    val namedPlaces = named.map(placeNamed(signature, _))
    val places = names.zip(positional) ++ namedPlaces
    checkPlaces(signature, places.map(_._1))
    places.toMap
  }

  /** Returns the values of the constant arguments as JSON values. */
  def evaluateConstants(
      signature: FunctionSignature, places: Map[String, Expression]): LinkedHashMap[String, AnyRef] = {
    val constants = new LinkedHashMap[String, AnyRef]()
    for {
      parameter <- signature.parameters if parameter.isConstant
      value <- places.get(parameter.name)
    } constants.put(parameter.name, evaluate(signature, parameter, value))
    constants
  }

  /** Removes aliases: struct(5 AS a) has read the name already, and Spark cannot print an Alias inside of a call. */
  def removeAliases(value: Expression): Expression = value.transformUp {
    case Alias(child, _) => child
  }

  private def placeNamed(signature: FunctionSignature, argument: Expression): (String, Expression) = argument match {
    case NamedArgumentExpression(key, value) =>
      val parameter = signature.findParameter(key).getOrElse {
        fail(signature, s"argument '$key' is not known; it takes ${signature.parameterNames}.")
      }
      parameter.name -> value
    case _ => fail(signature, "a positional argument follows a named one; put positional arguments first.")
  }

  private def checkPlaces(signature: FunctionSignature, names: Seq[String]): Unit = {
    for (name <- names.diff(names.distinct).headOption)
      fail(signature, s"argument '$name' is given twice; remove one.")
    val required = signature.parameters.filter(_.required).map(_.name)
    for (name <- required.diff(names).headOption)
      fail(signature, s"argument '$name' is missing; it takes ${signature.parameterNames}.")
  }

  private def evaluate(signature: FunctionSignature, parameter: Parameter, argument: Expression): AnyRef = {
    val value = removeAliases(argument)
    if (!value.foldable) fail(signature, s"${parameter.name} must be a constant, not ${value.sql}.")
    val executable = value.transformUp { case expression: RuntimeReplaceable => expression.replacement }
    try CatalystToJson.convert(executable.eval(), value.dataType)
    catch {
      case NonFatal(error) =>
        fail(signature, s"${parameter.name} = ${value.sql} cannot be evaluated: ${error.getMessage}")
    }
  }

  private def fail(signature: FunctionSignature, problem: String): Nothing =
    throw new CallError(s"${signature.name}: $problem")
}
