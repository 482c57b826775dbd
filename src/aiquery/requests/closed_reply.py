"""Finds out which values a reply may have, if they are a few: then none has to be written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_VALUES = 500


@dataclass(frozen=True)
class ClosedReply:
    """The replies that a format permits: an object with one property of a few values.

    start     the text that all of them begin with
    endings   how each of them goes on, up to its end
    """

    start: str
    endings: tuple[str, ...]

    @property
    def replies(self) -> list[str]:
        """The whole replies."""
        return [self.start + ending for ending in self.endings]


def find_closed_reply(
    response_format: Mapping[str, Any] | None,
) -> ClosedReply | None:
    """Return the replies of a format whose only property is a BOOLEAN or one of a few texts; None for any other."""
    if response_format is None or response_format.get("type") != "json_schema":
        return None
    schema = response_format.get("json_schema", {}).get("schema", {})
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    if len(properties) != 1 or list(properties) != schema.get("required"):
        return None
    ((name, inner),) = properties.items()
    values = _list_values(inner)
    if values is None or not 1 < len(values) <= _MAX_VALUES:
        return None
    head = f"{{{json.dumps(name, ensure_ascii=False)}: "
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    if all(text.startswith('"') for text in texts):
        head += '"'
        texts = [text[1:] for text in texts]
    return ClosedReply(head, tuple(f"{text}}}" for text in texts))


def _list_values(schema: Any) -> list[Any] | None:
    """Return the values of a schema of a BOOLEAN or of an enum without an object in it."""
    if not isinstance(schema, dict):
        return None
    values = schema.get("enum")
    if isinstance(values, list):
        simple = all(isinstance(value, str | bool | int | None) for value in values)
        return values if simple else None
    return [True, False] if schema.get("type") == "boolean" else None
