"""Runs: figures of tasks add up in any order and never decrease, and no message quotes the text of a request."""

from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from aiquery.requests.request import Usage
from aiquery.tracking.aggregate import RunAggregator
from aiquery.tracking.attempts import Attempt, Ledger
from aiquery.tracking.record import take_snapshot
from aiquery.tracking.redaction import _PUNCTUATION, common_words, redact_detail
from aiquery.tracking.run import RowCounter, RunStats


@given(st.text(max_size=80), st.text(max_size=40))
def test_a_message_has_only_common_words_of_its_server(text, more):
    redacted = redact_detail(f"endpoint 'm': HTTP 400: cannot read '{text}' {more}")
    start = "endpoint 'm': HTTP 400: "
    assert redacted.startswith(start)
    for word in redacted.removeprefix(start).split():
        assert word == "…" or word.strip(_PUNCTUATION + "…").lower() in {"", *common_words()}


def test_the_reason_of_a_server_stays():
    message = "HTTP 429: rate limit reached, slow down"
    assert redact_detail(message) == "HTTP 429: rate limit reached, slow …"
    assert redact_detail("HTTP 404: The model does not exist") == "HTTP 404: The model does not exist"
    assert redact_detail("http://h/v1: the connection was closed") == "http://h/v1: the connection was closed"


@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 400)), max_size=20))
def test_the_rows_of_all_batches_add_up(batches):
    row_counter = RowCounter()
    for rows, requests in batches:
        row_counter.add(rows, done=False)
        for _ in range(requests):
            before = row_counter.rows()
            row_counter.done += rows / requests
            assert row_counter.rows() >= before
    assert row_counter.rows() == row_counter.total == sum(rows for rows, _ in batches)


tasks = st.lists(
    st.lists(st.tuples(st.integers(0, 500), st.sampled_from(["a", "b"]), st.booleans()), max_size=5),
    min_size=1,
    max_size=6,
)


def start_task(ledger, statement, number):
    """Return the statistics of a task of the Spark execution 7."""
    stats = RunStats("spark", statement, 1000.0 + number)
    stats.totals = ledger.totals_of(stats.number)
    stats.run_id = f"7/{stats.run_id}"
    return stats


def take_step(ledger, stats, tokens, endpoint, is_failed):
    """Record one attempt of a task, and its row."""
    error = "RequestFailed" if is_failed else ""
    attempt = Attempt(
        endpoint=endpoint,
        key=bytes(16),
        ending="failed" if is_failed else "answered",
        started_at=1.0,
        latency_s=1.0,
        queued_s=0.0,
        status=200,
        usage=Usage(tokens, 0, 1),
        cost_usd=0.5,
        rows=1,
        truncated=0,
        function="ai_query",
        error=error,
        run_number=stats.number,
    )
    ledger.record(attempt)
    stats.row_counter("c").add(1, done=True)
    stats.requests += 1
    if is_failed:
        stats.count_error(error, "no")
        stats.count_failed_request(error, "no")


def aggregate(tasks, random):
    """Let tasks take their steps in a random order; return the record of the run after each step."""
    ledger = Ledger()
    aggregator = RunAggregator("app-1")
    all_stats = [start_task(ledger, "SELECT 1", i) for i in range(len(tasks))]
    order = [i for i, steps in enumerate(tasks) for _ in steps]
    random.shuffle(order)
    left = [list(steps) for steps in tasks]
    records = []
    for i in order:
        stats = all_stats[i]
        take_step(ledger, stats, *left[i].pop())
        if not left[i]:
            stats.end("done", 2000.0)
        (record,) = aggregator.add([take_snapshot(stats)])
        assert record.progress.state == "running"  # another task may begin
        has_running_task = any(0 < len(rest) < len(steps) for rest, steps in zip(left, tasks, strict=True))
        assert aggregator.open_executions() == ([] if has_running_task else ["7"])
        records.append(record)
    records.extend(aggregator.end(["7"]))
    return records


@given(tasks, st.randoms(use_true_random=False))
def test_the_tasks_of_an_execution_are_one_run_in_any_order(tasks, random):
    records = aggregate(tasks, random)
    for name in ("rows", "requests", "failed", "attempts", "tokens_in"):
        figures = [getattr(record.progress, name) for record in records]
        assert figures == sorted(figures), name
    if not records:
        return
    last = records[-1]
    progress = last.progress
    steps = [step for task in tasks for step in task]
    tokens_by_endpoint = Counter()
    for tokens, endpoint, _ in steps:
        tokens_by_endpoint[endpoint] += tokens
    assert len({record.progress.run for record in records}) == 1
    assert (last.origin, progress.state) == ("app-1", "done")
    assert progress.statement == "SELECT 1"
    assert progress.rows == progress.rows_total == progress.attempts == len(steps)
    assert progress.tokens_in == tokens_by_endpoint.total()
    assert progress.cost_usd == len(steps) / 2
    tokens_by_part = {part.endpoint: part.tokens_in for part in last.parts}
    assert tokens_by_part == dict(tokens_by_endpoint)
    failed = [step for step in steps if step[2]]
    assert sum(error.requests for error in last.errors.values()) == len(failed)
    assert msgspec.json.decode(msgspec.json.encode(last), type=type(last)) == last


def test_a_task_of_a_lost_process_is_stopped_until_it_reports_again():
    ledger = Ledger()
    aggregator = RunAggregator("app-1")
    lost, second = (start_task(ledger, None, i) for i in range(2))
    for stats, rows in ((lost, 3), (second, 5)):
        stats.row_counter("c").add(rows, done=True)
    (run,) = aggregator.add([take_snapshot(lost)])
    assert (run.progress.state, run.progress.rows) == ("running", 3)
    (run,) = aggregator.mark_lost([lost.run_id])
    assert (run.progress.state, run.progress.rows) == ("running", 3)
    (run,) = aggregator.end(aggregator.open_executions())
    assert (run.progress.state, run.progress.rows) == ("stopped", 3)
    (run,) = aggregator.add([take_snapshot(lost)])
    assert (run.progress.state, run.progress.rows) == ("running", 3)
    aggregator.mark_lost([lost.run_id])
    second.end("done", 1002.0)
    (run,) = aggregator.add([take_snapshot(second)])
    assert (run.progress.state, run.progress.rows) == ("done", 8)
