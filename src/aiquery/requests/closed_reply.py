"""Finds out which values a reply may have, if they are a few: then none has to be written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_VALUES = 500


def list_closed_replies(
    response_format: Mapping[str, Any] | None,
) -> list[str] | None:
    """Return the replies of a format whose only property is a BOOLEAN or one of a few values; None for any other."""
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
    key = json.dumps(name, ensure_ascii=False)
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    return [f"{{{key}: {text}}}" for text in texts]


def _list_values(schema: Any) -> list[Any] | None:
    """Return the values of a schema of a BOOLEAN or of an enum without an object in it."""
    if not isinstance(schema, dict):
        return None
    values = schema.get("enum")
    if isinstance(values, list):
        simple = all(isinstance(value, str | bool | int | None) for value in values)
        return values if simple else None
    return [True, False] if schema.get("type") == "boolean" else None
