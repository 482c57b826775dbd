"""Export runs to OpenTelemetry: a span per run and attempt, tokens and durations as metrics, by the GenAI conventions.

Only the API package is used; the program sets up the providers. Without a provider nothing is recorded. Names and
buckets: https://opentelemetry.io/docs/specs/semconv/gen-ai/ (1.37 and later).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry import context, metrics, trace

from aiquery.config.endpoint import Endpoint
from aiquery.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiquery.tracking.attempts import Attempt, Block
    from aiquery.tracking.record import RunIds, RunRecord

TOKEN_BUCKETS = [4**i for i in range(14)]
SECOND_BUCKETS = [0.01 * 2**i for i in range(14)]
HTTP_ERROR = 400
COUNTS = ("rows", "requests", "cache_hits", "failed", "attempts")
"""The figures of a run that its span has as attributes."""

MAX_SPANS = 1000
"""Runs whose spans are held; those that have ended, for attempts that are reported late."""

_OPERATIONS = {"chat": "chat", "embedding": "embeddings", "custom": "generate_content"}
_contexts: dict[str, context.Context] = {}


def remember_context(run: str) -> None:
    """Remember the current context of the program: the span of the run becomes a part of it."""
    if has_provider():
        _contexts[run] = context.get_current()


def has_provider() -> bool:
    """Return True if the program has set up a provider of spans or metrics."""
    spans = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    return spans or not type(metrics.get_meter_provider()).__name__.startswith("_Proxy")


class RunExporter:
    """Exports what a run store writes. Used on one thread."""

    def __init__(self, endpoint: Callable[[str], Endpoint]) -> None:
        """``endpoint`` returns an endpoint of the configuration by its name. Raises ``ConfigError``."""
        self._endpoint = endpoint
        self._tracer = trace.get_tracer("aiquery")
        meter = metrics.get_meter("aiquery")
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens of an attempt",
            explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
        )
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Time of an attempt",
            explicit_bucket_boundaries_advisory=SECOND_BUCKETS,
        )
        self._spans: OrderedDict[str, trace.Span] = OrderedDict()
        self._known: dict[str, dict[str, Any]] = {}

    def export(
        self, runs: Sequence[RunRecord], attempts: Sequence[Block], run_ids: RunIds
    ) -> None:
        """Record new attempts in the spans of their runs, and end the spans of runs that have ended."""
        if not has_provider():
            return
        for record in runs:
            if record.progress.run not in self._spans:
                self._begin(record)
                if len(self._spans) > MAX_SPANS:
                    self._spans.popitem(last=False)
        for block in attempts:
            for attempt in block.attempts():
                self._record(
                    attempt, self._spans.get(run_ids.get(attempt.run_number, ""))
                )
        for record in runs:
            span = self._spans.get(record.progress.run)
            if span is None or record.progress.state == "running":
                continue
            # A span ends once; cancelled attempts may be reported later.
            if span.is_recording():
                _end(span, record)

    def _begin(self, record: RunRecord) -> None:
        p = record.progress
        attributes = {"aiquery.run": p.run, "aiquery.engine": p.engine}
        if p.statement:
            attributes["db.query.text"] = p.statement
        self._spans[p.run] = self._tracer.start_span(
            f"aiquery {p.engine}",
            _contexts.pop(p.run, None),
            attributes=attributes,
            start_time=_ns(p.started_at),
        )

    def _record(self, attempt: Attempt, parent: trace.Span | None) -> None:
        about = self._about(attempt.endpoint)
        if attempt.error:
            is_http_error = attempt.status >= HTTP_ERROR
            error_type = str(attempt.status) if is_http_error else attempt.error
            about = {**about, "error.type": error_type}
        within = None if parent is None else trace.set_span_in_context(parent)
        name = f"{about['gen_ai.operation.name']} {about['gen_ai.request.model']}"
        usage = attempt.usage
        details = {
            **about,
            "gen_ai.usage.input_tokens": usage.tokens_in,
            "gen_ai.usage.cache_read.input_tokens": usage.tokens_cached,
            "gen_ai.usage.output_tokens": usage.tokens_out,
            "aiquery.config.endpoint": attempt.endpoint,
            "aiquery.function": attempt.function,
            "aiquery.ending": attempt.ending,
        }
        span = self._tracer.start_span(
            name,
            within,
            trace.SpanKind.CLIENT,
            attributes=details,
            start_time=_ns(attempt.started_at),
        )
        if attempt.error:
            span.set_status(trace.StatusCode.ERROR, attempt.error)
        span.end(_ns(attempt.started_at + attempt.latency_s))
        self._duration.record(attempt.latency_s, about)
        for kind, tokens in (("input", usage.tokens_in), ("output", usage.tokens_out)):
            if tokens:
                self._tokens.record(tokens, {**about, "gen_ai.token.type": kind})

    def _about(self, name: str) -> dict[str, Any]:
        if name not in self._known:
            try:
                endpoint = self._endpoint(name)
            except ConfigError:
                endpoint = Endpoint(name=name, model=name)
            address = urlsplit(endpoint.base_url or "")
            about: dict[str, Any] = {
                "gen_ai.operation.name": _OPERATIONS[endpoint.task],
                "gen_ai.provider.name": endpoint.provider,
                "gen_ai.request.model": endpoint.model,
            }
            if address.hostname:
                about["server.address"] = address.hostname
            if address.port:
                about["server.port"] = address.port
            self._known[name] = about
        return self._known[name]


def _end(span: trace.Span, record: RunRecord) -> None:
    p = record.progress
    span.set_attributes({f"aiquery.{name}": getattr(p, name) for name in COUNTS})
    if record.error:
        span.set_attribute("error.type", record.error.partition(":")[0])
        span.set_status(trace.StatusCode.ERROR, record.error)
    span.end(_ns(p.started_at + p.seconds))


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
