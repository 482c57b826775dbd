"""The nouns that travel: Target, Request, Response, Usage, Outcome.

A ``RequestTemplate`` is all that the rows of one call have in common (whom to ask, how, and how to read the reply); a
``Request`` is a target and the content of one row. A request is a value: equal requests have equal keys, and the key
is what in-flight sharing and answers go by.

The nouns form no cycles, so the garbage collector need not look at them (``gc=False``): with tens of thousands of them
alive its passes cost 2 % of the throughput.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from aiquery.errors import RowError  # noqa: TC001  msgspec reads the annotation

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_BYTES = 16
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

TEMPLATE_TOKENS = 200
"""What chat templates, roles and image frames may add to a request, generously."""

Message: TypeAlias = dict[str, object]
Content: TypeAlias = str | list[Message] | list[str] | dict[str, object]
"""One user message or text (str), a conversation or texts to embed (list), or what fills a prompt or is an input record
of a custom endpoint (dict)."""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one attempt, as the endpoint counted them."""

    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0


class RateLimits(msgspec.Struct, frozen=True, gc=False):
    """What an endpoint says of its limits: per minute, and what is left of it now. None: it says nothing."""

    requests_per_minute: float | None = None
    requests_left: float | None = None
    tokens_per_minute: float | None = None
    tokens_left: float | None = None


class Vector(msgspec.Struct, frozen=True, gc=False):
    """The embedding of one text; ``truncated`` when the text was cut at the model's limit."""

    values: str | list[float]
    """Floats, or the base64 of little-endian 32-bit floats."""
    truncated: bool = False


class Response(msgspec.Struct, frozen=True, gc=False):
    """One vendor answer, before anything is read into it.

    ``text`` for a chat endpoint, ``vectors`` for an embedding endpoint (one per text, in order), ``value`` for a custom
    one or a number of tokens; ``truncated`` when the model stopped at the token limit. ``logprobs`` are the tokens of
    the text with their log-probabilities, where they were asked for and the endpoint gives them.
    """

    text: str = ""
    vectors: list[Vector] | None = None
    value: object = None
    usage: Usage = Usage()
    truncated: bool = False
    logprobs: list[tuple[str, float]] | None = None

    def cut(self) -> int:
        """Count the rows whose answer, or text to embed, was cut."""
        return (
            sum(v.truncated for v in self.vectors)
            if self.vectors is not None
            else int(self.truncated)
        )


@dataclass(frozen=True, slots=True)
class Prompt:
    """What stands around the content of a row.

    system     what to do, before everything else, so that all rows share it as a prefix
    examples   pairs of what a user might give (as ``user`` shows it) and the reply to it
    user       the row: ``{name}`` is replaced by the row's value of that name, ``{content}`` where there is only one
    """

    system: str
    user: str = "{content}"
    examples: tuple[tuple[str, str], ...] = ()

    def filled(self, **constants: str) -> Prompt:
        """Return the prompt with what is the same for every row put in."""
        return replace(self, system=_fill(self.system, constants))

    def messages(self, content: Content) -> list[Message]:
        """Return the conversation that asks about one row."""
        values = content if isinstance(content, dict) else {"content": content}
        asked: list[Message] = (
            [{"role": "system", "content": self.system}] if self.system else []
        )
        for question, reply in self.examples:
            asked += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": reply},
            ]
        return [*asked, {"role": "user", "content": _fill(self.user, values)}]


def _fill(template: str, values: Mapping[str, object]) -> str:
    return _PLACEHOLDER.sub(lambda match: str(values.get(match[1], match[0])), template)


class ReplyParser(Protocol):
    """How a response becomes a value of the column."""

    def read(self, response: Response, request: Request) -> object:
        """Return the value (JSON-compatible), or raise ``ReplyParseError`` with what to repair."""


@dataclass(frozen=True, slots=True, eq=False)
class RequestTemplate:
    """All that the requests of one call have in common.

    ``parameters`` are sent to the endpoint as they are named; ``response_format`` is the OpenAI field of that name or
    None; ``prompt`` is what stands around the content of a row, None where that is the whole message. ``version`` is
    the version of how a function asks and reads, so that a better one asks again. ``address`` is what else of the
    endpoint changes an answer: its provider, its URL, its options. ``counts``: ask for the number of tokens, not for an
    answer. ``function`` is the AI function that asks, for the ledger: two that ask the same share one answer.
    """

    endpoint: str
    model: str
    parser: ReplyParser
    parameters: Mapping[str, object] = field(default_factory=dict)
    response_format: Mapping[str, object] | None = None
    prompt: Prompt | None = None
    reply_type: str = ""
    version: str = ""
    cacheable: bool = True
    address: str = ""
    counts: bool = False
    function: str = ""
    digest: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Fold everything that changes an answer into one digest, once per call and not once per row."""
        parts: list[object] = [
            self.endpoint, self.address, self.model, self.parameters, self.response_format, self.reply_type,
            self.version,
        ]  # fmt: skip
        if self.prompt is not None or self.counts:
            parts += [self.prompt, self.counts]
        text = msgspec.json.encode(parts, order="deterministic")
        object.__setattr__(
            self, "digest", blake2b(text, digest_size=KEY_BYTES).digest()
        )

    @property
    def max_tokens(self) -> int:
        """The most tokens an answer may have; 0 where the call does not say."""
        given = self.parameters.get(
            "max_completion_tokens", self.parameters.get("max_tokens")
        )
        return given if isinstance(given, int) else 0


class Request(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One question: a target, the content of one row, and perhaps an image beside it.

    ``follow_up`` are the messages of a repair, which come after those of the row.
    """

    template: RequestTemplate
    content: Content
    image: bytes | None = None
    follow_up: tuple[Message, ...] = ()

    def key(self) -> bytes:
        """Return the 16-byte address of the answer: a BLAKE2b hash of everything that changes it."""
        content = self.content
        digest = blake2b(self.template.digest, digest_size=KEY_BYTES)
        if isinstance(content, str):
            digest.update(b"\0" + content.encode("utf-8", "surrogatepass"))
        else:
            digest.update(b"\1" + msgspec.json.encode(content, order="deterministic"))
        if self.image is not None:
            digest.update(b"\2" + blake2b(self.image, digest_size=KEY_BYTES).digest())
        return digest.digest()

    def size(self) -> int:
        """Return roughly how many bytes this request holds while it waits."""
        text = (
            len(self.content)
            if isinstance(self.content, str)
            else len(msgspec.json.encode(self.content))
        )
        return text + len(self.image or b"") + 200

    def max_tokens_in(self) -> int:
        """Return more tokens than the request can have: a token has at least one byte, and a template adds some."""
        text = len(
            msgspec.json.encode(
                [
                    self.content,
                    self.template.prompt,
                    self.template.response_format,
                    self.follow_up,
                ]
            )
        )
        return text + len(self.image or b"") + TEMPLATE_TOKENS


class Outcome(msgspec.Struct, frozen=True, eq=False, gc=False):
    """How a request ended: with a value, or with the error of its row. Never both, never neither."""

    value: object = None
    error: RowError | None = None
