"""Values of the schemas that ``extract_schema`` makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiquery.requests.json_positions import Path


def fit_to_schema(
    value: Any,
    schema: Mapping[str, Any],
    change: Callable[[Any, Path], Any] | None = None,
    path: Path = (),
) -> Any:
    """Return a value with exactly the fields of a schema, at every level; null for missing ones.

    ``change`` returns what a scalar becomes, from the scalar and its path in the value. An object or an array that is
    null stays null.
    """
    for alternative in schema.get("anyOf", (schema,)):
        if isinstance(value, dict) and "properties" in alternative:
            return {
                name: fit_to_schema(value.get(name), field, change, (*path, name))
                for name, field in alternative["properties"].items()
            }
        if isinstance(value, list) and "items" in alternative:
            items = alternative["items"]
            return [
                fit_to_schema(item, items, change, (*path, index))
                for index, item in enumerate(value)
            ]
    if change is None or "anyOf" in schema:
        return value
    return change(value, path)
