"""Reading a reply: response -> value, or ``ReplyParseError`` with what to repair.

Four ways to read, chosen when the call is bound: plain text, JSON text that satisfies a schema, a value of a return
type, and what an embedding or custom endpoint returns.
"""

from __future__ import annotations

import math
import re
from array import array
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.errors import InvalidResponse, ReplyParseError, excerpt
from aiquery.requests.sql_types import INTEGER_BITS, SQLType, to_ddl, to_json_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema_rs import Validator

    from aiquery.requests.request import Request, Response

_FENCE = re.compile(r"\A\s*```[a-zA-Z0-9_-]*[ \t]*\n(.*?)\n?[ \t]*```\s*\Z", re.DOTALL)
FLOAT_BYTES = 4
WRAPPER = "result"
"""A schema's root must be an object: any other type is asked for, and read, as this one field."""


def json_schema(schema: Mapping[str, Any], *, strict: bool = True) -> dict[str, Any]:
    """Return the ``response_format`` that constrains a chat endpoint to a JSON schema whose root is an object."""
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": strict},
    }


def object_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def strip_fence(text: str) -> str:
    """Return what stands inside a reply that is one fenced code block, else the text as it is."""
    found = _FENCE.match(text)
    return found.group(1).strip() if found else text


_DECODER = msgspec.json.Decoder()
EXACT = msgspec.json.Decoder(float_hook=Decimal)
"""Reads a number with a fraction as a Decimal: all of its digits, where a float has 15 to 17."""

_ENCODER = msgspec.json.Encoder(decimal_format="number")


def read_json(text: str, decoder: msgspec.json.Decoder[Any] = _DECODER) -> Any:
    """Return the JSON value that a reply is, fenced or not; raise ``ReplyParseError``."""
    try:
        return decoder.decode(strip_fence(text))
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise ReplyParseError(
            f"the reply is not JSON ({error}): {excerpt(text)!r}"
        ) from None


def refuse_truncated(response: Response) -> None:
    """Raise ``ReplyParseError`` for a reply that was cut off: half of a document is never parsed."""
    if response.truncated:
        raise ReplyParseError(
            f"cut off at the token limit; raise the endpoint's max_tokens, or that in modelParameters: "
            f"{excerpt(response.text)!r}",
            repairable=False,
        )


@dataclass(frozen=True)
class TextReply:
    """Plain text, as it came. A reply that is nothing but fenced JSON loses its fence; truncated text is kept."""

    def read(self, response: Response, request: Request) -> str:  # noqa: ARG002  see ``ReplyParser``
        """See the class."""
        text = response.text
        if "```" in text:
            inside = strip_fence(text)
            if inside[:1] in {"{", "["} and inside != text:
                return inside
        return text.encode("utf-8", "replace").decode() if not text.isascii() else text


class JSONReply:
    """JSON text, fences stripped, that satisfies ``schema`` where there is one."""

    def __init__(self, schema: Mapping[str, Any] | None) -> None:
        """Take a ``schema`` that was checked when the call was bound."""
        self.schema = schema
        self._validator: Validator | None = None
        if schema is not None:
            import jsonschema_rs

            self._validator = jsonschema_rs.validator_for(dict(schema))

    def read(self, response: Response, request: Request) -> str:  # noqa: ARG002  see ``ReplyParser``
        """See the class."""
        refuse_truncated(response)
        value = read_json(response.text)
        if self._validator is not None:
            problem = next(self._validator.iter_errors(value), None)
            if problem is not None:
                raise ReplyParseError(
                    f"the reply violates the schema ({problem.message}): {excerpt(response.text)!r}"
                )
        return strip_fence(response.text).strip()


class TypedReply:
    """A value of ``kind``, from a reply that was constrained by its JSON schema or merely follows it."""

    def __init__(self, kind: SQLType) -> None:
        """``kind`` is the parsed returnType."""
        self.kind = kind
        self.bare = kind.name == "STRUCT"

    def response_format(self) -> dict[str, Any]:
        """Return the ``response_format`` that constrains a chat endpoint to this type."""
        schema = to_json_schema(self.kind)
        if not self.bare:
            schema = object_of({WRAPPER: schema})
        strict = "MAP" not in _names(
            self.kind
        )  # OpenAI's strict mode knows no free-form keys
        return json_schema(schema, strict=strict)

    def read(self, response: Response, request: Request) -> object:  # noqa: ARG002  see ``ReplyParser``
        """See the class; an answer outside the wrapper is accepted from models that were not constrained."""
        refuse_truncated(response)
        value = read_json(
            response.text, EXACT if "DECIMAL" in _names(self.kind) else _DECODER
        )
        if not self.bare and isinstance(value, dict) and set(value) == {WRAPPER}:
            value = value[WRAPPER]
        return self.coerce(value, response.text)

    def coerce(self, value: object, text: str) -> object:
        """Return ``value`` as one of this type, or raise with the path of what does not fit; null is no value."""
        if value is None:
            raise ReplyParseError(
                f"the reply is null, which is no {to_ddl(self.kind)}: {excerpt(text)!r}"
            )
        try:
            return _coerce(value, self.kind, "")
        except (ValueError, TypeError, InvalidOperation) as error:
            raise ReplyParseError(
                f"the reply is no {to_ddl(self.kind)} ({error}): {excerpt(text)!r}"
            ) from None


class VectorReply:
    """The vector of an embedding endpoint, as the base64 of little-endian 32-bit floats: a quarter of its JSON.

    ``length`` is the number of floats that the column has room for, None where any will do.
    """

    def __init__(self, length: int | None = None) -> None:
        """See the class."""
        self.length = length

    def read(self, response: Response, request: Request) -> object:  # noqa: ARG002  see ``ReplyParser``
        """See the class."""
        if not response.vectors:
            raise InvalidResponse(
                "the endpoint returned no embedding; is it an embedding endpoint?"
            )
        values = response.vectors[0].values
        raw = (
            b64decode(values)
            if isinstance(values, str)
            else array("f", values).tobytes()
        )
        floats = len(raw) // FLOAT_BYTES
        if not floats:
            raise InvalidResponse("the endpoint returned an embedding without numbers.")
        if not _are_finite(raw):
            raise InvalidResponse(
                "the embedding has a number that is not finite in 32 bits."
            )
        if self.length is not None and floats != self.length:
            raise InvalidResponse(
                f"the embedding has {floats} dimensions where {self.length} are declared; set dimensions = {floats} "
                "for the endpoint."
            )
        return values if isinstance(values, str) else b64encode(raw).decode()


def _are_finite(raw: bytes) -> bool:
    import numpy as np  # late: only embeddings need it

    return bool(np.isfinite(np.frombuffer(raw, "<f4")).all())


class ValueReply(TypedReply):
    """What a custom endpoint returned for one record, as a value of its declared type."""

    def read(self, response: Response, request: Request) -> object:  # noqa: ARG002  see ``ReplyParser``
        """See the class."""
        return self.coerce(response.value, repr(response.value))


def _names(kind: SQLType) -> set[str]:
    return {kind.name}.union(*(_names(child) for child in kind.children()))


def _coerce(value: Any, kind: SQLType, path: str) -> object:
    if value is None:
        return None
    if kind.name == "STRUCT":
        return _struct(value, kind, path)
    if kind.element is not None:
        return _nested(value, kind, kind.element, path)
    try:
        return _SCALARS[kind.name](value, kind)
    except (ValueError, TypeError, InvalidOperation, OverflowError) as error:
        where = f" at {path.lstrip('.')}" if path else ""
        raise ValueError(f"{error}{where}") from None


def _struct(value: Any, kind: SQLType, path: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object{f' at {path[1:]}' if path else ''}")
    missing = [name for name, _ in kind.fields if name not in value]
    if missing:
        raise ValueError(
            f"missing field {path.lstrip('.')}{'.' if path else ''}{missing[0]}"
        )
    return {name: _coerce(value[name], t, f"{path}.{name}") for name, t in kind.fields}


def _nested(value: Any, kind: SQLType, element: SQLType, path: str) -> object:
    if kind.name == "MAP":
        if not isinstance(value, dict):
            raise TypeError(f"expected an object{f' at {path[1:]}' if path else ''}")
        return {
            key: _coerce(item, element, f"{path}.{key}") for key, item in value.items()
        }
    if not isinstance(value, list):
        raise TypeError(f"expected an array{f' at {path[1:]}' if path else ''}")
    return [_coerce(item, element, f"{path}[{i}]") for i, item in enumerate(value)]


def _string(value: Any, _kind: SQLType) -> str:
    return value if isinstance(value, str) else _ENCODER.encode(value).decode()


_MOST_DIGITS = 40
_FLOAT_MAX = 3.4028235677973366e38
"""The least number that rounds to infinity in 32 bits."""


def _integer(value: Any, kind: SQLType) -> int:
    if isinstance(value, bool):
        raise TypeError("a boolean is no integer")
    if isinstance(value, Decimal) and value.adjusted() > _MOST_DIGITS:
        raise ValueError(f"{value} is out of range for {kind.name}")
    number = int(value) if isinstance(value, (int, str)) else value
    if number != int(number):
        raise ValueError(f"{value} is no integer")
    limit = 1 << (INTEGER_BITS[kind.name] - 1)
    if not -limit <= number < limit:
        raise ValueError(f"{value} is out of range for {kind.name}")
    return int(number)


def _number(value: Any, kind: SQLType) -> float:
    if isinstance(value, bool) or not math.isfinite(number := float(value)):
        raise ValueError(f"{value} is no finite number")
    if kind.name == "FLOAT" and abs(number) >= _FLOAT_MAX:
        raise ValueError(f"{value} is out of range for FLOAT")
    return number


_EXACT = Context(prec=100)


def _decimal(value: Any, kind: SQLType) -> str:
    if isinstance(value, bool):
        raise TypeError("a boolean is no number")
    number = Decimal(str(value)).quantize(
        Decimal(1).scaleb(-kind.scale), ROUND_HALF_UP, _EXACT
    )
    if not number.is_finite() or number.adjusted() >= kind.precision - kind.scale:
        raise ValueError(
            f"{value} is out of range for DECIMAL({kind.precision},{kind.scale})"
        )
    return str(number)


def _boolean(value: Any, _kind: SQLType) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in {"true", "false"}:
        raise ValueError(f"{value!r} is neither true nor false")
    return word == "true"


def _date(value: Any, _kind: SQLType) -> str:
    return date.fromisoformat(str(value)[:10]).isoformat()


def _timestamp(value: Any, _kind: SQLType) -> str:
    return datetime.fromisoformat(str(value)).isoformat(sep=" ")


_SCALARS = {
    "STRING": _string, "BOOLEAN": _boolean, "DATE": _date, "TIMESTAMP": _timestamp, "TIMESTAMP_NTZ": _timestamp,
    "FLOAT": _number, "DOUBLE": _number, "DECIMAL": _decimal, **dict.fromkeys(INTEGER_BITS, _integer),
}  # fmt: skip
