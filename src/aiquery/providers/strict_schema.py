"""Makes a JSON schema one that a strict mode takes. What it leaves out is checked in the reply."""

from __future__ import annotations

from typing import Any

_DROPPED = frozenset(
    {
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
        "minLength", "maxLength", "pattern",
        "minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains",
        "minProperties", "maxProperties", "patternProperties", "propertyNames",
        "$schema", "$id", "examples",
    }
)  # fmt: skip
"""Keywords that restrict values further than strict modes do, and those without a meaning for a reply."""

_SCHEMAS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")


def to_strict_schema(schema: Any) -> Any:
    """Return a schema whose objects have exactly their properties, without the keywords that strict modes do not take.

    >>> to_strict_schema({"type": "object", "properties": {"a": {"type": "integer", "minimum": 0}}})
    {'type': 'object', 'properties': {'a': {'type': 'integer'}}, 'additionalProperties': False}
    """
    if not isinstance(schema, dict):
        return schema
    strict: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _DROPPED:
            continue
        if name in _SCHEMAS and isinstance(value, dict):
            strict[name] = {key: to_strict_schema(one) for key, one in value.items()}
        elif name in _LISTS and isinstance(value, list):
            strict[name] = [to_strict_schema(one) for one in value]
        elif name == "items":
            strict[name] = to_strict_schema(value)
        else:
            strict[name] = value
    if "properties" in strict:
        strict.setdefault("additionalProperties", False)
    return strict


def is_open(schema: Any) -> bool:
    """Return True if a schema has an object whose names are not all known.

    >>> is_open({"type": "array", "items": {"type": "object", "additionalProperties": {"type": "integer"}}})
    True
    """
    if isinstance(schema, list):
        return any(map(is_open, schema))
    if not isinstance(schema, dict):
        return False
    if schema.get("additionalProperties", False) is not False:
        return True
    if schema.get("type") == "object" and "properties" not in schema:
        return True
    named = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    inner = [schema.get(name) for name in ("items", *_LISTS)]
    return any(map(is_open, [*named, *inner]))
