"""The extension points: Provider, AIFunction and Engine. ``registry`` finds them by entry point.

The built-in providers, functions and engines use the same extension points as plugins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    import pyarrow as pa

    from aiquery.config.budget import OnBudget
    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint
    from aiquery.config.settings import Config
    from aiquery.requests.request import (
        Outcome,
        RateLimits,
        Request,
        RequestTemplate,
        Response,
    )
    from aiquery.requests.sql_types import SQLType


class Provider(Protocol):
    """Sends requests to one endpoint. The client creates, uses and closes it on its event loop.

    A package registers a provider with one line of its ``pyproject.toml``. An endpoint whose
    setting ``provider`` is that name uses the class::

        [project.entry-points."aiquery.providers"]
        shout = "my_package:Shout"

    Attributes
    ----------
    slots
        Concurrency limit of an endpoint that sets no ``max_concurrency``: the fixed limit of a model in the
        process, the first limit of a remote endpoint.
    context_window
        Highest number of tokens of a prompt and its answer together, if the endpoint does not set it.
    remote
        True if requests leave the process. The client adapts the concurrency of a remote endpoint to its
        throughput.
    max_batch_size
        Highest number of texts in one embedding request, if the endpoint does not set it.
    rate_limits
        The limits that the last reply named; None: the endpoint names no limits.

    Examples
    --------
    >>> import asyncio
    >>> from aiquery.requests.parsing import TextParser
    >>> from aiquery.requests.request import Request, RequestTemplate, Response
    >>> class Shout:
    ...     slots = 8
    ...     context_window = 8192
    ...     remote = False
    ...     max_batch_size = 1
    ...     rate_limits = None
    ...
    ...     @classmethod
    ...     def check(cls, endpoint):
    ...         pass
    ...
    ...     @classmethod
    ...     def dimensions(cls, endpoint):
    ...         return None
    ...
    ...     @classmethod
    ...     async def open(cls, endpoint, credentials):
    ...         return cls()
    ...
    ...     async def complete(self, request):
    ...         return Response(text=str(request.content).upper())
    ...
    ...     async def count_tokens(self, request):
    ...         return Response(value=len(str(request.content).split()))
    ...
    ...     async def close(self):
    ...         pass
    >>> template = RequestTemplate(endpoint="m", model="m", parser=TextParser())
    >>> asyncio.run(Shout().complete(Request(template, "hello"))).text
    'HELLO'
    """

    slots: int
    context_window: int
    remote: bool
    max_batch_size: int

    @property
    def rate_limits(self) -> RateLimits | None:
        """The limits that the last reply named."""

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Check what can be checked before the first request, such as extras and model files.

        Raises ``ConfigError``.
        """

    @classmethod
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return the length of the endpoint's embeddings; None if only a reply shows it."""

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> Provider:
        """Return a provider that is ready for requests: connect, or load the model."""

    async def complete(self, request: Request) -> Response:
        """Make one attempt. Raises ``RowError``, which states whether another attempt may help.

        For an embedding endpoint ``request.content`` is a list of texts. The response then has one
        vector per text, in the same order. The attempt can be cancelled at every ``await``.
        """

    async def count_tokens(self, request: Request) -> Response:
        """Return the number of tokens of ``request.content`` as the ``value`` of the response.

        The tokens of a chat template do not count. Raises ``RowError``.
        """

    async def close(self) -> None:
        """Release connections, threads and memory."""


@runtime_checkable
class Tokenizes(Protocol):
    """A provider that has the model's tokenizer in this process."""

    async def count_prompt_tokens(self, request: Request) -> int:
        """Return the tokens that the model reads for a request, including its chat template."""


@runtime_checkable
class ScoresChoices(Protocol):
    """A provider that chooses one of a few values by their scores, and does not write it.

    It does so for requests whose template has a ``scoring``. The response then has the text that the
    model would have written, and a ``confidence``.
    """

    @classmethod
    def scoring(cls, endpoint: Endpoint) -> str:
        """Return how the endpoint chooses, with all that the choice depends on; "": the model writes the value."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of an AI function.

    Attributes
    ----------
    name
        Spelled as in SQL.
    kind
        Constant: known when the statement is analysed. column: one value per row. value: one value per row,
        usually the same for all rows; a text in a data frame call is the value itself and not the name of a
        column. group: the rows of a group, which makes the function an aggregate.
    required
        False: the argument may be missing or NULL.
    doc
        Its meaning, for the page of the function in the documentation.
    """

    name: str
    kind: Literal["constant", "column", "value", "group"]
    required: bool = False
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """A statement for the page of a function in the documentation, which a test runs.

    Attributes
    ----------
    sql
        The statement, in the dialect of Databricks.
    shows
        Its result as text.
    reply
        The reply of the model in the test; None: the test needs no reply.
    """

    sql: str
    shows: str
    reply: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """The values of one batch.

    values   each distinct value once
    index    for each row the position of its value; NULL for a row that sent no request
    """

    values: list[Any] | pa.Array
    index: pa.Array


Rounds: TypeAlias = "Generator[list[Request], list[Outcome], ColumnValues]"
"""The evaluation of one batch.

It yields the requests of a round, is sent their outcomes, and returns the values at the end.
"""


class BoundCall(Protocol):
    """An AI function bound to its constants. It turns columns into requests, outcomes into values.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from aiquery.config.settings import Config
    >>> from aiquery.functions.ai_gen import AI_GEN
    >>> from aiquery.requests.request import Outcome
    >>> call = AI_GEN.bind({"endpoint": "fake:m"}, Config())
    >>> rounds = call.rounds([pa.array(["Say hi.", None, "Say hi."])])
    >>> [request.content for request in next(rounds)]
    [{'prompt': 'Say hi.'}]
    >>> try:
    ...     rounds.send([Outcome("Hi!")])
    ... except StopIteration as end:
    ...     result = end.value
    >>> result.values, result.index.to_pylist()
    (['Hi!'], [0, None, 0])
    """

    template: RequestTemplate
    endpoint: Endpoint
    returns: SQLType
    """The type of the column."""
    strict: bool
    """True if one failed request fails the statement, so that waiting requests need not be sent."""
    on_budget: OnBudget | None
    """What happens to a row that the budget does not allow; None: the configuration decides."""
    null_value: object
    """The value of a row that sends no request; None: NULL."""

    def rounds(self, columns: Sequence[pa.Array]) -> Rounds:
        """Evaluate one batch: yield requests at least once, then return values of type ``returns``.

        A row with NULL sends no request. Raises the first ``RowError`` if a failed row fails the
        statement.
        """


class AIFunction(Protocol):
    """An AI function: name, parameters, return type, and how it binds to its constants.

    A package registers a function with one line of its ``pyproject.toml``. Its name is the name of
    the entry point::

        [project.entry-points."aiquery.functions"]
        ai_title = "my_package:AI_TITLE"

    Attributes
    ----------
    name
        The name in SQL.
    parameters
        In the order of SQL.
    returns
        The type of the column in words, e.g. ``STRING``.
    examples
        For its page in the documentation.

    Examples
    --------
    >>> from aiquery.config.settings import Config
    >>> from aiquery.functions.arguments import COMMON, CONTENT
    >>> from aiquery.functions.call import ChatFunction, ChatSpec
    >>> from aiquery.functions.chat_parsers import TidyTextParser
    >>> from aiquery.requests.request import Prompt
    >>> class Title(ChatFunction):
    ...     name = "ai_title"
    ...     parameters = (CONTENT, *COMMON)
    ...     examples = ()
    ...
    ...     def build_spec(self, arguments):
    ...         prompt = Prompt("Write a title for the text.")
    ...         return ChatSpec(prompt=prompt, parser=TidyTextParser())
    >>> call = Title().bind({"endpoint": "fake:m"}, Config())
    >>> call.returns.name
    'STRING'
    """

    name: str
    parameters: tuple[Parameter, ...]
    returns: str
    examples: tuple[Example, ...]

    def bind(self, arguments: Mapping[str, Any], config: Config) -> BoundCall:
        """Check the constant arguments and return the call.

        ``arguments`` are the constants by name; one that is missing is not in it, or is None.
        Raises ``ArgumentError`` or ``ConfigError``.
        """


class Engine(Protocol):
    """A database or data frame library that evaluates AI functions."""

    name: str

    def register(self, connection: Any, config: Config) -> None:
        """Register the AI functions with ``connection``."""

    def accepts(self, connection: Any) -> bool:
        """Return True if ``connection`` belongs to this engine. Does not import the engine."""
