"""ai_gen: sends the user's prompt to the default model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiquery.functions.arguments import COMMON
from aiquery.functions.call import ChatFunction, ChatSpec
from aiquery.functions.chat_parsers import TidyTextParser
from aiquery.interfaces import Example, Parameter
from aiquery.requests.request import Prompt

if TYPE_CHECKING:
    from aiquery.functions.call import Row

PROMPT = Prompt(system="", user="{prompt}")


def _build_content(row: Row) -> dict[str, object]:
    return {"prompt": row[0]}


class Gen(ChatFunction):
    """``ai_gen(prompt)``: the model's answer to a prompt.

    The prompt is sent unchanged. ``ai_query`` also takes a return type, a schema, model parameters
    and images. A NULL prompt gives NULL without a request.
    """

    name = "ai_gen"
    parameters = (
        Parameter(
            "prompt",
            "column",
            required=True,
            doc="the prompt; NULL gives NULL without a request",
        ),
        *COMMON,
    )
    spec = ChatSpec(
        prompt=PROMPT, parser=TidyTextParser(), build_content=_build_content
    )
    examples = (
        Example(
            "SELECT ai_gen('Name a colour of the rainbow.') AS answer",
            "Green",
            reply="Green",
        ),
    )


AI_GEN = Gen()
