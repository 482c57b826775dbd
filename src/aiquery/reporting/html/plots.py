"""The plots of a report, through Altair: each is a specification that Vega draws in the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.errors import MissingExtra

try:
    import altair as alt
    import vl_convert
except ImportError as error:
    raise MissingExtra(
        "a report as a page needs the extra 'report': pip install 'aiquery[report]'"
    ) from error

if TYPE_CHECKING:
    from aiquery.reporting.html.timeseries import AttemptSeries, Points
    from aiquery.tracking.record import RunRecord

COLOURS = ["#4c78a8", "#f58518", "#54a24b", "#e45756", "#b279a2", "#72b7b2"]
"""Vega's own colours, which are distinguishable on white and on black."""

HEIGHT = 170


def vega_bundle() -> str:
    """Return Vega as one script without imports, which defines ``vegaEmbed``."""
    javascript_bundle: Any = vl_convert.javascript_bundle  # its type stub is outdated
    bundle: str = javascript_bundle()
    return bundle


def build_plots(
    record: RunRecord, series: AttemptSeries | None
) -> dict[str, dict[str, Any]]:
    """Return the Vega-Lite specification of each plot by its title. A plot without data is left out."""
    charts = {"Where the rows' values came from": _sources(record)}
    if series is not None:
        charts["Answers per second"] = _lines(series.throughput(), "answers/s")
        charts["Requests in flight"] = _lines(series.in_flight(), "requests")
        charts["Latency of answers"] = _histogram(series.latencies())
        charts["Tokens per second"] = _lines(series.tokens(), "tokens/s")
        if record.progress.cost_usd is not None:
            charts["Cost so far"] = _lines(series.cost(), "USD")
        charts["Failed attempts"] = _lines(series.errors(), "attempts")
    return {title: _style(chart) for title, chart in charts.items() if chart}


def _sources(record: RunRecord) -> Any:
    progress = record.progress
    counts = {
        "requests": progress.requests,
        "cache hits": progress.cache_hits,
        "deduplicated, or NULL": progress.deduplicated,
    }
    values = [{"source": source, "rows": count} for source, count in counts.items()]
    data = alt.Data(values=values)
    return (
        alt.Chart(data)
        .mark_bar()
        .encode(
            x=alt.X("rows:Q", title="rows"),
            y=alt.Y("source:N", title=None, sort=list(counts)),
            color=alt.Color("source:N", legend=None),
            tooltip=["source:N", "rows:Q"],
        )
    )


def _lines(points: Points, unit: str) -> Any:
    if not points:
        return None
    several = len({point["kind"] for point in points}) > 1
    return (
        alt.Chart(alt.Data(values=points))
        .mark_line(interpolate="step", strokeWidth=1.5)
        .encode(
            x=alt.X(
                "seconds:Q",
                title="seconds since the first request",
                scale=alt.Scale(nice=False),
            ),
            y=alt.Y("value:Q", title=unit),
            color=alt.Color(
                "kind:N",
                title=None,
                legend=alt.Legend(orient="top") if several else None,
            ),
            tooltip=["kind:N", "seconds:Q", "value:Q"],
        )
    )


def _histogram(points: Points) -> Any:
    if not points:
        return None
    return (
        alt.Chart(alt.Data(values=points))
        .mark_bar(color=COLOURS[0])
        .encode(
            x=alt.X(
                "from:Q",
                title="seconds",
                scale=alt.Scale(type="log", nice=False),
                axis=alt.Axis(format="~s", tickCount=6),
            ),
            x2="to:Q",
            y=alt.Y("answers:Q", title="answers"),
            y2=alt.Y2(datum=0),
            tooltip=["from:Q", "to:Q", "answers:Q"],
        )
    )


def _style(chart: Any) -> dict[str, Any]:
    """Return the specification in the colour of the page's text, which is readable in dark mode too."""
    text: dict[str, Any] = {"labelColor": "currentColor", "titleColor": "currentColor"}
    chart = chart.properties(
        width="container", height=HEIGHT, background="transparent"
    ).configure_view(stroke=None)
    chart = chart.configure_axis(
        **text,
        domainColor="currentColor",
        tickColor="currentColor",
        gridColor="currentColor",
        gridOpacity=0.15,
    )
    chart = chart.configure_legend(**text).configure_range(category=COLOURS)
    spec: dict[str, Any] = chart.to_dict()
    return spec
