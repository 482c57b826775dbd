"""Code as users write it. mypy and pyright check it; it is not run."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

import aiquery
import aiquery.spark
from aiquery import functions
from aiquery.config.credentials import Credentials
from aiquery.config.endpoint import Endpoint
from aiquery.interfaces import Provider
from aiquery.requests.request import Request, Response
from aiquery.testing import Answer, EndpointServer, Question

CONFIG = {"endpoints": {"m": {"provider": "fake", "max_concurrency": 8}}}


def use_duckdb(path: Path) -> list[tuple[object, ...]]:
    """Every form of a configuration, and every method of a connection."""
    with aiquery.connect(path, CONFIG, {"max_requests": 5}, read_only=True) as con:
        relation = con.sql("SELECT ai_query('m', $text)", params={"text": "hi"})
        estimate = con.estimate("SELECT ai_query('m', 'hi')")
        print(estimate.requests, estimate.cost_usd, estimate.exact)
        con.execute("SELECT ?", ["hi"]).cursor().close()
        return relation.fetchall()


class QuietProvider:
    """A provider whose attributes are plain values."""

    slots = 4
    context_window = 8192
    max_batch_size = 1
    remote = False
    rate_limits = None

    def __init__(self) -> None:
        """Have no settings."""

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Accept every endpoint."""

    @classmethod
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return None."""

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> QuietProvider:
        """Return the provider."""
        return cls()

    async def complete(self, request: Request) -> Response:
        """Answer with a constant."""
        return Response(text="quiet")

    async def count_tokens(self, request: Request) -> Response:
        """Answer with a constant."""
        return Response(text="1")

    async def close(self) -> None:
        """Do nothing."""


def use_provider() -> type[Provider]:
    """A class of one's own is a provider."""
    return QuietProvider


def use_any_config() -> None:
    """A configuration is a mapping, a path, or JSON text."""
    aiquery.connect(config="aiquery.toml").close()
    aiquery.connect(config=Path("aiquery.toml"), duckdb_config={"threads": 2}).close()
    aiquery.connect(config='{"endpoints": {}}').close()
    plain = duckdb.connect()
    aiquery.register(plain, CONFIG)
    aiquery.register(plain.cursor(), config="aiquery.toml")


def use_update() -> str:
    """An update of a table, and its figures."""
    result = aiquery.update(
        "tickets",
        {"sentiment": "ai_query('m', message)"},
        key="ticket_id",
        where="sentiment IS NULL",
        database="my.db",
        refresh_changed=True,
        commit_every_rows=1000,
        commit_every_seconds=10.0,
        config=CONFIG,
        budget={"max_cost_usd": 5},
    )
    rejected: dict[str, int] = result.rejected
    return f"{result.updated + result.failed} {rejected}"


def use_progress() -> None:
    """Hooks get figures."""

    def show(progress: aiquery.Progress) -> None:
        rate: float = progress.rows_per_s
        print(progress.requests, progress.cache_hits, progress.deduplicated, rate)

    remove = aiquery.on_progress(show)
    remove()
    last = aiquery.last_run()
    if last is not None:
        show(last)
    aiquery.show_progress("log")


def use_data_frames() -> None:
    """Functions for data frames have signatures."""
    frame = pa.table({"message": ["My card was lost"]})
    functions.classify(frame, "message", labels=["urgent", "other"], config=CONFIG)
    functions.agg(frame, "message", instruction="Summarize", by="message", config=CONFIG)
    functions.query(frame, "message", endpoint="m", return_type="INT", fail_on_error=False)


def use_embedding() -> None:
    """Vectors in Python code."""
    model = aiquery.Embedding("m", config=CONFIG, deferred=False)
    print(model.embed(["one", "two"]), model.truncated)


def use_spark() -> None:
    """A session takes every form of a configuration; functions of columns have signatures."""
    from aiquery.spark.functions import ai_classify, ai_query

    spark = aiquery.spark.session("local[2]", CONFIG)
    aiquery.register(spark, "aiquery.toml")
    frame = spark.table("tickets")
    frame.withColumn("score", ai_query("m", frame.prompt, return_type="INT"))
    frame.withColumn("topic", ai_classify("message", ["billing", "bug"]))
    print(aiquery.spark.estimate(frame).requests_to_send)


def use_testing() -> int:
    """A test endpoint."""

    def reply(question: Question) -> Answer:
        return Answer(text=question.prompt.upper(), latency_s=0.01)

    with EndpointServer(reply, capacity=8) as server:
        aiquery.connect(config={"endpoints": {"m": server.endpoint()}}).close()
        return server.calls


def handle_errors() -> None:
    """Errors are a tree."""
    try:
        use_update()
    except aiquery.RowError as error:
        print(error.status, error.retryable, error.message)
    except (aiquery.ConfigError, aiquery.ArgumentError, aiquery.StatementError):
        raise
    except aiquery.AIQueryError as error:
        print(error.error_class, error.sqlstate)
