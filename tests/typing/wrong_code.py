"""Wrong calls. mypy and pyright must report each line that says so."""

from __future__ import annotations

import pyarrow as pa

import aiquery
from aiquery import functions

FRAME = pa.table({"message": ["hi"]})

aiquery.connect(budgets={"max_requests": 1})  # wrong
aiquery.connect(config=5)  # wrong
aiquery.update("t", "a = ai_query('m', s)", key="id", every=5)  # wrong
aiquery.update("t", "a = ai_query('m', s)")  # wrong
aiquery.register(5)  # wrong
aiquery.show_progress("nowhere")  # wrong
functions.classify(FRAME, "message", label=["a", "b"])  # wrong
functions.sentiment(FRAME, "message")  # wrong
aiquery.Embedding("m", defered=True)  # wrong
