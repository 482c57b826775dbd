"""``aiquery demo``: a real model in the process classifies, extracts from and summarises a table of tickets."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Annotated

import typer

from aiquery import config as configuration
from aiquery.cli.output import console, errors, write

STEPS = {
    "classify": """
CREATE OR REPLACE TABLE classified AS
SELECT ticket_id, ai_classify(message, ['positive', 'negative', 'neutral'], endpoint => '{endpoint}') AS sentiment
FROM tickets""",
    "extract": """
CREATE OR REPLACE TABLE extracted AS
SELECT ticket_id, ai_query('{endpoint}',
         'Which topic and which product area is this message about? One or two words each. Message: ' || message,
         returnType => 'STRUCT<topic: STRING, area: STRING>', failOnError => false,
         modelParameters => {{'max_tokens': 60}}).result AS facts
FROM tickets""",
    "summarise": """
CREATE OR REPLACE TABLE summarised AS
SELECT ticket_id, ai_summarize(message, 8, endpoint => '{endpoint}') AS summary
FROM tickets""",
}
RESULT = """
SELECT ticket_id, sentiment, facts.topic AS topic, facts.area AS area, summary
FROM classified JOIN extracted USING (ticket_id) JOIN summarised USING (ticket_id) ORDER BY ticket_id"""


def demo(
    endpoint: Annotated[
        str | None, typer.Option(help="Another endpoint than the default local model.")
    ] = None,
) -> None:
    """Classify, extract from and summarise a packaged table of tickets on the local model: no key, no server."""
    from aiquery.engines.duckdb.connection import connect
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
            write(result, "table", None)
        errors().print(
            "These are the words of a 135-million-parameter model: real, fast, and not clever."
        )
