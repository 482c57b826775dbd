"""Accounts: figures add up over tasks in any order, never go back, and no message carries a request's words."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from aiquery.requests.request import Usage
from aiquery.tracking.aggregate import RunAggregator
from aiquery.tracking.attempts import Attempt, Ledger
from aiquery.tracking.record import take_snapshot
from aiquery.tracking.run import RowCounter, RunStats, redact_echo

words = st.text(
    st.characters(categories=["L", "N", "P", "Zs"]), min_size=12, max_size=200
).filter(lambda text: len("".join(text.split())) >= 12)


@given(words, st.text(max_size=40), st.text(max_size=40))
def test_a_message_never_quotes_its_request(text, before, after):
    shown = redact_echo(f"{before} '{text}' {after}", f"Classify: {text}")
    assert " ".join(text.split()) not in shown
    quoted = {shown[i : i + 12] for i in range(len(shown) - 11)}
    asked = " ".join(f"Classify: {text}".split())
    assert not any(piece in asked for piece in quoted)


def test_what_is_not_of_the_request_stays():
    assert (
        redact_echo("HTTP 429: rate limit reached, slow down", "my cat is ill")
        == "HTTP 429: rate limit reached, slow down"
    )
    assert redact_echo("cannot read 'ill cat'", "ill cat") == "cannot read '…'"


@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 400)), max_size=20))
def test_rows_of_a_tally_add_up_whatever_the_batches_are(batches):
    row_counter = RowCounter()
    for rows, requests in batches:
        row_counter.add(rows, done=False)
        for _ in range(requests):
            before = row_counter.rows()
            row_counter.done += rows / requests
            assert row_counter.rows() >= before
    assert row_counter.rows() == row_counter.total == sum(rows for rows, _ in batches)


tasks = st.lists(
    st.lists(
        st.tuples(st.integers(0, 500), st.sampled_from(["a", "b"]), st.booleans()),
        max_size=5,
    ),
    min_size=1,
    max_size=6,
)


def heard(steps, random):
    """Let tasks do their steps in a random order, and return their run as it stands after each."""
    ledger, aggregator = Ledger(), RunAggregator("app-1")
    all_stats = [RunStats("spark", "SELECT 1", 1000.0 + i) for i in range(len(steps))]
    for stats in all_stats:
        stats.totals, stats.run_id = ledger.totals_of(stats.number), f"7/{stats.run_id}"
    order = [i for i, task in enumerate(steps) for _ in task]
    random.shuffle(order)
    left = [list(task) for task in steps]
    seen = []
    for i in order:
        tokens, endpoint, bad = left[i].pop()
        stats = all_stats[i]
        usage, error = Usage(tokens, 0, 1), "RequestFailed" if bad else ""
        ledger.record(
            Attempt(
                endpoint=endpoint,
                key=bytes(16),
                ending="failed" if bad else "answered",
                started_at=1.0,
                latency_s=1.0,
                queued_s=0.0,
                status=200,
                usage=usage,
                cost_usd=0.5,
                rows=1,
                truncated=0,
                function="ai_query",
                error=error,
                run_number=stats.number,
            )
        )
        stats.row_counter("c").add(1, done=True)
        stats.requests += 1
        if bad:
            stats.count_error(error, "no", "text")
            stats.count_failed_request(error, "no", "text")
        if not left[i]:
            stats.end("done", 2000.0)
        (run,) = aggregator.add([take_snapshot(stats)])
        assert run.progress.state == "running"  # another task may begin
        at_work = any(
            0 < len(rest) < len(task) for rest, task in zip(left, steps, strict=True)
        )
        assert aggregator.open_executions() == ([] if at_work else ["7"])
        seen.append(run)
    seen.extend(aggregator.end(["7"]))
    return seen


@given(tasks, st.randoms(use_true_random=False))
def test_the_tasks_of_an_execution_are_one_run_in_whatever_order_they_are_heard(
    steps, random
):
    seen = heard(steps, random)
    for name in ("rows", "requests", "failed", "attempts", "tokens_in"):
        figures = [getattr(run.progress, name) for run in seen]
        assert figures == sorted(figures), name
    if not seen:
        return
    done, every = seen[-1], [step for task in steps for step in task]
    assert len({run.progress.run for run in seen}) == 1
    assert (done.origin, done.progress.state, done.progress.statement) == (
        "app-1",
        "done",
        "SELECT 1",
    )
    assert (
        done.progress.rows
        == done.progress.rows_total
        == done.progress.attempts
        == len(every)
    )
    assert done.progress.tokens_in == sum(tokens for tokens, _, _ in every)
    assert done.progress.cost_usd == len(every) / 2
    assert {part.endpoint: part.tokens_in for part in done.parts} == {
        name: sum(tokens for tokens, endpoint, _ in every if endpoint == name)
        for name in {step[1] for step in every}
    }
    assert sum(error.requests for error in done.errors.values()) == sum(
        bad for _, _, bad in every
    )
    assert msgspec.json.decode(msgspec.json.encode(done), type=type(done)) == done


def test_a_task_whose_process_went_away_has_stopped_until_it_is_heard_of_again():
    ledger, aggregator = Ledger(), RunAggregator("app-1")
    lost, again = (RunStats("spark", None, 1000.0 + i) for i in range(2))
    for stats, rows in ((lost, 3), (again, 5)):
        stats.totals, stats.run_id = ledger.totals_of(stats.number), f"7/{stats.run_id}"
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
    again.end("done", 1002.0)
    (run,) = aggregator.add([take_snapshot(again)])
    assert (run.progress.state, run.progress.rows) == ("done", 8)
