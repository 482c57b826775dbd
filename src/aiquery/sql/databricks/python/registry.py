"""The Python functions of this package by their names in SQL, with the types that DuckDB passes and gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiquery.sql.databricks.python import (
    decimals,
    formats,
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
_DIGITS = ("INTEGER", "INTEGER")


@dataclass(frozen=True)
class PythonFunction:
    """A function of one row; NULL in any argument gives NULL."""

    function: Callable[..., Any]
    parameters: tuple[str, ...]
    returns: str


FUNCTIONS: dict[str, PythonFunction] = {
    "variant_set": PythonFunction(variants.set_value, (TEXT, TEXT, TEXT, TEXT), TEXT),
    "variant_insert": PythonFunction(variants.insert_value, (TEXT, TEXT, TEXT), TEXT),
    "variant_append": PythonFunction(variants.append_value, (TEXT, TEXT, TEXT), TEXT),
    "variant_delete": PythonFunction(variants.delete_values, (TEXT, TEXT), TEXT),
    "variant_strip_nulls": PythonFunction(variants.strip_nulls, (TEXT, TEXT), TEXT),
    "variant_explode": PythonFunction(
        variants.explode, (TEXT,), "STRUCT(pos INTEGER, key VARCHAR, value VARCHAR)[]"
    ),
    "schema_of_variant": PythonFunction(schemas.schema_of_variant, (TEXT,), TEXT),
    "schema_of_variants": PythonFunction(schemas.schema_of_variants, (TEXT,), TEXT),
    "schema_of_json": PythonFunction(schemas.schema_of_json, (TEXT,), TEXT),
    "to_char": PythonFunction(formats.to_char, (TEXT, TEXT), TEXT),
    "to_number": PythonFunction(formats.to_number, (TEXT, TEXT), TEXT),
    "format_number": PythonFunction(formats.format_number, (TEXT, TEXT), TEXT),
    "format_string": PythonFunction(formats.format_string, (TEXT, f"{TEXT}[]"), TEXT),
    "json_text": PythonFunction(jsons.json_text, (TEXT,), TEXT),
    "json_parts": PythonFunction(json_paths.json_parts, (TEXT, TEXT), TEXT),
    "to_json_with": PythonFunction(jsons.to_json_with, (TEXT, TEXT, TEXT), TEXT),
    "to_json": PythonFunction(jsons.to_json, (TEXT, TEXT), TEXT),
    "decimal_type": PythonFunction(
        decimals.decimal_type, (TEXT, TEXT, TEXT, *_DIGITS, TEXT), TEXT
    ),
    "left_type": PythonFunction(
        decimals.left_type, (TEXT, TEXT, TEXT, *_DIGITS, TEXT), TEXT
    ),
    "right_type": PythonFunction(decimals.right_type, (TEXT, TEXT, TEXT), TEXT),
    "quotient_zeros": PythonFunction(
        decimals.quotient_zeros, (TEXT, TEXT, TEXT, *_DIGITS, TEXT), TEXT
    ),
    "quotient_unit": PythonFunction(
        decimals.quotient_unit, (TEXT, TEXT, TEXT, *_DIGITS, TEXT), TEXT
    ),
    "quotient_unit_type": PythonFunction(
        decimals.quotient_unit_type, (TEXT, TEXT, TEXT, *_DIGITS, TEXT), TEXT
    ),
    "soundex": PythonFunction(texts.soundex, (TEXT,), TEXT),
    "levenshtein": PythonFunction(texts.levenshtein, (TEXT, TEXT), "INTEGER"),
    "conv": PythonFunction(texts.convert_base, (TEXT, "INTEGER", "INTEGER"), TEXT),
    "crc32": PythonFunction(texts.crc32, (BYTES,), "BIGINT"),
    "sha2": PythonFunction(texts.sha2, (BYTES, "INTEGER"), TEXT),
    "hmac": PythonFunction(texts.hmac_of, (BYTES, BYTES, TEXT), BYTES),
    "to_base32": PythonFunction(texts.to_base32, (BYTES,), TEXT),
    "from_base32": PythonFunction(texts.from_base32, (TEXT,), BYTES),
    "is_valid_utf8": PythonFunction(texts.is_valid_utf8, (BYTES,), "BOOLEAN"),
    "make_valid_utf8": PythonFunction(texts.make_valid_utf8, (BYTES,), TEXT),
    "number_text": PythonFunction(numbers.number_text, (TEXT,), TEXT),
    "part_type": PythonFunction(value_texts.part_type, (TEXT, TEXT), TEXT),
    "bytes_text": PythonFunction(value_texts.bytes_text, (TEXT,), TEXT),
    "nested_text": PythonFunction(value_texts.nested_text, (TEXT, TEXT), TEXT),
    "type_name": PythonFunction(texts.type_name, (TEXT,), TEXT),
}
