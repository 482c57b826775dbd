"""A table of Spark, Delta or any other that MERGE can write: Spark reads, asks and commits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aiquery import config as configuration
from aiquery.engines.spark.task_config import CONFIG
from aiquery.errors import ArgumentError
from aiquery.updates.assignments import FAILED, RECORDED
from aiquery.updates.merge import merge_sql
from aiquery.updates.pending_rows import SOURCE
from aiquery.updates.result import UpdateResult

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from aiquery.updates.assignments import Assignments
    from aiquery.updates.pending_rows import PendingRows

ANSWERS = "aiquery_answers"


def update_on_spark(
    spark: SparkSession,
    target: str,
    assignments: Assignments,
    need: PendingRows,
    every: int,
) -> UpdateResult:
    """Update a table in slices of about ``every`` rows, each one MERGE whose source is asked once."""
    if need.source and not spark.catalog.tableExists(target):
        raise ArgumentError(
            f"the table {target} does not exist; create it with the columns of key and set."
        )
    config = configuration.load(spark.conf.get(CONFIG, None) or None)
    name = SOURCE if need.source else target.rpartition(".")[2]
    if need.refresh and RECORDED not in spark.table(target).columns:
        spark.sql(f"ALTER TABLE {target} ADD COLUMN {RECORDED} STRING")
    rows = need.rows(target, name, assignments, config)
    report = UpdateResult(left=_count(spark, rows))
    slices = math.ceil(report.left / every)
    keys = ", ".join(f"{name}.{assignments.quoted(key)}" for key in need.keys)
    recorded = (
        f"{assignments.made_from(config, name)} AS {RECORDED}, " if need.refresh else ""
    )
    for i in range(slices):
        asked = spark.sql(
            f"SELECT {keys}, {recorded}{assignments.selected()} {rows} AND pmod(xxhash64({keys}), {slices}) = {i}"
        ).localCheckpoint()  # MERGE reads its source twice
        answers = asked.where(f"NOT {FAILED}").drop(FAILED)
        report.failed += asked.count() - answers.count()
        if (
            config.budget.is_set
        ):  # NULL may stand for what was not asked: the next run does these rows
            answers = answers.dropna(subset=assignments.columns())
        updated = answers.count()
        if updated:
            _merge(answers, target, assignments, need)
            report.updated += updated
            report.commits += 1
    report.left = _count(spark, rows)
    return report


def _merge(
    answers: DataFrame, target: str, assignments: Assignments, need: PendingRows
) -> None:
    answers.createOrReplaceTempView(ANSWERS)
    try:
        answers.sparkSession.sql(
            merge_sql(target, ANSWERS, answers.columns, assignments, need)
        )
    finally:
        answers.sparkSession.catalog.dropTempView(ANSWERS)


def _count(spark: SparkSession, rows: str) -> int:
    ((count,),) = spark.sql(f"SELECT count(*) {rows}").collect()
    return int(count)
