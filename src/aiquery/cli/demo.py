"""``aiquery demo``: a real model in the process classifies, extracts from and summarises a table of tickets."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from aiquery import config as configuration
from aiquery.cli.output import console, to_cells

if TYPE_CHECKING:
    import duckdb

STEPS = {
    "classify": """
CREATE OR REPLACE TABLE classified AS
SELECT ticket_id, ai_analyze_sentiment(message, endpoint => '{endpoint}') AS sentiment,
       ai_classify(message, ['invoice', 'app', 'delivery', 'account', 'support agent'],
                   endpoint => '{endpoint}') AS topic
FROM tickets""",
    "summarise": """
CREATE OR REPLACE TABLE summarised AS
SELECT ticket_id, ai_summarize(message, 10, endpoint => '{endpoint}') AS summary
FROM tickets""",
}
RESULT = """
SELECT ticket_id AS id, message, sentiment, topic, summary
FROM tickets JOIN classified USING (ticket_id) JOIN summarised USING (ticket_id) ORDER BY ticket_id"""


WIDTH = 120
"""Columns of the table at most, also in a pipe: a long text goes on in the next line."""

CLOSING = """
How good is this? Sentiments and topics are chosen by the similarity of texts: on our test texts 8 of 10 sentiments and
9 of 10 intents of a bank are right (docs/quality.md). The summaries are the words of a model with 135 million
parameters: good for trying, not for work. One line takes a better one, for all functions or for one call:

    aiquery demo --endpoint local:qwen2.5-1.5b-instruct        # in the process, 1.1 GB; see: aiquery models
    aiquery demo --endpoint openai:gpt-5-mini                  # a server, with its key in OPENAI_API_KEY"""


def demo(
    endpoint: Annotated[
        str | None, typer.Option(help="Another endpoint than the default local model.")
    ] = None,
) -> None:
    """Classify, extract from and summarise a packaged table of tickets on the local model: no key, no server."""
    from aiquery.engines.duckdb.connect import connect
    from aiquery.tracking.active import last_run

    # A cached answer would show nothing of the model.
    config = configuration.load().without_cache()
    name = endpoint or config.defaults.chat
    out = console()
    with (
        connect(config=config) as con,
        as_file(files("aiquery.data") / "tickets.csv") as tickets,
    ):
        con.execute(f"CREATE TABLE tickets AS FROM read_csv('{tickets}')")
        out.print(
            f"Asking {name}. The first answer takes a moment: the model is being loaded."
        )
        for step, text in STEPS.items():
            statement = text.format(endpoint=name).strip()
            out.print(f"\n{statement};", style="dim", highlight=False, markup=False)
            con.sql(statement)
            out.print(f"  {step}: {last_run()}", highlight=False, markup=False)
        result = con.sql(RESULT)
        if result is not None:
            out.print(_build_table(result))
        out.print(CLOSING, highlight=False, markup=False)


def _build_table(result: duckdb.DuckDBPyRelation) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", width=WIDTH - 1)
    for name in result.columns:
        is_long = name in {"message", "summary"}
        table.add_column(name, ratio=1 if is_long else None, overflow="fold")
    for row in result.fetchall():
        table.add_row(*to_cells(row))
    return table
