"""ai_summarize_agg: summarizes all texts of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.functions.ai_agg import TEXTS, Agg
from aiquery.functions.arguments import COMMON
from aiquery.interfaces import Example

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTRUCTION = (
    "Summarize the texts together in a few sentences: what they have in common first, then what stands out. Add "
    "nothing that is not in them."
)


class SummarizeAgg(Agg):
    """``ai_summarize_agg(content)``: one summary of all texts of a group. It is an aggregate.

    The number and length of the texts are not limited: a group that exceeds the model's context is
    summarized in several steps, as by ``ai_agg``. NULLs are ignored. A group without texts gives
    NULL without a request.
    """

    name = "ai_summarize_agg"
    parameters = (TEXTS, *COMMON)
    examples = (
        Example(
            """SELECT ai_summarize_agg(message) AS summary
FROM (VALUES ('The app crashes.'), ('It crashes on start.'), ('Nice colours!')) t(message)""",
            "The app crashes, mostly on start; one customer likes its colours.",
            reply="The app crashes, mostly on start; one customer likes its colours.",
        ),
    )

    def read_instruction(self, arguments: Mapping[str, Any]) -> str:
        """Return the fixed instruction."""
        del arguments
        return INSTRUCTION


AI_SUMMARIZE_AGG = SummarizeAgg()
