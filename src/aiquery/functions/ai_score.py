"""ai_score: rates a text on a scale that the prompt describes."""

from __future__ import annotations

from aiquery.functions.arguments import COMMON
from aiquery.functions.call import ChatFunction, ChatSpec
from aiquery.interfaces import Example, Parameter
from aiquery.requests.parsing import TypedParser
from aiquery.requests.request import Prompt
from aiquery.requests.sql_types import SQLType

DOUBLE = SQLType("DOUBLE")
PROMPT = Prompt(
    system=(
        "You rate what you are given, on the scale that the message describes; without one from 1 to 10. First "
        "decide what the lowest and the highest rating would look like, then reply with one number."
    ),
)
PARSER = TypedParser(DOUBLE)


class Score(ChatFunction):
    """``ai_score(prompt)``: a rating of a text by a scale in plain words, a DOUBLE.

    The prompt says what is rated and how, and contains the text: ``ai_score('Rate the anger from 1 to 10: ' ||
    message)``. It is meant for ORDER BY, as BigQuery's ``AI.SCORE``. How well a document answers a question is
    ``ai_rerank``. A NULL prompt gives NULL without a request.
    """

    name = "ai_score"
    returns = "DOUBLE"
    parameters = (
        Parameter(
            "prompt",
            "column",
            required=True,
            doc="the scale and the text; NULL gives NULL without a request",
        ),
        *COMMON,
    )
    spec = ChatSpec(
        prompt=PROMPT,
        parser=PARSER,
        answer_type=DOUBLE,
        response_format=PARSER.build_response_format(),
    )
    examples = (
        Example(
            "SELECT ai_score('Rate the anger from 1 to 10: ' || 'I was charged twice!') AS anger",
            "8.0",
            reply='{"result": 8}',
        ),
    )


AI_SCORE = Score()
