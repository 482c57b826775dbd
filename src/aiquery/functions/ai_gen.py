"""ai_gen: the user's own prompt, asked of the default model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.functions.arguments import COMMON
from aiquery.functions.call import ChatFunction, ChatSpec
from aiquery.functions.replies import TidyText
from aiquery.interfaces import Example, Parameter
from aiquery.requests.request import Prompt

if TYPE_CHECKING:
    from collections.abc import Mapping

PROMPT = Prompt(system="", user="{prompt}")


class Gen(ChatFunction):
    """``ai_gen(prompt)``: what the model answers to a prompt.

    The prompt is sent as it is. For types, schemas, parameters or images use ``ai_query``.
    """

    name = "ai_gen"
    parameters = (
        Parameter(
            "prompt", "column", required=True, doc="the prompt; NULL: NULL, and no call"
        ),
        *COMMON,
    )
    examples = (
        Example(
            "SELECT ai_gen('Name a colour of the rainbow.') AS answer",
            "Green",
            reply="Green",
        ),
    )

    def ask(self, arguments: Mapping[str, Any]) -> ChatSpec:
        """Nothing to check."""
        del arguments
        return ChatSpec(PROMPT, TidyText(), prepare=lambda row: {"prompt": row[0]})


AI_GEN = Gen()
