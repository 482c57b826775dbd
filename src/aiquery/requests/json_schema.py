"""Validators of JSON schemas that a user or a server wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.errors import excerpt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema_rs import Validator


_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


class SchemaValidator:
    """Checks values against a schema."""

    def __init__(self, validator: Validator, *, explains: bool) -> None:
        """``explains``: True if the reason of a violation is found in a time proportional to the value."""
        self._validator = validator
        self._explains = explains

    def is_valid(self, value: object) -> bool:
        """Return True if a value satisfies the schema."""
        return self._validator.is_valid(value)

    def describe_problem(self, value: object) -> str:
        """Return why a value violates the schema; empty if that is not known."""
        problem = None
        if self._explains:
            problem = next(self._validator.iter_errors(value), None)
        return "" if problem is None else f" ({excerpt(problem.message)})"


def build_validator(schema: Mapping[str, Any]) -> SchemaValidator:
    """Return the validator of a schema. Raises ``ValueError`` if it is no JSON schema.

    A schema is text of a statement. It never makes this process read a file or fetch an address: ``$ref``
    and ``$schema`` name a part of the schema itself, or one of the standard's own schemas.
    """
    import jsonschema_rs

    try:
        validator = jsonschema_rs.validator_for(dict(schema), offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        reason = getattr(error, "message", str(error))
        outside, found, _ = reason.partition(" is not present in a registry")
        if found:
            reason = f"{outside} is outside the schema; $ref may only name a part of the schema itself"
        raise ValueError(reason) from None
    # Alternatives that refer to themselves have exponentially many reasons.
    return SchemaValidator(validator, explains=not _refers(schema))


def _refers(schema: object) -> bool:
    """Return True if a part of a schema is another part."""
    if isinstance(schema, dict):
        return not _REFERENCES.isdisjoint(schema) or any(map(_refers, schema.values()))
    return isinstance(schema, list) and any(map(_refers, schema))
