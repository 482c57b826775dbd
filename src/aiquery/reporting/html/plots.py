"""The plots of a report, through Altair: each a specification that Vega draws in the page."""

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
    from aiquery.reporting.html.timeseries import Points, Series
    from aiquery.tracking.record import RunRecord

COLOURS = ["#4c78a8", "#f58518", "#54a24b", "#e45756", "#b279a2", "#72b7b2"]
"""Vega's own, which can be told apart on white and on black."""

HEIGHT = 170


def script() -> str:
    """Return Vega as one script without imports, which defines ``vegaEmbed``."""
    javascript_bundle: Any = vl_convert.javascript_bundle  # its stub is behind
    bundle: str = javascript_bundle()
    return bundle


def plots(kept: RunRecord, series: Series | None) -> dict[str, dict[str, Any]]:
    """Return the specification of each plot by its title; what there is nothing of is left out."""
    found = {"Where the rows' values came from": _sources(kept)}
    if series is not None:
        found |= {
            "Answers per second": _lines(series.throughput(), "answers/s"),
            "Requests in flight": _lines(series.in_flight(), "requests"),
            "Latency of answers": _histogram(series.latencies()),
            "Tokens per second": _lines(series.tokens(), "tokens/s"),
            "Cost so far": _lines(series.cost(), "USD")
            if kept.progress.cost_usd is not None
            else None,
            "Attempts that went wrong": _lines(series.errors(), "attempts"),
        }
    return {
        title: _styled(chart) for title, chart in found.items() if chart is not None
    }


def _sources(kept: RunRecord) -> Any:
    p = kept.progress
    counts = {
        "requests": p.requests,
        "cache hits": p.cache_hits,
        "shared, or NULL": p.deduplicated,
    }
    data = alt.Data(
        values=[{"source": source, "rows": count} for source, count in counts.items()]
    )
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


def _styled(chart: Any) -> dict[str, Any]:
    """Return the specification in the colour of the page's text, so that it is right in the dark too."""
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
