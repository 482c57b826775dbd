"""Hashes, checksums and encodings of texts and bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.lambdas import call

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr


def _of_bytes(body: str) -> str:
    """Return a macro of a text or of bytes; ``{0}`` is the bytes."""
    return f"(value VARCHAR) AS {body.format('encode(value)')}, (value BLOB) AS {body.format('value')}"


MACROS = {
    "_sha2": "(bytes, length) AS nullif(databricks_py_sha2(bytes, length), '')",
    "crc32": _of_bytes("databricks_py_crc32({0})"),
    "to_base32": _of_bytes("databricks_py_to_base32({0})"),
    "from_base32": "(text) AS databricks_py_from_base32(text)",
    "is_valid_utf8": _of_bytes("databricks_py_is_valid_utf8({0})"),
    "make_valid_utf8": _of_bytes("databricks_py_make_valid_utf8({0})"),
    "try_validate_utf8": _of_bytes(
        "CASE WHEN databricks_py_is_valid_utf8({0}) THEN databricks_py_make_valid_utf8({0}) END"
    ),
    "validate_utf8": _of_bytes(
        "CASE WHEN databricks_py_is_valid_utf8({0}) THEN databricks_py_make_valid_utf8({0}) "
        "WHEN value IS NOT NULL THEN error('validate_utf8: the bytes are not UTF-8') END"
    ),
    "hmac": "(key VARCHAR, message VARCHAR, algorithm := 'SHA-256') AS "
    "databricks_py_hmac(encode(key), encode(message), algorithm), "
    "(key BLOB, message BLOB, algorithm := 'SHA-256') AS databricks_py_hmac(key, message, algorithm)",
    "_hash": "(kinds, items) AS databricks_py_hash(kinds, items)",
    "_xxhash64": "(kinds, items) AS databricks_py_xxhash64(kinds, items)",
    "typeof": "(value) AS databricks_py_type_name(typeof(value))",
    "_type_name": "(name) AS databricks_py_type_name(name)",
}


def _hash(node: exp.Anonymous) -> Expr:
    """Return ``hash`` or ``xxhash64`` of the types of the values, and of the JSON of each."""
    name = str(node.this).lower()
    if not node.expressions:
        raise StatementError(f"{name} takes at least one value.")
    kinds = [call("typeof", one.copy()) for one in node.expressions]
    values = [exp.cast(call("to_json", one.copy()), "TEXT") for one in node.expressions]
    return call(f"databricks__{name}", exp.array(*kinds), exp.array(*values))


REWRITES: dict[str, Callable[[exp.Anonymous], Expr]] = {
    "hash": _hash,
    "xxhash64": _hash,
}
