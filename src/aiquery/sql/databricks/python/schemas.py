"""The type of JSON values as text, as ``schema_of_json`` and ``schema_of_variant`` name it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiquery.sql.databricks.python.variants import decode

if TYPE_CHECKING:
    from decimal import Decimal

_BIGINT = range(-(2**63), 2**63)


@dataclass
class _Type:
    """A type: a name, or the types of its fields or items."""

    name: str
    fields: dict[str, _Type] = field(default_factory=dict)
    item: _Type | None = None
    digits: int = 0
    scale: int = 0


def schema_of_variant(text: str) -> str:
    """Return the type of a VARIANT."""
    return _print(_find(decode(text), exact=True), "OBJECT")


def schema_of_variants(texts: str) -> str:
    """Return the type that all VARIANT values of a JSON array have."""
    found = _find(decode(texts), exact=True)
    return _print(found.item or _Type("VOID"), "OBJECT")


def schema_of_json(text: str) -> str:
    """Return the type of a JSON text."""
    return _print(_find(decode(text), exact=False), "STRUCT")


def _find(value: Any, *, exact: bool) -> _Type:
    if isinstance(value, dict | list):
        return _find_nested(value, exact=exact)
    if value is None:
        return _Type("VOID" if exact else "STRING")
    if isinstance(value, bool | str):
        return _Type("BOOLEAN" if isinstance(value, bool) else "STRING")
    if isinstance(value, int):
        return (
            _Type("BIGINT")
            if value in _BIGINT
            else _Type("DECIMAL", digits=len(str(abs(value))))
        )
    return _find_decimal(value) if exact else _Type("DOUBLE")


def _find_nested(value: Any, *, exact: bool) -> _Type:
    if isinstance(value, dict):
        names = sorted(value)
        return _Type(
            "OBJECT", fields={name: _find(value[name], exact=exact) for name in names}
        )
    items = [_find(one, exact=exact) for one in value]
    merged = items[0] if items else None
    for one in items[1:]:
        merged = _merge(merged or one, one)
    return _Type("ARRAY", item=merged)


def _find_decimal(value: Decimal) -> _Type:
    _, digits, exponent = value.as_tuple()
    scale = max(-int(exponent), 0)
    return _Type("DECIMAL", digits=max(len(digits), scale), scale=scale)


def _merge(a: _Type, b: _Type) -> _Type:
    if a.name == "VOID" or b.name == "VOID":
        return b if a.name == "VOID" else a
    if a.name != b.name:
        return _Type(
            "DOUBLE"
            if {a.name, b.name} <= {"BIGINT", "DECIMAL", "DOUBLE"}
            else "VARIANT"
        )
    if a.name == "OBJECT":
        names = sorted(a.fields | b.fields)
        merged = {
            name: _merge(
                a.fields.get(name, _Type("VOID")), b.fields.get(name, _Type("VOID"))
            )
            for name in names
        }
        return _Type("OBJECT", fields=merged)
    if a.name == "ARRAY" and a.item and b.item:
        return _Type("ARRAY", item=_merge(a.item, b.item))
    scale = max(a.scale, b.scale)
    whole = max(a.digits - a.scale, b.digits - b.scale)
    return _Type(a.name, item=a.item or b.item, digits=whole + scale, scale=scale)


def _print(found: _Type, object_: str) -> str:
    if found.name == "OBJECT":
        fields = ", ".join(
            f"{name}: {_print(one, object_)}" for name, one in found.fields.items()
        )
        return f"{object_}<{fields}>"
    if found.name == "ARRAY":
        return f"ARRAY<{_print(found.item, object_) if found.item else 'VOID'}>"
    if found.name == "DECIMAL":
        return f"DECIMAL({found.digits},{found.scale})"
    return found.name
