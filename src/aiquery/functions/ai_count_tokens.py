"""ai_count_tokens: counts the tokens of a text for a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.errors import InvalidResponse
from aiquery.functions.arguments import (
    FAIL_ON_ERROR,
    ON_BUDGET,
    REQUIRED_ENDPOINT,
    find_endpoint,
    read_on_budget,
    read_on_error,
)
from aiquery.functions.call import BaseCall, build_plain_template
from aiquery.interfaces import Example, Parameter
from aiquery.requests.sql_types import SQLType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.config.settings import Config
    from aiquery.requests.request import Request, Response

INT = SQLType("INT")


class TokenCountParser:
    """Returns the number of tokens of a response."""

    def read(self, response: Response, request: Request) -> int:  # noqa: ARG002
        """Return the number. Raises ``InvalidResponse``."""
        if not isinstance(response.value, int):
            raise InvalidResponse(
                f"the endpoint returned {response.value!r}, which is not a number of tokens"
            )
        return response.value


class CountTokens:
    """``ai_count_tokens(endpoint, text)``: the number of tokens of a text for the endpoint's model.

    The tokens of a chat template do not count. A model in the process uses its own tokenizer. A
    server gets a request to ``/tokenize``, which vLLM, SGLang and llama.cpp support; a row fails if
    the server has no such path, because an estimate would not be a count. No model runs, and no
    cost arises. A NULL text gives NULL without a request.
    """

    name = "ai_count_tokens"
    returns = "INT"
    parameters = (
        REQUIRED_ENDPOINT,
        Parameter(
            "text",
            "column",
            required=True,
            doc="the text; NULL gives NULL without a request",
        ),
        FAIL_ON_ERROR,
        ON_BUDGET,
    )
    examples = (
        Example("SELECT ai_count_tokens('fake:any', 'Hello world') AS tokens", "3"),
    )

    def bind(self, arguments: Mapping[str, Any], config: Config) -> BaseCall:
        """Return the call. Raises ``ArgumentError`` or ``ConfigError``."""
        endpoint = find_endpoint(self.name, arguments.get("endpoint"), config)
        template = build_plain_template(
            self.name,
            endpoint,
            TokenCountParser(),
            "tokens",
            answer_type=INT,
            counts=True,
        )
        return BaseCall(
            template=template,
            endpoint=endpoint,
            answer_type=INT,
            on_error=read_on_error(self.name, arguments),
            on_budget=read_on_budget(self.name, arguments),
            column_names=("text",),
        )


AI_COUNT_TOKENS = CountTokens()
