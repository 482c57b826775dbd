"""Validators of JSON schemas that a user or a server wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema_rs import Validator


def build_validator(schema: Mapping[str, Any]) -> Validator:
    """Return the validator of a schema. Raises ``ValueError`` if it is no JSON schema.

    A schema is text of a statement. It never makes this process read a file or fetch an address: ``$ref``
    and ``$schema`` name a part of the schema itself, or one of the standard's own schemas.
    """
    import jsonschema_rs

    try:
        return jsonschema_rs.validator_for(dict(schema), offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        reason = getattr(error, "message", str(error))
        outside, found, _ = reason.partition(" is not present in a registry")
        if found:
            reason = f"{outside} is outside the schema; $ref may only name a part of the schema itself"
        raise ValueError(reason) from None
