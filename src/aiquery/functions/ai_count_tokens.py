"""ai_count_tokens: how many tokens a text has for a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.errors import InvalidResponse
from aiquery.functions.arguments import COMMON, errors_of, named_endpoint, on_budget_of
from aiquery.functions.call import BaseCall
from aiquery.interfaces import Example, Parameter
from aiquery.requests.request import RequestTemplate
from aiquery.requests.sql_types import SQLType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.config.settings import Config
    from aiquery.requests.request import Request, Response

INT = SQLType("INT")


class Count:
    """A number of tokens."""

    def read(self, response: Response, request: Request) -> int:  # noqa: ARG002  see ``ReplyParser``
        """See the class."""
        if not isinstance(response.value, int):
            raise InvalidResponse(
                f"the endpoint counted {response.value!r} tokens, which is no number"
            )
        return response.value


class CountTokens:
    """``ai_count_tokens(endpoint, text)``: how many tokens a text has for the endpoint's model, no chat template.

    Models in the process count with their own tokenizer; a server is asked at ``/tokenize``, as vLLM, SGLang and
    llama.cpp have it. Where there is none the row fails: a guess is no count. No model runs, and nothing is paid.
    """

    name = "ai_count_tokens"
    returns = "INT"
    parameters = (
        Parameter(
            "endpoint",
            "constant",
            required=True,
            doc="an endpoint's name, or vendor:model",
        ),
        Parameter(
            "text", "column", required=True, doc="the text; NULL: NULL, and no call"
        ),
        *COMMON[1:],
    )
    examples = (
        Example("SELECT ai_count_tokens('fake:any', 'Hello world') AS tokens", "3"),
    )

    def bind(self, arguments: Mapping[str, Any], config: Config) -> BaseCall:
        """See ``AIFunction.bind``."""
        endpoint = named_endpoint(self.name, arguments.get("endpoint"), config)
        return BaseCall(
            template=RequestTemplate(
                endpoint=endpoint.name,
                model=endpoint.model,
                parser=Count(),
                reply_type="tokens",
                address=endpoint.address(),
                counts=True,
                function=self.name,
            ),
            endpoint=endpoint,
            answer=INT,
            errors=errors_of(self.name, arguments),
            on_budget=on_budget_of(self.name, arguments),
            names=("text",),
        )


AI_COUNT_TOKENS = CountTokens()
