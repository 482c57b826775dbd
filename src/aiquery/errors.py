"""The errors of aiquery, and the effect of each on its row and its statement.

::

    AIQueryError
    ├── ConfigError                 the configuration cannot be used           nothing was sent
    │   ├── UnknownEndpoint         no endpoint has that name                  nothing was sent
    │   ├── MissingKey              the key's variable is not set              nothing was sent
    │   ├── MissingExtra            a library is not installed                 nothing was sent
    │   └── ModelFileError          the model file cannot be loaded            nothing was sent
    ├── ArgumentError               an argument of a function is wrong         nothing was sent
    │   ├── InvalidMaxWords
    │   ├── InvalidModelParameters
    │   ├── UnsupportedResponseFormat
    │   └── UnsupportedReturnType
    ├── StatementError              the SQL text does not parse                nothing was sent
    ├── DatabaseError               the database of an update raised an error  committed rows stay
    ├── ConnectionInUse             two threads use one connection             nothing was sent
    ├── StoreFailed                 a cache or run store cannot be used        answers stay in memory
    ├── CoordinatorLost             a cluster's limits cannot be reached       answers so far are cached
    ├── Cancelled                   the statement was interrupted              answers so far are cached
    ├── BudgetReached               the next attempt could exceed the budget   answers so far are cached
    └── RowError                    ends one row: NULL, errorMessage, or the statement if failOnError
        ├── RequestFailed           the endpoint could not be reached, or rejected the request
        │   └── UnsupportedFeature  the model does not take a parameter; the request is sent again without it
        ├── InvalidResponse         the reply does not contain an answer
        └── ReplyParseError         the model's text does not have the requested form

Only a ``RowError`` may be retried (``retryable``) or become a value of a column. An error ends the statement before a
request is sent, unless the tree says that answers so far are cached. Error classes and SQLSTATEs are those of
Databricks where one exists.
"""

from __future__ import annotations

from typing import ClassVar, Self, TypeVar

from aiquery.limits import MAX_ERROR_TEXT
from aiquery.outgoing_text import clean_text
from aiquery.secrets import hide_secrets, longest_secret


def excerpt(text: str) -> str:
    """Return the beginning of ``text`` on one line, without secrets, short enough for an error message."""
    # A secret that is cut would not be recognized: what follows the last whole one is not shown.
    reserve = longest_secret()
    window = 4 * MAX_ERROR_TEXT + reserve
    shown = hide_secrets(text[:window])
    while window < len(text) and len(shown) <= MAX_ERROR_TEXT + reserve:
        window *= 4
        shown = hide_secrets(text[:window])
    line = " ".join(shown[: MAX_ERROR_TEXT + 1].split())
    return line if len(text) <= MAX_ERROR_TEXT else f"{line[:MAX_ERROR_TEXT]}…"


ErrorType = TypeVar("ErrorType", bound="AIQueryError")


class AIQueryError(Exception):
    """Any error of aiquery; its text starts with the error class and ends with the SQLSTATE where there is one."""

    error_class: ClassVar[str | None] = None
    sqlstate: ClassVar[str | None] = None

    def __init__(self, message: str) -> None:
        """``message`` names the problem and the fix. Secrets in it are replaced."""
        self.message = message
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The text without class and SQLSTATE. It holds no secret and no control character."""
        return self._message

    @message.setter
    def message(self, text: str) -> None:
        self._message = clean_text(text)

    def __str__(self) -> str:
        """Return ``[CLASS] message SQLSTATE: state``, as Databricks prints it."""
        if self.error_class is None:
            return self.message
        state = f" SQLSTATE: {self.sqlstate}" if self.sqlstate else ""
        return f"[{self.error_class}] {self.message}{state}"


def copy_error(error: ErrorType) -> ErrorType:
    """Return a copy of an error without its traceback.

    The error of a request is raised once for each statement that waits for it, perhaps in several threads. The
    traceback of a shared object would grow, and would hold the frames of every statement.
    """
    copy = error.__class__.__new__(error.__class__)
    copy.args = error.args
    copy.__dict__.update(error.__dict__)
    return copy


class ConfigError(AIQueryError):
    """The configuration cannot be used; the message names the file, the setting and the fix."""


class UnknownEndpoint(ConfigError):
    """No endpoint of that name is configured; the message names the nearest ones."""

    error_class = "REMOTE_FUNCTION_HTTP_FAILED_ERROR"
    sqlstate = "57012"


class MissingKey(ConfigError):
    """The environment variable that should hold an endpoint's key is not set."""


class MissingExtra(ConfigError):
    """A library that an endpoint needs is not installed; the message is the install line."""


class ModelFileError(ConfigError):
    """A model file is missing, is not GGUF, or cannot be loaded."""


class ArgumentError(AIQueryError):
    """An argument of a function is missing, not constant, or of the wrong type."""


class InvalidMaxWords(ArgumentError):
    """``max_words`` is negative, or is not an integer."""

    error_class = "AI_FUNCTION_INVALID_MAX_WORDS"
    sqlstate = "22032"


class InvalidModelParameters(ArgumentError):
    """A model parameter is reserved, of the wrong type, or out of range."""

    error_class = "AI_FUNCTION_INVALID_MODEL_PARAMETERS"
    sqlstate = "22023"


class UnsupportedResponseFormat(ArgumentError):
    """``responseFormat`` is neither a known JSON form nor a DDL struct with one struct field."""

    error_class = "AI_FUNCTION_UNSUPPORTED_RESPONSE_FORMAT"
    sqlstate = "0A000"


class UnsupportedReturnType(ArgumentError):
    """``returnType`` is not a type that a reply can be parsed into."""

    error_class = "AI_FUNCTION_UNSUPPORTED_RETURN_TYPE"
    sqlstate = "0A000"


class StatementError(AIQueryError):
    """The SQL text does not parse; the message shows the position."""


class ConnectionInUse(AIQueryError):
    """Another thread is running a statement on the same connection; each thread needs a cursor of its own."""


class DatabaseError(AIQueryError):
    """A database that ``aiquery.update`` reads or writes raised an error; the message is the database's."""


class CoordinatorLost(AIQueryError):
    """The coordinator, which enforces the limits of a cluster, cannot be reached."""

    def __init__(self, host: str, port: int, why: str) -> None:
        """``why`` is the error of the operating system."""
        super().__init__(
            f"the coordinator of the limits at {host}:{port} cannot be reached: {why}. Open the port between "
            "executors and driver (spark.aiquery.coordinator.port sets it, spark.driver.host the name), or set "
            "spark.aiquery.coordinator = off: then each Python worker enforces the limits separately."
        )


class StoreFailed(AIQueryError):
    """A cache or run store cannot be used: corrupt, locked, full, unreachable. The text says why and what to do."""


class Cancelled(AIQueryError):
    """The statement was interrupted; answers received so far are in the cache."""


class BudgetReached(AIQueryError):
    """The next attempt could exceed the budget; the message has the cost so far and the number of requests left."""


class RowError(AIQueryError):
    """One row failed; other rows are not affected.

    retryable       another attempt may succeed
    wait_s          seconds to wait before it, as the endpoint asked
    status          the HTTP status; None if there was none
    throttled       the endpoint takes no request now (busy or unreachable); the request itself is not the cause
    unavailable     throttled, or a proxy has no server behind it, or the connection broke
    too_long        the text exceeds the model's limit; about this share of it (0 to 1) fits
    gives_up_after  after N such errors in a row, with no answer between them, every request would fail likewise;
                    None: the error concerns this request only
    sendable_again  the server may not have read the request: a reused connection was closed, or none was accepted
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        wait_s: float | None = None,
        status: int | None = None,
        throttled: bool = False,
        unavailable: bool = False,
        too_long: float | None = None,
    ) -> None:
        """``message`` is for the user; the other values are described in the class."""
        super().__init__(message)
        self.throttled = throttled
        self.unavailable = throttled or unavailable
        self.too_long = too_long
        self.gives_up_after: int | None = None
        self.sendable_again = False
        self.retryable = retryable
        self.wait_s = wait_s
        self.status = status

    def mark_fatal(self, gives_up_after: int = 3) -> Self:
        """Set ``gives_up_after``: after that many such errors in a row every request would fail likewise."""
        self.gives_up_after = gives_up_after
        return self


class RequestFailed(RowError):
    """The endpoint could not be reached, timed out, or answered with an HTTP error."""

    error_class = "AI_FUNCTION_HTTP_REQUEST_ERROR"
    sqlstate = "08000"
    parameter: str = ""
    """The parameter of the request that the endpoint names as the cause; empty if it names none."""


class UnsupportedFeature(RequestFailed):
    """The model does not take a feature of the request, such as a parameter. It is sent again without it."""

    def __init__(self, message: str, feature: str, status: int | None) -> None:
        """``feature`` is its name, ``message`` what the endpoint said."""
        super().__init__(message, status=status)
        self.feature = feature


class InvalidResponse(RowError):
    """The reply does not contain an answer: no choices, an error object, a refusal of the model, a filtered reply."""

    error_class = "AI_FUNCTION_INVALID_HTTP_RESPONSE"
    sqlstate = "08000"


class ReplyParseError(RowError):
    """The model's reply does not parse into the return type or violates the schema, after one repair attempt."""

    error_class = "AI_FUNCTION_HTTP_PARSE_CAST_ERROR"
    sqlstate = "2203G"

    def __init__(self, message: str, *, repairable: bool = True) -> None:
        """``repairable``: the model may succeed if it sees its reply and the problem."""
        super().__init__(message)
        self.repairable = repairable
