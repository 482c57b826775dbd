"""The three sockets, Provider, Function and Engine, and how what fits them is found: by entry point.

Built-ins use the same door as everybody else: one line in ``[project.entry-points]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    import pyarrow as pa

    from aiquery.config.budget import OnBudget
    from aiquery.config.endpoint import Endpoint
    from aiquery.config.environment import Credentials
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
    """Asks one endpoint. Made, used and closed on the run's loop.

    ``slots`` is how many requests at once make sense where the endpoint sets no ``max_concurrency``: of a ``remote``
    one to begin with, of a model in the process always. ``max_batch_size`` is how many texts go into one request of
    an embedding endpoint that does not say, ``context_window`` how many tokens a prompt and its answer may have where
    the
    endpoint does not say. ``rate_limits`` is what the endpoint last said of its limits.
    """

    slots: int
    context_window: int
    remote: bool
    max_batch_size: int
    rate_limits: RateLimits | None

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise a ``ConfigError`` for what can be known before the first call: a missing extra, an unreadable file."""

    @classmethod
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return the length of the endpoint's embeddings where it is known without asking, else None."""

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> Provider:
        """Make the client; load the model."""

    async def complete(self, request: Request) -> Response:
        """Ask once; raise a ``RowError`` that says whether another attempt may help. Cancellable at any await.

        To an embedding endpoint the content is a list of texts, and the response has a vector for each, in order.
        """

    async def count_tokens(self, request: Request) -> Response:
        """Return as ``value`` how many tokens the content has for the model, without those of a chat template."""

    async def close(self) -> None:
        """Release connections, threads and memory."""


@runtime_checkable
class Tokenizes(Protocol):
    """A provider that has the model's tokenizer in this process."""

    async def prompt_tokens(self, request: Request) -> int:
        """Return how many tokens the model reads for a request, those of its chat template included."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a function, in SQL spelling.

    A ``constant`` is known when the query is analysed; a ``column`` has a value per row, as has a ``value``, which is
    most often the same for all (in data frames a text is the value itself and not a column's name); a ``group`` has the
    rows of a group: the function is an aggregate.
    """

    name: str
    kind: Literal["constant", "column", "value", "group"]
    required: bool = False
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """What a function does, for its page of the documentation: run in the tests, with ``reply`` as the model's."""

    sql: str
    shows: str
    reply: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """The values of one batch: each distinct one once, and for each row which one it has (None: it asked nothing)."""

    values: list[Any] | pa.Array
    index: pa.Array


Rounds: TypeAlias = "Generator[list[Request], list[Outcome], ColumnValues]"
"""A call at work on one batch: it yields the requests of a round, is sent their outcomes, and ends with the values."""


class BoundCall(Protocol):
    """A function bound to its constants: columns in, requests out; outcomes in, values out."""

    template: RequestTemplate
    endpoint: Endpoint
    returns: SQLType
    strict: bool
    """Whether one failed request fails the query, so that what waits need not be asked."""
    on_budget: OnBudget | None
    """What happens to a row that the budget does not allow; None: what the configuration says."""
    null_value: object
    """The value of a row that asks nothing, None for NULL."""

    def rounds(self, columns: Sequence[pa.Array]) -> Rounds:
        """Ask about one batch: yield requests (a NULL row asks none), at least once, and return values of ``returns``.

        Raises the first row error where a failed row fails the query.
        """


class AIFunction(Protocol):
    """An AI function: its name in SQL, its parameters in order, what it returns, and how it binds to constants."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: str
    """The type of the column in words, e.g. ``STRING``."""
    examples: tuple[Example, ...]

    def bind(self, arguments: Mapping[str, Any], config: Config) -> BoundCall:
        """Check the constant arguments and return the call; raise an ``ArgumentError`` or a ``ConfigError``."""


class Engine(Protocol):
    """Where columns come from."""

    name: str

    def register(self, connection: Any, config: Config) -> None:
        """Give ``connection`` the functions."""

    def accepts(self, connection: Any) -> bool:
        """Say whether ``connection`` is one of this engine's, without importing the engine."""
