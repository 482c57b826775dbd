"""Converts the schema language of ``ai_extract``, version 2, to JSON Schema.

A field of the result has the type of the schema, or is null if the text does not contain it.
"""

from __future__ import annotations

from typing import Any

from aiquery.errors import ArgumentError, excerpt
from aiquery.functions.arguments import is_list_of_strings
from aiquery.requests.parsing import build_object_schema

MAX_FIELDS = 256
MAX_LEVELS = 12
MAX_LABELS = 500
_SCALARS = ("string", "integer", "number", "boolean")
TYPES = (*_SCALARS, "enum", "object", "array")
_NULL = {"type": "null"}


def to_json_schema(document: Any) -> dict[str, Any]:
    """Return the JSON schema of a user's schema.

    Raises ``ArgumentError``, which names the field and the fix.
    """
    return _Converter().convert_fields(document, "", 1)


def format_fields(document: dict[str, Any], indent: str = "") -> str:
    """Return the fields as a list of the prompt, one line each, with types and descriptions."""
    lines = []
    for name, field in document.items():
        about = field["type"]
        if field.get("description"):
            about = f"{about}, {field['description']}"
        lines.append(f"{indent}- {name} ({about})")
        inner = field.get("items", field) if field["type"] == "array" else field
        if isinstance(inner.get("properties"), dict):
            lines.append(format_fields(inner["properties"], indent + "  "))
    return "\n".join(lines)


class _Converter:
    """Converts one schema and counts its fields and labels."""

    def __init__(self) -> None:
        self._field_count = 0
        self._label_count = 0

    def convert_fields(self, fields: Any, path: str, level: int) -> dict[str, Any]:
        where = path or "the schema"
        if not isinstance(fields, dict) or not fields:
            raise ArgumentError(
                f'ai_extract: {where} must be an object such as {{"field": {{"type": "string"}}}}, '
                f"or a list of names, not {excerpt(repr(fields))}."
            )
        _check_level(where, level)
        self._field_count += len(fields)
        if self._field_count > MAX_FIELDS:
            raise ArgumentError(
                f"ai_extract: the schema has more than {MAX_FIELDS} fields."
            )
        properties = {}
        for name, field in fields.items():
            field_path = f"{path}.{name}".lstrip(".")
            properties[name] = self._convert_field(field, field_path, level)
        return build_object_schema(properties)

    def _convert_field(self, field: Any, path: str, level: int) -> dict[str, Any]:
        field_type = field.get("type") if isinstance(field, dict) else None
        if field_type not in TYPES:
            raise ArgumentError(
                f'ai_extract: {path} must be an object with a "type", one of {", ".join(TYPES)}, '
                f"not {excerpt(repr(field))}."
            )
        schema: dict[str, Any]
        if field_type in _SCALARS:
            schema = {"type": [field_type, "null"]}
        elif field_type == "enum":
            schema = {"enum": [*self._read_labels(field, path), None]}
        elif field_type == "object":
            fields = field.get("properties")
            properties = self.convert_fields(fields, path, level + 1)
            schema = {"anyOf": [properties, _NULL]}
        else:
            schema = {"anyOf": [self._convert_array(field, path, level), _NULL]}
        if field.get("description"):
            schema["description"] = str(field["description"])
        return schema

    def _convert_array(
        self, field: dict[str, Any], path: str, level: int
    ) -> dict[str, Any]:
        if "items" not in field:
            raise ArgumentError(
                f'ai_extract: {path} is an array and needs "items", e.g. "items": '
                '{"type": "string"}.'
            )
        _check_level(path, level + 1)
        items = self._convert_field(field["items"], f"{path}[]", level + 1)
        return {"type": "array", "items": items}

    def _read_labels(self, field: dict[str, Any], path: str) -> list[str]:
        labels: object = field.get("labels", field.get("enum"))
        if not labels or not is_list_of_strings(labels):
            raise ArgumentError(
                f'ai_extract: {path} is an enum and needs "labels": ["a", "b"].'
            )
        self._label_count += len(labels)
        if self._label_count > MAX_LABELS:
            raise ArgumentError(
                f"ai_extract: the schema has more than {MAX_LABELS} labels of enums."
            )
        return labels


def _check_level(where: str, level: int) -> None:
    if level > MAX_LEVELS:
        raise ArgumentError(
            f"ai_extract: {where} is nested {level} levels deep; at most {MAX_LEVELS} are allowed."
        )
