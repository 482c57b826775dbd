package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.InternalRow

/**
 * The rows of a task whose limit may need only some of them, asked in waves.
 *
 * A wave starts when the consumer has read the rows of the one before and wants more. Each wave brings the rows that
 * were asked to four times their number, so that a task asks at most four times what it needs.
 *
 * @param rows the input of the task
 * @param first how many rows the first wave asks
 * @param evaluate asks some rows and returns them with their answers, in their order
 */
class WaveIterator(
    rows: Iterator[InternalRow],
    first: Int,
    evaluate: Iterator[InternalRow] => Iterator[InternalRow])
  extends Iterator[InternalRow] {
  private val growth = 4
  private var asked = 0L
  private var wave: Iterator[InternalRow] = Iterator.empty

  override def hasNext: Boolean = {
    while (!wave.hasNext && rows.hasNext) startWave()
    wave.hasNext
  }

  override def next(): InternalRow =
    if (hasNext) wave.next()
    else throw new NoSuchElementException("no further row")

  private def startWave(): Unit = {
    val count = if (asked == 0) first else asked * (growth - 1)
    asked += count
    wave = evaluate(new Prefix(count))
  }

  /** The next rows of the input, which stay in it if they are not read. */
  private class Prefix(count: Long) extends Iterator[InternalRow] {
    private var left = count

    override def hasNext: Boolean = left > 0 && rows.hasNext

    override def next(): InternalRow = {
      left -= 1
      rows.next()
    }
  }
}
