"""What a DataFrame would ask, counted by Spark itself: nothing is asked, and no request leaves its executor."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from aiquery import clients
from aiquery import config as configuration
from aiquery.engines.spark.driver.scala_object import scala_object
from aiquery.engines.spark.task_config import CONFIG
from aiquery.errors import ArgumentError
from aiquery.estimate import Estimate, Sums, figures

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row

    from aiquery.config.settings import Config


def estimate(frame: DataFrame) -> Estimate:
    """Return what an action on a DataFrame of a classic session would ask: requests, tokens, cost and time.

    The rows that the calls read are computed, as the action would; nothing is asked. Where an answer decides what else
    is asked, or how many rows are read (a LIMIT), it is a lower bound, and says so.
    """
    if not hasattr(frame, "_jdf"):
        raise ArgumentError(
            "an estimate needs a classic session: on Spark Connect, run it where the server is."
        )
    from pyspark.sql import DataFrame, functions

    session = frame.sparkSession
    found = scala_object(session, "Estimate").of(frame._jdf)  # noqa: SLF001
    rows = (
        DataFrame(found.requests(), session)
        .groupBy("endpoint", "function")
        .agg(
            functions.count("*").alias("requests"),
            functions.count(_left("key")).alias("left"),
            functions.sum(_left("characters")).alias("characters"),
            functions.sum(_left("size")).alias("sizes"),
            functions.sum(_left("most_out")).alias("most_out"),
            functions.count(_left("most_out")).alias("bounded"),
        )
        .collect()
    )
    return _estimate(
        rows,
        configuration.load(session.conf.get(CONFIG, "") or None),
        exact=found.exact(),
    )


def _left(name: str) -> Column:
    """Return a column of what is left to ask, NULL where the answer is there."""
    from pyspark.sql import functions

    return functions.when(~functions.col("answered"), functions.col(name))


def _estimate(rows: list[Row], config: Config, *, exact: bool) -> Estimate:
    by_endpoint: dict[str, Sums] = {}
    for row in rows:
        sums = by_endpoint.setdefault(row.endpoint, Sums(config.endpoint(row.endpoint)))
        sums.requests += row.requests
        sums.answered += row.requests - row.left
        sums.characters += row.characters or 0
        sums.sizes[row.function] += row.sizes or 0
        sums.left[row.function] += row.left
        if sums.tokens_out is not None:
            sums.tokens_out = (
                sums.tokens_out + (row.most_out or 0)
                if row.bounded == row.left
                else None
            )
    with closing(clients.open_run_store(config)) as store:
        kept = store.runs()
    return Estimate(tuple(figures(sums, kept) for sums in by_endpoint.values()), exact)
