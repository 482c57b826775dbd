"""The report of one run as one self-contained page: nothing of it is fetched from anywhere."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

import msgspec

from aiquery.reporting import tables
from aiquery.reporting.html import plots
from aiquery.reporting.html.timeseries import Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from aiquery.tracking.record import RunRecord


def page(kept: RunRecord, attempts: pa.Table) -> str:
    """Return the page as HTML. ``attempts`` are those of the run, as they are kept."""
    series = Series(attempts) if len(attempts) else None
    p = kept.progress
    specs = (
        msgspec.json.encode(plots.plots(kept, series)).decode().replace("</", "<\\/")
    )
    started = datetime.fromtimestamp(p.started_at, UTC)
    return Template(
        files("aiquery.data").joinpath("report.html").read_text("utf-8")
    ).substitute(
        run=escape(p.run),
        about=escape(f"{p.state} · {p.engine} · {started:%Y-%m-%d %H:%M:%S} UTC"),
        statement=f"<pre>{escape(p.statement)}</pre>" if p.statement else "",
        error=f'<p class="error">{escape(kept.error)}</p>' if kept.error else "",
        figures="\n".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>"
            for name, text in _figures(kept, series)
        ),
        parts=_table(tables.PARTS, tables.parts(kept)),
        errors=_errors(kept, attempts),
        vega=plots.script().replace("</script", "<\\/script"),
        specs=specs,
    )


def _figures(kept: RunRecord, series: Series | None) -> Iterable[tuple[str, str]]:
    p = kept.progress
    yield "rows", f"{p.rows:,}"
    yield "seconds", f"{p.seconds:,.1f}"
    yield "rows per second", f"{p.rows_per_s:,.1f}"
    yield "requests asked", f"{p.requests:,}"
    yield "cache hits", f"{p.cache_hits:,}"
    yield "shared, or NULL", f"{p.deduplicated:,}"
    yield "attempts", f"{p.attempts:,}"
    yield "retries", f"{p.retries:,}"
    yield "failed", f"{p.failed:,}"
    yield "tokens in", f"{p.tokens_in:,}"
    yield "of them cached", f"{p.tokens_cached:,}"
    yield "tokens out", f"{p.tokens_out:,}"
    yield (
        "cost",
        "no price is known" if p.cost_usd is None else f"{p.cost_usd:,.4f} USD",
    )
    for name, seconds in (series.percentiles() if series is not None else {}).items():
        yield f"latency {name}", f"{seconds:,.3f} s"


def _errors(kept: RunRecord, attempts: pa.Table) -> str:
    if not kept.errors:
        return "<p>None.</p>"
    counts = Counter(
        (row["error"], row["endpoint"], row["function"], row["status"], row["ending"])
        for row in _went_wrong(attempts).to_pylist()
    )
    rows = [
        (
            error,
            endpoint,
            function,
            status or "",
            ending,
            count,
            kept.errors[error].example,
        )
        for (error, endpoint, function, status, ending), count in counts.most_common()
    ]
    known = {error for error, *_ in rows}
    rows += [
        (error, "", "", "", "failed", seen.requests, seen.example)
        for error, seen in kept.errors.items()
        if error not in known
    ]
    columns = (
        "error",
        "endpoint",
        "function",
        "HTTP",
        "ending",
        "attempts",
        "an example",
    )
    box = '<input id="filter" type="search" placeholder="Filter, e.g. 429 or RequestFailed" aria-label="Filter">'
    return f'{box}<div class="scroll">{_table(columns, rows)}</div>'


def _went_wrong(attempts: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    names = ["error", "endpoint", "function", "status", "ending"]
    return attempts.select(names).filter(
        pc.not_equal(attempts["error"].cast("string"), "")
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    return (
        f'<td class="text">{escape(str(value))}</td>'
        if len(str(value)) > 30  # noqa: PLR2004
        else f"<td>{escape(str(value))}</td>"
    )
