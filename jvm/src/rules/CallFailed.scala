package org.apache.spark.sql.aiquery

/** The error of a call inside TRY. NullOnError catches it, so that no user reads the text. */
class CallFailed(message: String) extends RuntimeException(message)
