"""What can go wrong, and what then happens to the row and to the query.

::

    AIQueryError
    ├── ConfigError                 the configuration cannot be used         nothing was asked
    │   ├── UnknownEndpoint         no endpoint of that name                 nothing was asked
    │   ├── MissingKey              the key's variable is not set            nothing was asked
    │   ├── MissingExtra            a library is not installed               nothing was asked
    │   └── ModelFileError          the model file cannot be loaded          nothing was asked
    ├── ArgumentError               an argument of a function is wrong       nothing was asked
    │   ├── InvalidMaxWords
    │   ├── InvalidModelParameters
    │   ├── UnsupportedResponseFormat
    │   └── UnsupportedReturnType
    ├── StatementError              the SQL text does not parse              nothing was asked
    ├── DatabaseError               the database of an update said no        what was committed stays
    ├── ConnectionInUse             two threads use one connection           nothing was asked
    ├── StoreFailed                 a cache or run store cannot be used      answers stay in memory
    ├── CoordinatorLost             a cluster's limits cannot be reached     what was answered is kept
    ├── Cancelled                   the statement was interrupted            what was answered is kept
    ├── BudgetReached               the next call could exceed the budget    what was answered is kept
    └── RowError                    ends one row: NULL, errorMessage, or the query if failOnError
        ├── RequestFailed           the endpoint could not or would not answer
        ├── InvalidResponse         it answered with something that is no answer
        └── ReplyParseError         the model's text is not what was asked for

The class decides: only a ``RowError`` may be retried (``retryable``) or become a value of a column; everything else
stops the statement before a call is made. Error classes and SQLSTATEs are those of Databricks where one exists.
"""

from __future__ import annotations

from typing import ClassVar, Self, TypeVar

EXCERPT = 200
"""Request or reply text in an error is cut to this many characters."""


def excerpt(text: str) -> str:
    """Cut ``text`` to what may stand in an error message, on one line."""
    line = " ".join(text[: EXCERPT + 1].split())
    return line if len(text) <= EXCERPT else f"{line[:EXCERPT]}…"


ErrorType = TypeVar("ErrorType", bound="AIQueryError")


class AIQueryError(Exception):
    """Any error of aiquery; its text starts with the error class and ends with the SQLSTATE where there is one."""

    error_class: ClassVar[str | None] = None
    sqlstate: ClassVar[str | None] = None

    def __init__(self, message: str) -> None:
        """``message`` names what was wrong and what to do; it never holds a secret."""
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        """``[CLASS] message SQLSTATE: state``, as Databricks prints it."""
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
    """``max_words`` is negative or no integer."""

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
    """A database that ``aiquery.update`` reads or writes said no; the message is what it said."""


class CoordinatorLost(AIQueryError):
    """The process beside the driver that keeps the limits of a cluster cannot be reached."""

    def __init__(self, host: str, port: int, why: str) -> None:
        """``why`` is what the system said."""
        super().__init__(
            f"the coordinator of the limits at {host}:{port} cannot be reached: {why}. Open the port between "
            "executors and driver (spark.aiquery.coordinator.port sets it, spark.driver.host the name), or set "
            "spark.aiquery.coordinator = off: then each Python worker keeps the limits by itself."
        )


class StoreFailed(AIQueryError):
    """A cache or run store cannot be used: corrupt, locked, full, unreachable. The text says why and what to do."""


class Cancelled(AIQueryError):
    """The statement was interrupted; answers received so far are in the cache."""


class BudgetReached(AIQueryError):
    """The next call could exceed the budget of the run; the message says what was spent and what is left to ask."""


class RowError(AIQueryError):
    """One row failed; the others are untouched.

    retryable      another attempt may end better
    wait_s         seconds that the endpoint asked us to wait
    status         the HTTP status where there was one
    throttled      the endpoint takes no request at all right now (busy, or not reachable): this one is not to blame
    unavailable    throttled, or a proxy says that nobody answers, or the connection broke off
    too_long       the text exceeds what the model can take; about this share of it (0 to 1) would fit
    gives_up_after so many such errors in a row, with no answer between them, mean that every request would end so;
                   None: it is this request's own error
    sendable_again the request may not have reached anybody: a kept connection was closed, or none was accepted

    ``mark_fatal`` sets the last.
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
        """See the class."""
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
        """Say that every request would end so, once so many did in a row."""
        self.gives_up_after = gives_up_after
        return self


class RequestFailed(RowError):
    """The endpoint could not be reached, timed out, or answered with an HTTP error."""

    error_class = "AI_FUNCTION_HTTP_REQUEST_ERROR"
    sqlstate = "08000"


class InvalidResponse(RowError):
    """The endpoint answered, but not with an answer: no choices, an error object, a refusal, a filtered reply."""

    error_class = "AI_FUNCTION_INVALID_HTTP_RESPONSE"
    sqlstate = "08000"


class ReplyParseError(RowError):
    """The model's reply does not parse into the return type or violates the schema, after one repair attempt."""

    error_class = "AI_FUNCTION_HTTP_PARSE_CAST_ERROR"
    sqlstate = "2203G"

    def __init__(self, message: str, *, repairable: bool = True) -> None:
        """``repairable``: whether showing the model its own reply and the problem may help."""
        super().__init__(message)
        self.repairable = repairable
