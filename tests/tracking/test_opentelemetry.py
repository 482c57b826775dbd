"""OpenTelemetry: spans and metrics follow the GenAI conventions, and hold no text of a row."""

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import aiquery
from aiquery.testing import Answer


@pytest.fixture(scope="module")
def exporters():
    """The exporters of spans and metrics; the providers of a process can be set only once."""
    spans = InMemorySpanExporter()
    reader = InMemoryMetricReader()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))
    return spans, reader


def reply(question):
    if question.prompt.endswith("3"):
        return Answer(status=400, text=f"cannot read {question.prompt}")
    return Answer()


def run_statement(server, model):
    """Run a statement of five requests in a span of the program; one request fails."""
    config = {"endpoints": {"m": server.endpoint(model=model)}, "cache": {"store": "memory:"}}
    with trace.get_tracer("program").start_as_current_span("nightly"), aiquery.connect(config=config) as con:
        con.sql("SELECT ai_query('m', 'my private text ' || i, failOnError => false) FROM range(5) t(i) WHERE i < 4711")


def test_a_statement_is_a_span_and_its_attempts_are_child_spans(exporters, serve):
    spans, _ = exporters
    server = serve(reply)
    run_statement(server, "llama-3")
    finished = spans.get_finished_spans()
    by_name = {span.name: span for span in finished}
    attempts = [span for span in finished if span.name == "chat llama-3"]
    (statement,) = [s for s in finished if "4711" in s.attributes.get("db.query.text", "")]
    assert statement.parent.span_id == by_name["nightly"].context.span_id
    assert statement.attributes["aiquery.rows"] == 5
    assert statement.attributes["aiquery.failed"] == 1
    assert [span.parent.span_id for span in attempts] == [statement.context.span_id] * 5
    latest = statement.end_time + 10**9
    for span in attempts:
        assert statement.start_time <= span.start_time <= span.end_time <= latest
    (failed,) = [span for span in attempts if "error.type" in span.attributes]
    assert failed.attributes["error.type"] == "400"
    answered = next(span for span in attempts if "error.type" not in span.attributes)
    expected = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "llama-3",
        "server.address": "127.0.0.1", "aiquery.function": "ai_query", "aiquery.ending": "answered",
    }  # fmt: skip
    assert expected.items() <= dict(answered.attributes).items()
    tokens_in = [span.attributes["gen_ai.usage.input_tokens"] for span in attempts]
    assert sum(tokens_in) == server.usage["prompt_tokens"]
    assert "private" not in "".join(span.to_json() for span in finished)


def read_points(reader, model):
    """Return the data points of a model by the name of their metric."""
    metrics = [
        metric
        for resource in reader.get_metrics_data().resource_metrics
        for instrumentation in resource.scope_metrics
        for metric in instrumentation.metrics
    ]
    return {
        metric.name: [point for point in metric.data.data_points if point.attributes["gen_ai.request.model"] == model]
        for metric in metrics
    }


def test_tokens_and_durations_are_metrics_of_the_conventions(exporters, serve):
    _, reader = exporters
    server = serve(reply)
    run_statement(server, "llama-4")
    points = read_points(reader, "llama-4")
    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]}
    assert tokens == {"input": server.usage["prompt_tokens"], "output": server.usage["completion_tokens"]}
    durations = points["gen_ai.client.operation.duration"]
    assert sum(point.count for point in durations) == 5
    assert {point.attributes.get("error.type") for point in durations} == {None, "400"}
