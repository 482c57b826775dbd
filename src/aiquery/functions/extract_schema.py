"""The schema language of ai_extract, version 2 -> JSON Schema. A field is its type, or null where it is absent."""

from __future__ import annotations

from typing import Any

from aiquery.errors import ArgumentError, excerpt
from aiquery.requests.parsing import object_of

MOST_FIELDS, MOST_LEVELS, MOST_LABELS = 256, 12, 500
_SIMPLE = ("string", "integer", "number", "boolean")
TYPES = (*_SIMPLE, "enum", "object", "array")


def json_schema_of(document: Any) -> dict[str, Any]:
    """Return the JSON schema that a user's schema means; an ``ArgumentError`` names the field and the fix."""
    counted = [0, 0]
    return _properties(document, "", 1, counted)


def field_lines(document: dict[str, Any], indent: str = "") -> str:
    """Return the fields as the prompt lists them, one line each, with types and descriptions."""
    lines = []
    for name, field in document.items():
        about = (
            f"{field['type']}, {field['description']}"
            if field.get("description")
            else field["type"]
        )
        lines.append(f"{indent}- {name} ({about})")
        inner = field.get("items", field) if field["type"] == "array" else field
        if isinstance(inner.get("properties"), dict):
            lines.append(field_lines(inner["properties"], indent + "  "))
    return "\n".join(lines)


def _properties(
    document: Any, path: str, level: int, counted: list[int]
) -> dict[str, Any]:
    where = path or "the schema"
    if not isinstance(document, dict) or not document:
        raise ArgumentError(
            f'ai_extract: {where} must be an object such as {{"field": {{"type": "string"}}}}, or a list of names, not '
            f"{excerpt(repr(document))}."
        )
    if level > MOST_LEVELS:
        raise ArgumentError(
            f"ai_extract: {where} is nested {level} levels deep; at most {MOST_LEVELS} are allowed."
        )
    counted[0] += len(document)
    if counted[0] > MOST_FIELDS:
        raise ArgumentError(
            f"ai_extract: the schema has more than {MOST_FIELDS} fields."
        )
    return object_of(
        {
            name: _field(field, f"{path}.{name}".lstrip("."), level, counted)
            for name, field in document.items()
        }
    )


def _field(field: Any, path: str, level: int, counted: list[int]) -> dict[str, Any]:
    kind = field.get("type") if isinstance(field, dict) else None
    if kind not in TYPES:
        raise ArgumentError(
            f'ai_extract: {path} must be an object with a "type", one of {", ".join(TYPES)}, not '
            f"{excerpt(repr(field))}."
        )
    said = (
        {"description": str(field["description"])} if field.get("description") else {}
    )
    if kind in _SIMPLE:
        return {"type": [kind, "null"], **said}
    if kind == "enum":
        return {"enum": [*_labels(field, path, counted), None], **said}
    if kind == "object":
        return {
            "anyOf": [
                _properties(field.get("properties"), path, level + 1, counted),
                {"type": "null"},
            ],
            **said,
        }
    if "items" not in field:
        raise ArgumentError(
            f'ai_extract: {path} is an array and needs "items", e.g. "items": {{"type": "string"}}.'
        )
    if level + 1 > MOST_LEVELS:
        raise ArgumentError(
            f"ai_extract: {path} is nested {level + 1} levels deep; at most {MOST_LEVELS} are allowed."
        )
    items = _field(field["items"], f"{path}[]", level + 1, counted)
    return {"anyOf": [{"type": "array", "items": items}, {"type": "null"}], **said}


def _labels(field: dict[str, Any], path: str, counted: list[int]) -> list[str]:
    labels = field.get("labels", field.get("enum"))
    if (
        not isinstance(labels, list)
        or not labels
        or not all(isinstance(label, str) for label in labels)
    ):
        raise ArgumentError(
            f'ai_extract: {path} is an enum and needs "labels": ["a", "b"].'
        )
    counted[1] += len(labels)
    if counted[1] > MOST_LABELS:
        raise ArgumentError(
            f"ai_extract: the schema has more than {MOST_LABELS} labels of enums."
        )
    return labels
