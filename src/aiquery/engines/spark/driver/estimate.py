"""The estimate of a DataFrame, counted by Spark itself: nothing is sent, and no request leaves its executor."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from aiquery import clients
from aiquery import config as configuration
from aiquery.engines.spark.driver.scala_object import scala_object
from aiquery.engines.spark.task_config import CONFIG
from aiquery.errors import ArgumentError
from aiquery.estimate import EndpointSums, Estimate, estimate_endpoint

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row

    from aiquery.config.settings import Config


def estimate(frame: DataFrame) -> Estimate:
    """Return what an action on a DataFrame would request: requests, tokens, cost and time.

    The rows that the calls read are computed, as by the action; nothing is sent. Where an answer decides about further
    requests, or about the number of rows (a LIMIT), the estimate is a lower bound, and is marked as such. Raises
    ``ArgumentError`` for a DataFrame of a Spark Connect session.
    """
    if not hasattr(frame, "_jdf"):
        raise ArgumentError(
            "an estimate needs a classic session: on Spark Connect, run it where the server is."
        )
    from pyspark.sql import DataFrame, functions

    session = frame.sparkSession
    found = scala_object(session, "Estimate").of(frame._jdf)  # noqa: SLF001  PySpark has no public way
    rows = (
        DataFrame(found.requests(), session)
        .groupBy("endpoint", "function")
        .agg(
            functions.count("*").alias("requests"),
            functions.count(_if_to_send("key")).alias("to_send"),
            functions.sum(_if_to_send("characters")).alias("characters"),
            functions.sum(_if_to_send("size")).alias("sizes"),
            functions.sum(_if_to_send("max_output_tokens")).alias("max_output_tokens"),
            functions.count(_if_to_send("max_output_tokens")).alias("bounded"),
        )
        .collect()
    )
    config = configuration.load(session.conf.get(CONFIG, "") or None)
    return _make_estimate(rows, config, exact=found.exact())


def _if_to_send(name: str) -> Column:
    """Return a column of the requests that are not cached, NULL for the others."""
    from pyspark.sql import functions

    return functions.when(~functions.col("is_cached"), functions.col(name))


def _make_estimate(rows: list[Row], config: Config, *, exact: bool) -> Estimate:
    by_endpoint: dict[str, EndpointSums] = {}
    for row in rows:
        if row.endpoint not in by_endpoint:
            by_endpoint[row.endpoint] = EndpointSums(
                endpoint=config.endpoint(row.endpoint)
            )
        _add_row(by_endpoint[row.endpoint], row)
    with closing(clients.open_run_store(config)) as store:
        history = store.runs()
    estimates = [estimate_endpoint(sums, history) for sums in by_endpoint.values()]
    return Estimate(tuple(estimates), exact)


def _add_row(sums: EndpointSums, row: Row) -> None:
    sums.requests += row.requests
    sums.cache_hits += row.requests - row.to_send
    sums.characters += row.characters or 0
    sums.sizes[row.function] += row.sizes or 0
    sums.to_send[row.function] += row.to_send
    if row.bounded != row.to_send:
        sums.max_output_tokens = None
    elif sums.max_output_tokens is not None:
        sums.max_output_tokens += row.max_output_tokens or 0
