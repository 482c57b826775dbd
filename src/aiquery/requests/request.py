"""The values that travel between functions, client and providers.

A ``RequestTemplate`` holds everything that the rows of one call share: the endpoint, its parameters
and the parser of its replies. A ``Request`` is a template and the content of one row. Equal
requests have equal keys; the client deduplicates by the key, and the cache stores answers under it.

The classes cannot form reference cycles, so the garbage collector need not traverse them
(``gc=False``). With tens of thousands of them alive, traversing costs 2 % of the throughput.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from aiquery.errors import RowError  # noqa: TC001  msgspec reads the annotation
from aiquery.requests.sql_types import STRING, SQLType

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_BYTES = 16
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

TEMPLATE_TOKENS = 200
"""An upper bound of the tokens that chat templates, roles and image frames add to a request."""

OBJECT_BYTES = 200
"""About how many bytes the Python objects of a request take besides its texts."""

MAX_TOKENS = 100_000_000
"""More tokens than one request, or one reply, can have."""

_USUAL_TOKENS = 20_000
"""A request with fewer tokens need not be measured."""

_LIMIT_NAMES = (
    "max_completion_tokens",
    "max_tokens",
    "max_output_tokens",
    "maxOutputTokens",
    "maxTokens",
)
_MAX_TOKENS_OUT = 1_000_000
"""More tokens than a model writes in one reply."""

Message: TypeAlias = dict[str, object]
Content: TypeAlias = str | list[Message] | list[str] | dict[str, object]
"""The content of one row.

str    one user message, or one text
list   a conversation, or the texts of an embedding request
dict   the values of a prompt's placeholders, or the record of a custom endpoint
"""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """The tokens of one attempt, as the endpoint reported them.

    tokens_in       of the request
    tokens_cached   of the request, from the endpoint's own cache; part of ``tokens_in``
    tokens_out      of the reply
    tokens_written  of the request, into the endpoint's cache, which some vendors bill; part of ``tokens_in``
    """

    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    tokens_written: int = 0

    @classmethod
    def from_reply(
        cls,
        tokens_in: int | None,
        tokens_cached: int | None = None,
        tokens_out: int | None = None,
        tokens_written: int | None = None,
    ) -> Usage:
        """Return the numbers of a reply. One that is missing, negative or impossible is 0.

        A negative number would extend a budget, and one of 20 digits fits into no store.
        """
        given = (tokens_in, tokens_cached, tokens_out, tokens_written)
        return cls(*(n if n is not None and 0 < n <= MAX_TOKENS else 0 for n in given))

    @classmethod
    def from_fresh(
        cls,
        fresh: int | None,
        tokens_cached: int | None,
        tokens_out: int | None,
        tokens_written: int | None,
    ) -> Usage:
        """Return the numbers of a reply whose input lacks what the cache had and what was written to it."""
        tokens_in = (fresh or 0) + (tokens_cached or 0) + (tokens_written or 0)
        return cls.from_reply(tokens_in, tokens_cached, tokens_out, tokens_written)

    def limit_to(self, request: Request) -> Usage:
        """Return the usage with no more tokens than the request can have.

        A number of a broken server would stop a statement with ``tokens_per_minute`` for days.
        """
        limit = max(request.max_tokens_in(), _USUAL_TOKENS)
        return Usage(
            min(self.tokens_in, limit),
            min(self.tokens_cached, limit),
            min(self.tokens_out, _MAX_TOKENS_OUT),
            min(self.tokens_written, limit),
        )

    def plus(self, other: Usage) -> Usage:
        """Return the tokens of both."""
        return Usage(
            self.tokens_in + other.tokens_in,
            self.tokens_cached + other.tokens_cached,
            self.tokens_out + other.tokens_out,
            self.tokens_written + other.tokens_written,
        )


class RateLimits(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """The limits that an endpoint names in a reply: per minute, and the rest of this minute.

    None: the reply does not name the limit.
    """

    requests_per_minute: float | None = None
    requests_left: float | None = None
    tokens_per_minute: float | None = None
    tokens_left: float | None = None


class Vector(msgspec.Struct, frozen=True, gc=False):
    """The embedding of one text.

    values      floats, or the base64 of little-endian 32-bit floats
    truncated   True if the text was longer than the model's limit and was cut there
    """

    values: str | list[float]
    truncated: bool = False


class Response(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """The reply of an endpoint, before it is parsed into a value.

    text        the reply of a chat endpoint
    vectors     the reply of an embedding endpoint: one per text, in the same order
    refusal     why there is no answer: the text of a refusal, or of a filter of the endpoint
    value       the reply of a custom endpoint, or a number of tokens
    usage       the tokens of the attempt
    truncated   True if the model stopped at the token limit
    repeats     True if it was stopped because it repeated itself; then it is truncated too
    scores      the reply of a rerank endpoint: one per document, in the same order
    confidence  the probability (0 to 1) of the reply, if it was chosen among a few values
    logprobs    the tokens of the text with their log-probabilities; None: not requested, or the
                endpoint returned none
    """

    text: str = ""
    refusal: str = ""
    vectors: list[Vector] | None = None
    scores: list[float] | None = None
    value: object = None
    usage: Usage = Usage()
    truncated: bool = False
    repeats: bool = False
    confidence: float | None = None
    logprobs: list[tuple[str, float]] | None = None

    def with_possible_usage(self, request: Request) -> Response:
        """Return the response with no more tokens than ``request`` and its reply can have."""
        if self.usage.tokens_in + self.usage.tokens_out <= _USUAL_TOKENS:
            return self
        usage = self.usage.limit_to(request)
        if usage == self.usage:
            return self
        return msgspec.structs.replace(self, usage=usage)

    def split(self) -> list[Response]:
        """Return one response per text or document of a batch."""
        if self.vectors is not None:
            return [msgspec.structs.replace(self, vectors=[v]) for v in self.vectors]
        scores = self.scores or []
        return [msgspec.structs.replace(self, scores=[score]) for score in scores]

    def count_truncated(self) -> int:
        """Count the rows whose answer, or text to embed, was truncated."""
        if self.vectors is None:
            return int(self.truncated)
        return sum(vector.truncated for vector in self.vectors)


@dataclass(frozen=True, slots=True)
class Prompt:
    """The text around the content of a row. Its values are part of the cache key.

    system     the instructions. They come first, so that all rows share them as a prefix
    user       the message of a row: ``{name}`` is replaced by the row's value of that name;
               ``{content}`` if the row has one value
    examples   pairs of a user message and the reply to it
    """

    system: str
    user: str = "{content}"
    examples: tuple[tuple[str, str], ...] = ()

    def fill(self, **constants: str) -> Prompt:
        """Return the prompt with the placeholders of ``system`` replaced by ``constants``."""
        return replace(self, system=_fill(self.system, constants))

    def build_messages(self, content: Content) -> list[Message]:
        """Return the conversation for one row."""
        values = content if isinstance(content, dict) else {"content": content}
        messages: list[Message] = []
        if self.system:
            messages.append({"role": "system", "content": self.system})
        for question, reply in self.examples:
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": reply})
        messages.append({"role": "user", "content": _fill(self.user, values)})
        return messages


def _fill(template: str, values: Mapping[str, object]) -> str:
    def replacement(match: re.Match[str]) -> str:
        return str(values.get(match[1], match[0]))

    return _PLACEHOLDER.sub(replacement, template)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the values that an answer may have.

    value   as in the reply
    texts   what it means: texts that are similar to those that it fits. ``{name}`` is replaced by the row's value of
            that name. Without texts it is the value if no other one fits
    bias    added to its score: above 0 it is chosen more often
    """

    value: str | bool
    texts: tuple[str, ...] = ()
    bias: float = 0.0

    def fill(self, content: Content) -> tuple[str, ...]:
        """Return the texts for one row."""
        values = content if isinstance(content, dict) else {"content": content}
        return tuple(_fill(text, values) for text in self.texts)


@dataclass(frozen=True, slots=True)
class Choices:
    """The values of which an answer is one.

    field    the property of the reply that holds the value
    options  the values
    scale    how much a difference of similarity counts: the factor before the softmax
    blank    the value for a text without a character that is visible; None: the first value
    """

    field: str
    options: tuple[Choice, ...]
    scale: float
    blank: str | bool | None = None


class ReplyParser(Protocol):
    """Parses a response into a value of the column."""

    def read(self, response: Response, request: Request) -> object:
        """Return the value, which JSON can represent.

        Raises ``ReplyParseError``, whose text names the problem for the repair of the reply, or
        ``InvalidResponse``.
        """


@dataclass(kw_only=True, frozen=True, slots=True, eq=False)
class RequestTemplate:
    """Everything that the requests of one call share.

    endpoint          the name of the endpoint
    model             the name of the model at the endpoint
    parser            parses the replies
    parameters        sent to the endpoint under these names
    response_format   the field of that name in OpenAI's format; None: the reply is not constrained
    prompt            the text around the content of a row; None: the content is the whole message
    choices           the values of which every answer is one, with texts that say what they mean; None: the answer is
                      free, or the meaning of its values is not known
    scoring           how the provider chooses the answer where the reply format permits a few values only, as part of
                      the key; "": the model writes it
    reply_type        the type of the answers, as part of the key
    answer_type       the type of the answers
    version           of the function's prompt and parser; a new version sends all rows again
    cacheable         False: equal requests are not deduplicated, and answers are not stored
    address           the other settings of the endpoint that change an answer: its provider, its
                      URL, its options
    counts            True: request the number of tokens, not an answer
    function          the AI function that sends the request, for the run record. It is not part of
                      the key: equal requests of two functions share one answer
    chosen            names of the parameters that the user set: they are never left out. Not part of the key either
    """

    endpoint: str
    model: str
    parser: ReplyParser
    parameters: Mapping[str, object] = field(default_factory=dict)
    response_format: Mapping[str, object] | None = None
    prompt: Prompt | None = None
    choices: Choices | None = None
    scoring: str = ""
    reply_type: str = ""
    answer_type: SQLType = STRING
    version: str = ""
    cacheable: bool = True
    address: str = ""
    counts: bool = False
    function: str = ""
    chosen: frozenset[str] = frozenset()
    digest: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Hash everything that changes an answer, once per call and not once per row."""
        parts: list[object] = [
            self.endpoint,
            self.address,
            self.model,
            self.parameters,
            self.response_format,
            self.reply_type,
            self.version,
        ]
        if self.prompt is not None or self.counts:
            parts += [self.prompt, self.counts]
        if self.scoring:
            parts += [self.scoring, self.choices]
        text = msgspec.json.encode(parts, order="deterministic")
        digest = blake2b(text, digest_size=KEY_BYTES).digest()
        object.__setattr__(self, "digest", digest)

    @property
    def max_tokens(self) -> int:
        """The highest number of tokens of an answer; 0 if the call sets no limit."""
        given = (self.parameters.get(name) for name in _LIMIT_NAMES)
        return next((limit for limit in given if isinstance(limit, int)), 0)


class Request(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One question to an endpoint.

    content     of the row
    image       the bytes of an image that is sent beside the content
    follow_up   the messages of a repair, which come after those of the row
    """

    template: RequestTemplate
    content: Content
    image: bytes | None = None
    follow_up: tuple[Message, ...] = ()

    def key(self) -> bytes:
        """Return the key of the answer: a 16-byte BLAKE2b hash of everything that changes it."""
        content = self.content
        digest = blake2b(self.template.digest, digest_size=KEY_BYTES)
        if isinstance(content, str):
            digest.update(b"\0" + content.encode("utf-8", "surrogatepass"))
        else:
            document = msgspec.json.encode(content, order="deterministic")
            digest.update(b"\1" + document)
        if self.image is not None:
            image = blake2b(self.image, digest_size=KEY_BYTES).digest()
            digest.update(b"\2" + image)
        return digest.digest()

    def size(self) -> int:
        """Return about how many bytes the request takes in memory while it waits."""
        content: Content | bytes = self.content
        if not isinstance(content, str):
            content = msgspec.json.encode(content)
        return len(content) + len(self.image or b"") + OBJECT_BYTES

    def max_tokens_in(self) -> int:
        """Return an upper bound of the request's tokens: a token has at least one byte."""
        template = self.template
        parts = [
            self.content,
            template.prompt,
            template.response_format,
            self.follow_up,
        ]
        text = msgspec.json.encode(parts)
        return len(text) + len(self.image or b"") + TEMPLATE_TOKENS


class Outcome(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The end of a request: a value, or the error of its row. Never both."""

    value: object = None
    error: RowError | None = None
