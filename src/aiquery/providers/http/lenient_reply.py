"""Reads replies that differ from what their format says, where the difference does not concern the answer.

The strict decoder reads nearly all replies. What it refuses is read here: a byte order mark, NaN or a lone surrogate
beside the answer, a stream of events that was not asked for, and fields of another type, which count as missing.
"""

from __future__ import annotations

import json
import math
from codecs import BOM_UTF8
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

Document = TypeVar("Document")

_MISSING = object()
_EVENT_STARTS = ("data:", "event:", "id:", "retry:", ":")
_DONE = "[DONE]"


class UnreadableReply(ValueError):
    """The body is not a document of the expected form."""


class IncompleteStream(ValueError):
    """A stream of events ended before the answer did."""


def read_leniently(body: bytes | bytearray, kind: type[Document]) -> Document:
    """Return a body as a ``kind``. Raises ``UnreadableReply``, ``IncompleteStream`` and ``RecursionError``."""
    text = _decode(bytes(body))
    if text.startswith(_EVENT_STARTS):
        document: object = _join_events(text)
    else:
        try:
            document = json.loads(text)
        except ValueError as error:
            raise UnreadableReply(str(error)) from None
    found = _convert(document, msgspec.inspect.type_info(kind))
    if found is _MISSING:
        raise UnreadableReply(f"expected an object, got {type(document).__name__}")
    return found  # type: ignore[no-any-return]


def _decode(body: bytes) -> str:
    try:
        return body.removeprefix(BOM_UTF8).decode().lstrip()
    except UnicodeDecodeError as error:
        raise UnreadableReply(str(error)) from None


def _convert(value: Any, kind: msgspec.inspect.Type) -> Any:
    """Return ``value`` as a value of a type; ``_MISSING`` if it is none."""
    if isinstance(kind, msgspec.inspect.UnionType):
        found = (_convert(value, member) for member in kind.types)
        return next((one for one in found if one is not _MISSING), _MISSING)
    if isinstance(kind, msgspec.inspect.StructType):
        return _convert_struct(value, kind)
    if isinstance(kind, msgspec.inspect.ListType):
        return _convert_list(value, kind.item_type)
    return _SCALARS[type(kind)](value)


def _convert_struct(value: Any, kind: msgspec.inspect.StructType) -> Any:
    if not isinstance(value, dict):
        return _MISSING
    fields = {}
    for field in kind.fields:
        given = value.get(field.encode_name, _MISSING)
        found = _MISSING if given is _MISSING else _convert(given, field.type)
        if found is not _MISSING:
            fields[field.name] = found
        elif field.required:
            return _MISSING
    return kind.cls(**fields)


def _convert_list(value: Any, kind: msgspec.inspect.Type) -> Any:
    if not isinstance(value, list):
        return _MISSING
    found = [_convert(item, kind) for item in value]
    return _MISSING if _MISSING in found else found


def _to_count(value: Any) -> Any:
    """Return a number of tokens, rounded up; it may be a float or a text."""
    if isinstance(value, bool):
        return _MISSING
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError):
        return _MISSING
    return math.ceil(number) if math.isfinite(number) else _MISSING


def _to_raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def _to_float(value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else _MISSING


_SCALARS: dict[type, Callable[[Any], Any]] = {
    msgspec.inspect.AnyType: lambda value: value,
    msgspec.inspect.RawType: _to_raw,
    msgspec.inspect.IntType: _to_count,
    msgspec.inspect.FloatType: _to_float,
    msgspec.inspect.BoolType: lambda value: (
        value if isinstance(value, bool) else _MISSING
    ),
    msgspec.inspect.NoneType: lambda value: None if value is None else _MISSING,
    msgspec.inspect.StrType: lambda value: (
        value if isinstance(value, str) else _MISSING
    ),
}


# --- a stream of events


def _join_events(text: str) -> dict[str, object]:
    """Return the chat completion that a stream of chunks stands for."""
    parts: list[str] = []
    joined: dict[str, object] = {}
    finish_reason = None
    for line in text.splitlines():
        name, _, data = line.partition(":")
        data = data.strip()
        if name != "data" or not data or data == _DONE:
            continue
        chunk = _read_chunk(data)
        joined.update(
            {name: chunk[name] for name in ("usage", "error") if chunk.get(name)}
        )
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            continue
        message = choice.get("delta") or choice.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        parts.append(content if isinstance(content, str) else "")
        finish_reason = choice.get("finish_reason") or finish_reason
    if finish_reason is None and "error" not in joined:
        raise IncompleteStream("the stream of the reply ended before the answer")
    message = {"content": "".join(parts)}
    return {"choices": [{"message": message, "finish_reason": finish_reason}], **joined}


def _read_chunk(data: str) -> dict[str, Any]:
    try:
        chunk = json.loads(data)
    except ValueError as error:
        raise UnreadableReply(f"an event of the reply: {error}") from None
    if not isinstance(chunk, dict):
        raise UnreadableReply("an event of the reply is not an object")
    return chunk
