"""The Python functions of this package by their names in SQL, with the types that DuckDB passes and gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiquery.sql.databricks.python import (
    decimals,
    formats,
    hashing,
    json_paths,
    jsons,
    numbers,
    schemas,
    texts,
    value_texts,
    variants,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = "VARCHAR"
BYTES = "BLOB"


@dataclass(frozen=True)
class PythonFunction:
    """A function of one row; NULL in any argument gives NULL."""

    function: Callable[..., Any]
    parameters: tuple[str, ...]
    returns: str


def _of_texts(function: Callable[..., Any], count: int = 1) -> PythonFunction:
    """Return a function of texts that gives a text."""
    return PythonFunction(function, (TEXT,) * count, TEXT)


def _of_list(function: Callable[..., Any]) -> PythonFunction:
    """Return a function of a list of texts that gives a text."""
    return PythonFunction(function, (f"{TEXT}[]",), TEXT)


FUNCTIONS: dict[str, PythonFunction] = {
    "variant_set": _of_texts(variants.set_value, 4),
    "variant_insert": _of_texts(variants.insert_value, 3),
    "variant_append": _of_texts(variants.append_value, 3),
    "variant_delete": _of_texts(variants.delete_values, 2),
    "variant_strip_nulls": _of_texts(variants.strip_nulls, 2),
    "variant_explode": PythonFunction(
        variants.explode, (TEXT,), "STRUCT(pos INTEGER, key VARCHAR, value VARCHAR)[]"
    ),
    "schema_of_variant": _of_texts(schemas.schema_of_variant),
    "schema_of_variants": _of_texts(schemas.schema_of_variants),
    "schema_of_json": _of_texts(schemas.schema_of_json),
    "to_char": _of_texts(formats.to_char, 2),
    "to_number": _of_texts(formats.to_number, 2),
    "format_number": _of_texts(formats.format_number, 2),
    "format_string": PythonFunction(formats.format_string, (TEXT, f"{TEXT}[]"), TEXT),
    "variant": _of_texts(variants.variant),
    "variant_text": _of_texts(variants.variant_text),
    "json_text": _of_texts(jsons.json_text),
    "any_case": _of_texts(json_paths.any_case, 2),
    "json_parts": _of_texts(json_paths.json_parts, 2),
    "to_json_with": _of_texts(jsons.to_json_with, 3),
    "to_json": _of_texts(jsons.to_json, 2),
    "decimal_type": _of_list(decimals.decimal_type),
    "left_type": _of_list(decimals.left_type),
    "right_type": _of_list(decimals.right_type),
    "quotient_zeros": _of_list(decimals.quotient_zeros),
    "quotient_unit": _of_list(decimals.quotient_unit),
    "quotient_unit_type": _of_list(decimals.quotient_unit_type),
    "soundex": _of_texts(texts.soundex),
    "levenshtein": PythonFunction(texts.levenshtein, (TEXT, TEXT), "INTEGER"),
    "conv": PythonFunction(texts.convert_base, (TEXT, "INTEGER", "INTEGER"), TEXT),
    "hash": PythonFunction(hashing.spark_hash, (f"{TEXT}[]", f"{TEXT}[]"), "INTEGER"),
    "xxhash64": PythonFunction(
        hashing.spark_xxhash64, (f"{TEXT}[]", f"{TEXT}[]"), "BIGINT"
    ),
    "crc32": PythonFunction(texts.crc32, (BYTES,), "BIGINT"),
    "sha2": PythonFunction(texts.sha2, (BYTES, "INTEGER"), TEXT),
    "hmac": PythonFunction(texts.hmac_of, (BYTES, BYTES, TEXT), BYTES),
    "to_base32": PythonFunction(texts.to_base32, (BYTES,), TEXT),
    "from_base32": PythonFunction(texts.from_base32, (TEXT,), BYTES),
    "is_valid_utf8": PythonFunction(texts.is_valid_utf8, (BYTES,), "BOOLEAN"),
    "make_valid_utf8": PythonFunction(texts.make_valid_utf8, (BYTES,), TEXT),
    "number_text": _of_texts(numbers.number_text),
    "part_type": _of_texts(value_texts.part_type, 2),
    "bytes_text": _of_texts(value_texts.bytes_text),
    "nested_text": _of_texts(value_texts.nested_text, 2),
    "type_name": _of_texts(texts.type_name),
}
