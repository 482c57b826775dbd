"""A table of Spark, Delta or any other that MERGE can write: Spark reads, evaluates and commits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aiquery import config as configuration
from aiquery.engines.spark.task_config import CONFIG
from aiquery.errors import ArgumentError
from aiquery.updates.assignments import FAILED, RECORDED
from aiquery.updates.merge import merge_sql
from aiquery.updates.pending_rows import SOURCE
from aiquery.updates.result import UpdateResult

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from aiquery.updates.assignments import Assignments
    from aiquery.updates.pending_rows import PendingRows

ANSWERS = "aiquery_answers"


def update_on_spark(
    spark: Any, target: str, assignments: Assignments, pending: PendingRows, rows: int
) -> UpdateResult:
    """Update a table in slices of about ``rows`` rows, each one MERGE whose source is evaluated once."""
    if pending.source and not spark.catalog.tableExists(target):
        raise ArgumentError(
            f"the table {target} does not exist; create it with the columns of key and set."
        )
    config = configuration.load(spark.conf.get(CONFIG, None) or None)
    name = SOURCE if pending.source else target.rpartition(".")[2]
    if pending.refresh_changed and RECORDED not in spark.table(target).columns:
        spark.sql(f"ALTER TABLE {target} ADD COLUMN {RECORDED} STRING")
    from_sql = pending.from_sql(target, name, assignments, config)
    result = UpdateResult(left=_count(spark, from_sql))
    slices = math.ceil(result.left / rows)
    keys = ", ".join(f"{name}.{assignments.quote(key)}" for key in pending.keys)
    selected = [keys, assignments.tolerant_select_list()]
    if pending.refresh_changed:
        selected.insert(1, f"{assignments.made_from(config, name)} AS {RECORDED}")
    for i in range(slices):
        in_slice = f"pmod(xxhash64({keys}), {slices}) = {i}"
        # A checkpoint, since MERGE reads its source twice.
        evaluated = spark.sql(
            f"SELECT {', '.join(selected)} {from_sql} AND {in_slice}"
        ).localCheckpoint()
        answers = evaluated.where(f"NOT {FAILED}").drop(FAILED)
        result.failed += evaluated.count() - answers.count()
        if config.budget.is_set:
            # NULL may be a row beyond the budget: the next update requests these rows.
            answers = answers.dropna(subset=assignments.columns())
        updated = answers.count()
        if updated:
            _merge(answers, target, assignments, pending)
            result.updated += updated
            result.commits += 1
    result.left = _count(spark, from_sql)
    return result


def _merge(
    answers: DataFrame, target: str, assignments: Assignments, pending: PendingRows
) -> None:
    answers.createOrReplaceTempView(ANSWERS)
    session = answers.sparkSession
    try:
        session.sql(merge_sql(target, ANSWERS, answers.columns, assignments, pending))
    finally:
        session.catalog.dropTempView(ANSWERS)


def _count(spark: Any, from_sql: str) -> int:
    ((count,),) = spark.sql(f"SELECT count(*) {from_sql}").collect()
    return int(count)
