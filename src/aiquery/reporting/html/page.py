"""The HTML report of one run: a self-contained page that fetches nothing."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections import Counter
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

import msgspec

from aiquery.reporting.html.plots import build_plots, vega_bundle
from aiquery.reporting.html.timeseries import AttemptSeries
from aiquery.reporting.tables import USAGE_COLUMNS, usage_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from aiquery.tracking.record import RunRecord

_STYLE = re.compile("<style>(.*?)</style>", re.DOTALL)
_SCRIPT = re.compile("<script>(.*?)</script>", re.DOTALL)
_HTML = re.compile("[<>&\u2028\u2029]")

LONG_CELL = 30
"""Characters from which a cell of a table wraps."""

ERROR_COLUMNS = (
    "error",
    "endpoint",
    "function",
    "HTTP",
    "ending",
    "attempts",
    "an example",
)
FIGURES = {
    "rows": "rows",
    "seconds": "seconds",
    "rows per second": "rows_per_s",
    "requests": "requests",
    "cache hits": "cache_hits",
    "deduplicated, or NULL": "deduplicated",
    "attempts": "attempts",
    "retries": "retries",
    "failed": "failed",
    "tokens in": "tokens_in",
    "of them cached": "tokens_cached",
    "tokens out": "tokens_out",
}
"""The label of each attribute of ``Progress`` that the page shows."""

FILTER_BOX = (
    '<input id="filter" type="search" placeholder="Filter, e.g. 429 or RequestFailed"'
    ' aria-label="Filter">'
)


def render_page(record: RunRecord, attempts: pa.Table) -> str:
    """Return the page as HTML. ``attempts`` is the table of the run's attempts, as the run store returns it."""
    series = AttemptSeries(attempts) if len(attempts) else None
    template = files("aiquery.data").joinpath("report.html").read_text("utf-8")
    vega = vega_bundle().replace("</script", "<\\/script").replace("<!--", "<\\!--")
    (style,) = _STYLE.findall(template)
    *_, script = _SCRIPT.findall(template)
    return Template(template).substitute(
        style_hash=_hash(style),
        script_hashes=f"{_hash(vega)} {_hash(script)}",
        run=escape(record.progress.run),
        about=escape(_subtitle(record)),
        statement=_statement(record),
        error=_run_error(record),
        figures="\n".join(_figures(record, series)),
        parts=_table(USAGE_COLUMNS, usage_rows(record)),
        errors=_errors_section(record, attempts),
        vega=vega,
        specs=_plot_specs(record, series),
    )


def _subtitle(record: RunRecord) -> str:
    progress = record.progress
    started = datetime.fromtimestamp(progress.started_at, UTC)
    return f"{progress.state} · {progress.engine} · {started:%Y-%m-%d %H:%M:%S} UTC"


def _statement(record: RunRecord) -> str:
    statement = record.progress.statement
    return f"<pre>{escape(statement)}</pre>" if statement else ""


def _run_error(record: RunRecord) -> str:
    return f'<p class="error">{escape(record.error)}</p>' if record.error else ""


def _plot_specs(record: RunRecord, series: AttemptSeries | None) -> str:
    """Return the specifications as JSON without a character that means something in HTML."""
    specs = msgspec.json.encode(build_plots(record, series)).decode()
    return _HTML.sub(lambda found: f"\\u{ord(found[0]):04x}", specs)


def _hash(text: str) -> str:
    """Return the source expression by which the page's policy permits a script or a style."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{b64encode(digest).decode()}'"


def _figures(record: RunRecord, series: AttemptSeries | None) -> Iterator[str]:
    progress = record.progress
    for name, attribute in FIGURES.items():
        figure = getattr(progress, attribute)
        yield _figure(
            name, f"{figure:,.1f}" if isinstance(figure, float) else f"{figure:,}"
        )
    if progress.cost_usd is None:
        yield _figure("cost", "no price is known")
    else:
        yield _figure("cost", f"{progress.cost_usd:,.4f} USD")
    if series is None:
        return
    for name, seconds in series.percentiles().items():
        yield _figure(f"latency {name}", f"{seconds:,.3f} s")


def _figure(name: str, text: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>"


def _errors_section(record: RunRecord, attempts: pa.Table) -> str:
    if not record.errors:
        return "<p>None.</p>"
    rows = _error_rows(record, attempts)
    return f'{FILTER_BOX}<div class="scroll">{_table(ERROR_COLUMNS, rows)}</div>'


def _error_rows(record: RunRecord, attempts: pa.Table) -> list[Sequence[object]]:
    """Return a row for each kind of attempt that failed, and for each error that no attempt had."""
    counts = Counter(
        (row["error"], row["endpoint"], row["function"], row["status"], row["ending"])
        for row in _failed_attempts(attempts).to_pylist()
    )
    rows: list[Sequence[object]] = []
    for (error, endpoint, function, status, ending), count in counts.most_common():
        example = record.errors[error].example
        rows.append((error, endpoint, function, status or "", ending, count, example))
    of_attempts = {error for error, *_ in counts}
    for error, summary in record.errors.items():
        if error not in of_attempts:
            count = summary.requests
            rows.append((error, "", "", "", "failed", count, summary.example))
    return rows


def _failed_attempts(attempts: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    has_error = pc.not_equal(attempts["error"].cast("string"), "")
    names = ["error", "endpoint", "function", "status", "ending"]
    return attempts.select(names).filter(has_error)


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "\n".join(_row(row) for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(row: Sequence[object]) -> str:
    return f"<tr>{''.join(map(_cell, row))}</tr>"


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    text = escape(str(value))
    if len(str(value)) > LONG_CELL:
        return f'<td class="text">{text}</td>'
    return f"<td>{text}</td>"
