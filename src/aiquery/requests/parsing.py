"""Parsers of replies: a response becomes a value, or raises ``ReplyParseError``.

The function chooses a parser when it binds a call: plain text, JSON text that satisfies a schema, a
value of a return type, or the reply of an embedding or custom endpoint.
"""

from __future__ import annotations

import math
import re
from array import array
from base64 import b64decode, b64encode
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from aiquery.errors import InvalidResponse, ReplyParseError, excerpt
from aiquery.limits import MAX_CONTAINERS, MAX_JSON_CHARACTERS, MAX_JSON_DEPTH
from aiquery.requests.coercion import coerce
from aiquery.requests.json_schema import SchemaValidator, build_validator
from aiquery.requests.json_search import Found, find_json, find_scalar
from aiquery.requests.nesting import measure_json_depth
from aiquery.requests.sql_types import INTEGER_BITS, SQLType, to_ddl, to_json_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiquery.requests.request import Request, Response

_FENCE = "```"
_LANGUAGE = re.compile(r"[a-zA-Z0-9_-]*")
FLOAT_BYTES = 4
WRAPPER = "result"
"""The root of a schema must be an object. Any other type is requested and parsed as this field."""

_DATES = frozenset({"DATE", "TIMESTAMP", "TIMESTAMP_NTZ"})
_SCALARS = frozenset({*INTEGER_BITS, "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN"})
_DECODER = msgspec.json.Decoder()
_EXACT_DECODER = msgspec.json.Decoder(float_hook=Decimal)
"""Decodes a number with a fraction to a Decimal with all its digits; a float has 15 to 17."""


def to_response_format(
    schema: Mapping[str, Any], *, strict: bool = True
) -> dict[str, Any]:
    """Return the ``response_format`` that constrains a chat endpoint to a JSON schema.

    The root of ``schema`` is an object.
    """
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": strict},
    }


def build_object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def strip_fence(text: str) -> str:
    """Return the content of a reply that is one fenced code block; any other text as it is.

    It takes time in proportion to the text, whatever a model has written.
    """
    block = text.strip()
    if not block.startswith(_FENCE) or not block.endswith(_FENCE):
        return text
    first_line, newline, rest = block.partition("\n")
    language = first_line[len(_FENCE) :].rstrip(" \t")
    if not newline or not _LANGUAGE.fullmatch(language):
        return text
    return rest[: -len(_FENCE)].strip()


def has_too_many_containers(text: str | bytes | bytearray) -> bool:
    """Return True if the JSON text could take far more memory than its length."""
    if len(text) < MAX_CONTAINERS:
        return False
    if isinstance(text, str):
        return text.count("{") + text.count("[") > MAX_CONTAINERS
    return text.count(b"{") + text.count(b"[") > MAX_CONTAINERS


def _is_too_deep(text: str) -> bool:
    if text.count("{") + text.count("[") <= MAX_JSON_DEPTH:
        return False
    return measure_json_depth(text) > MAX_JSON_DEPTH


def _accept_all(value: object) -> bool:
    return isinstance(value, (dict, list))


def read_json(
    text: str,
    fits: Callable[[Any], bool] = _accept_all,
    *,
    exact: bool = False,
) -> Any:
    """Return the JSON value of a reply. Raises ``ReplyParseError``.

    If the reply has something around it, or is JSON within a JSON string, it is the one value in it for which ``fits``
    returns True. ``exact`` reads a number with a fraction as a Decimal.
    """
    return find_json_in_reply(text, fits, exact=exact).value


def find_json_in_reply(
    text: str,
    fits: Callable[[Any], bool] = _accept_all,
    *,
    exact: bool = False,
) -> Found:
    """Return the JSON value of a reply as ``read_json`` does, and its text."""
    _check_size(text)
    inside = strip_fence(text).strip()
    decoder = _EXACT_DECODER if exact else _DECODER
    try:
        found = Found(inside, decoder.decode(inside))
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        other = find_json(text, fits, exact=exact)
        if other is None:
            raise ReplyParseError(
                f"the reply is not JSON ({error}): {excerpt(text)!r}"
            ) from None
        return other
    is_encoded_twice = isinstance(found.value, str) and found.value.lstrip()[:1] in {
        "{",
        "[",
    }
    if is_encoded_twice and not fits(found.value):
        return find_json(found.value, fits, exact=exact) or found
    return found


def _check_size(text: str) -> None:
    """Raise ``ReplyParseError`` for a text that is too long, or nested too deep, to be read as JSON."""
    if len(text) > MAX_JSON_CHARACTERS:
        raise ReplyParseError(
            f"the reply is longer than {MAX_JSON_CHARACTERS} characters, the limit of an answer in JSON",
            repairable=False,
        )
    if has_too_many_containers(text):
        raise ReplyParseError(
            f"the reply has more than {MAX_CONTAINERS} objects and arrays",
            repairable=False,
        )
    if _is_too_deep(text):
        raise ReplyParseError(
            f"the JSON of the reply is nested more than {MAX_JSON_DEPTH} levels deep: {excerpt(text)!r}"
        )


def raise_if_truncated(response: Response) -> None:
    """Raise ``ReplyParseError`` for a truncated reply: half a document is never parsed."""
    if response.repeats:
        raise ReplyParseError(
            "the model repeated itself without end and was stopped; ask for less, or use a larger "
            f"model: {excerpt(response.text)!r}",
            repairable=False,
        )
    if response.truncated:
        raise ReplyParseError(
            "cut off at the token limit; raise the endpoint's max_tokens, or that in "
            f"modelParameters: {excerpt(response.text)!r}",
            repairable=False,
        )


def raise_if_invalid(validator: SchemaValidator, value: object, text: str) -> None:
    """Raise ``ReplyParseError`` if a value violates a schema; ``text`` is the reply, for the error."""
    if not validator.is_valid(value):
        problem = validator.describe_problem(value)
        raise ReplyParseError(
            f"the reply violates the schema{problem}: {excerpt(text)!r}"
        )


@dataclass(frozen=True)
class TextParser:
    """Returns the text of the reply, also if it is truncated. Fenced JSON loses its fence."""

    key_name: ClassVar[str] = "TextReply"
    """Part of the cache key: a change sends all requests again."""

    def read(self, response: Response, request: Request) -> str:  # noqa: ARG002
        """Return the text, with lone surrogates replaced."""
        text = response.text
        if "```" in text:
            inside = strip_fence(text)
            if inside[:1] in {"{", "["} and inside != text:
                return inside
        if text.isascii():
            return text
        return text.encode("utf-8", "replace").decode()


class JSONParser:
    """Returns the JSON text of the reply, without a fence."""

    key_name: ClassVar[str] = "JSONReply"
    """Part of the cache key: a change sends all requests again."""

    def __init__(self, schema: Mapping[str, Any] | None) -> None:
        """Check replies against ``schema``, a valid JSON schema. None: any JSON is accepted."""
        self._validator: SchemaValidator | None = None
        if schema is not None:
            self._validator = build_validator(schema)

    def read(self, response: Response, request: Request) -> str:  # noqa: ARG002
        """Return the JSON text. Raises ``ReplyParseError``."""
        raise_if_truncated(response)
        validator = self._validator
        fits = _accept_all if validator is None else validator.is_valid
        found = find_json_in_reply(response.text, fits)
        if validator is not None:
            raise_if_invalid(validator, found.value, response.text)
        return found.text


class TypedParser:
    """Returns a value of an SQL type from a JSON reply, whether or not a schema constrained it."""

    key_name: ClassVar[str] = "TypedReply"
    """Part of the cache key: a change sends all requests again."""

    def __init__(self, sql_type: SQLType) -> None:
        """``sql_type`` is the type of the values, e.g. the parsed ``returnType``."""
        self.sql_type = sql_type
        names = _type_names(sql_type)
        self._is_wrapped = sql_type.name != "STRUCT"
        self._has_map = "MAP" in names
        self._is_exact = "DECIMAL" in names

    def build_response_format(self) -> dict[str, Any]:
        """Return the ``response_format`` that constrains a chat endpoint to the type."""
        schema = to_json_schema(self.sql_type)
        if self._is_wrapped:
            schema = build_object_schema({WRAPPER: schema})
        # OpenAI's strict mode rejects objects with free keys.
        return to_response_format(schema, strict=not self._has_map)

    def read(self, response: Response, request: Request) -> object:  # noqa: ARG002
        """Return the value. Raises ``ReplyParseError``.

        A value without its wrapper is accepted: the model may not have been constrained.
        """
        raise_if_truncated(response)
        text = response.text
        try:
            value = read_json(text, self._fits, exact=self._is_exact)
        except ReplyParseError:
            value = self._find_scalar(text)
            if value is None:
                raise
        return self.coerce(self._unwrap(value), text)

    def _unwrap(self, value: Any) -> Any:
        if self._is_wrapped and isinstance(value, dict) and list(value) == [WRAPPER]:
            return value[WRAPPER]
        return value

    def _fits(self, value: Any) -> bool:
        inside = self._unwrap(value)
        try:
            return coerce(inside, self.sql_type) is not None
        except (ValueError, TypeError, InvalidOperation):
            return False

    def _find_scalar(self, text: str) -> Any:
        """Return the one number, truth value or date of a reply that is not JSON; None if there is no such one."""
        if self.sql_type.name in _DATES:
            inside = strip_fence(text).strip()
            return inside if self._fits(inside) else None
        if self.sql_type.name in _SCALARS:
            return find_scalar(text, self._fits)
        return None

    def coerce(self, value: object, text: str) -> object:
        """Return ``value`` as a value of the type. Raises ``ReplyParseError``; null is an error.

        ``text`` is the reply, for the error.
        """
        if value is None:
            raise ReplyParseError(
                f"the reply is null, not a value of {to_ddl(self.sql_type)}: {excerpt(text)!r}"
            )
        try:
            return coerce(value, self.sql_type)
        except (ValueError, TypeError, InvalidOperation) as error:
            raise ReplyParseError(
                f"the reply is not a value of {to_ddl(self.sql_type)} ({excerpt(str(error))}): {excerpt(text)!r}"
            ) from None


class ValueParser(TypedParser):
    """Returns the reply of a custom endpoint as a value of the endpoint's type."""

    key_name = "ValueReply"

    def read(self, response: Response, request: Request) -> object:  # noqa: ARG002
        """Return the value. Raises ``ReplyParseError``."""
        return self.coerce(response.value, repr(response.value))


class VectorParser:
    """Returns an embedding as the base64 of little-endian 32-bit floats: a quarter of its JSON."""

    key_name: ClassVar[str] = "VectorReply"
    """Part of the cache key: a change sends all requests again."""

    def __init__(self, length: int | None = None) -> None:
        """``length`` is the number of floats that a vector must have. None: any number."""
        self.length = length

    def read(self, response: Response, request: Request) -> object:  # noqa: ARG002
        """Return the vector. Raises ``InvalidResponse``."""
        if not response.vectors:
            raise InvalidResponse(
                "the endpoint returned no embedding; is it an embedding endpoint?"
            )
        values = response.vectors[0].values
        if isinstance(values, str):
            self.check(values)
            return values
        packed = b64encode(array("f", values).tobytes()).decode()
        self.check(packed)
        return packed

    def check(self, packed: str) -> None:
        """Raise ``InvalidResponse`` for a vector that is malformed, or of another length."""
        raw = _unpack(packed)
        count = len(raw) // FLOAT_BYTES
        if not count:
            raise InvalidResponse("the endpoint returned an embedding without numbers.")
        if not _are_finite(raw):
            raise InvalidResponse(
                "the embedding has a number that is not finite in 32 bits."
            )
        if self.length is not None and count != self.length:
            raise InvalidResponse(
                f"the embedding has {count} dimensions where {self.length} are declared; set "
                f"dimensions = {count} for the endpoint."
            )


class ScoreParser:
    """Returns the score of a document as a 32-bit float."""

    key_name: ClassVar[str] = "ScoreReply"
    """Part of the cache key: a change sends all requests again."""

    def read(self, response: Response, request: Request) -> object:  # noqa: ARG002
        """Return the score. Raises ``InvalidResponse``."""
        if not response.scores:
            raise InvalidResponse(
                "the endpoint returned no score; is it a rerank endpoint?"
            )
        (score,) = array("f", response.scores[:1])
        if not math.isfinite(score):
            raise InvalidResponse("the score is not finite in 32 bits.")
        return score


def _unpack(packed: str) -> bytes:
    try:
        raw = b64decode(packed, validate=True)
    except ValueError as error:
        raise InvalidResponse(f"the embedding is not base64: {error}") from None
    if len(raw) % FLOAT_BYTES:
        raise InvalidResponse(
            f"the embedding has {len(raw)} bytes, which are no 32-bit floats"
        )
    return raw


def _are_finite(raw: bytes) -> bool:
    import numpy as np  # imported late: only embeddings need it

    floats = np.frombuffer(raw, "<f4")
    return bool(np.isfinite(floats).all())


def _type_names(sql_type: SQLType) -> set[str]:
    names = {sql_type.name}
    for child in sql_type.children():
        names |= _type_names(child)
    return names
