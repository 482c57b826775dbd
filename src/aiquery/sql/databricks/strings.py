"""Strings: positions start at 1, and count from the end if they are negative."""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase, digits
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import call

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

MACROS = {
    "ascii": "(text) AS CASE WHEN text = '' THEN 0 ELSE ascii(text) END",
    "bit_length": "(value VARCHAR) AS (octet_length(encode(value)) * 8)::INT, "
    "(value BLOB) AS (octet_length(value) * 8)::INT",
    "_bytes": "(value VARCHAR) AS encode(value), (value) AS value::BLOB",
    "btrim": "(text) AS trim(text, ' '), (text, characters) AS trim(text, characters)",
    "char_length": "(value VARCHAR) AS length(value)::INT, (value BLOB) AS octet_length(value)::INT",
    "contains": "(value VARCHAR, part VARCHAR) AS contains(value, part), "
    "(value BLOB, part BLOB) AS regexp_matches(hex(value), '^(..)*' || hex(part))",
    "endswith": "(value VARCHAR, part VARCHAR) AS suffix(value, part), "
    "(value BLOB, part BLOB) AS suffix(hex(value), hex(part))",
    "find_in_set": "(text, list) AS CASE WHEN contains(text, ',') THEN 0 "
    "ELSE coalesce(list_position(string_split(list, ','), text), 0) + "
    "CASE WHEN text IS NULL OR list IS NULL THEN NULL ELSE 0 END END",
    "_position_of": "(text, part) AS instr(text, part)::INT",
    "_nth_position": "(text, part, start, count) AS CASE WHEN part = '' THEN 1 WHEN start > 0 THEN "
    "coalesce(list_filter("
    "databricks__positions(text, part), lambda x: x >= start)[count], 0)::INT "
    "ELSE coalesce(list_reverse(list_filter(databricks__positions(text, part), lambda x: "
    "x <= length(text) + start + 1))[count], 0)::INT END",
    "_positions": "(text, part) AS list_filter(range(1, length(text) - length(part) + 2), lambda i: "
    "substr(text, i, length(part)) = part)",
    "left": "(text, count) AS CASE WHEN count <= 0 THEN left(text, 0) ELSE left(text, count::INT) END",
    "len": "(value VARCHAR) AS length(value)::INT, (value BLOB) AS octet_length(value)::INT",
    # DuckDB's function counts bytes.
    "_distance": "(a, b) AS CASE WHEN strlen(a) = length(a) AND strlen(b) = length(b) THEN levenshtein(a, b)::INT "
    "ELSE databricks_py_levenshtein(a, b) END",
    "levenshtein": "(a, b) AS databricks__distance(a, b), (a, b, bound) AS "
    "CASE WHEN databricks__distance(a, b) > bound THEN -1 ELSE databricks__distance(a, b) END",
    "locate": "(part, text) AS instr(text, part)::INT, (part, text, position) AS CASE "
    "WHEN part IS NULL OR text IS NULL OR position IS NULL THEN NULL WHEN position <= 0 THEN 0 "
    "WHEN instr(substr(text, position), part) = 0 THEN 0 "
    "ELSE (instr(substr(text, position), part) + position - 1)::INT END",
    "luhn_check": "(text) AS CASE WHEN text IS NULL THEN NULL WHEN NOT regexp_full_match(text, '[0-9]+') THEN false "
    "ELSE list_sum(list_transform(string_split(reverse(text), ''), lambda d, i: "
    "CASE WHEN i % 2 = 1 THEN d::INT WHEN d::INT > 4 THEN d::INT * 2 - 9 ELSE d::INT * 2 END)) % 10 = 0 END",
    "lpad": "(text VARCHAR, count) AS CASE WHEN count <= 0 THEN '' ELSE lpad(text, count, ' ') END, "
    "(text VARCHAR, count, pad VARCHAR) AS CASE WHEN count <= 0 THEN '' WHEN pad = '' THEN left(text, count) "
    "ELSE lpad(text, count, pad) END, "
    "(value BLOB, count) AS unhex(lpad(hex(value), count * 2, '0')), "
    "(value BLOB, count, pad BLOB) AS unhex(lpad(hex(value), count * 2, hex(pad)))",
    "ltrim": "(text) AS ltrim(text, ' '), (characters, text) AS ltrim(text, characters)",
    "octet_length": "(value VARCHAR) AS octet_length(encode(value))::INT, (value BLOB) AS octet_length(value)::INT",
    "base64": "(value VARCHAR) AS base64(encode(value)), (value BLOB) AS base64(value)",
    "_letter": "(code) AS CASE WHEN code < 0 OR code % 256 = 0 AND code <> 0 THEN '' ELSE chr((code % 256)::INT) END",
    "quote": "(text) AS '''' || replace(replace(text, '\\', '\\\\'), '''', '\\''') || ''''",
    "repeat": "(text, count) AS repeat(text, greatest(count, 0))",
    "right": "(text, count) AS CASE WHEN count <= 0 THEN left(text, 0) ELSE right(text, count::INT) END",
    "rpad": "(text VARCHAR, count) AS CASE WHEN count <= 0 THEN '' ELSE rpad(text, count, ' ') END, "
    "(text VARCHAR, count, pad VARCHAR) AS CASE WHEN count <= 0 THEN '' WHEN pad = '' THEN left(text, count) "
    "ELSE rpad(text, count, pad) END, "
    "(value BLOB, count) AS unhex(rpad(hex(value), count * 2, '0')), "
    "(value BLOB, count, pad BLOB) AS unhex(rpad(hex(value), count * 2, hex(pad)))",
    "rtrim": "(text) AS rtrim(text, ' '), (characters, text) AS rtrim(text, characters)",
    "upper": "(text) AS upper(replace(text, 'ß', 'ss'))",
    "_title": "(word) AS CASE WHEN starts_with(word, 'ß') THEN 'Ss' ELSE upper(left(word, 1)) END || substr(word, 2)",
    "initcap": "(text) AS array_to_string(list_transform(string_split(lower(text), ' '), "
    "lambda word: databricks__title(word)), ' ')",
    "replace": "(text, part, replacement := '') AS replace(text, part, replacement)",
    "soundex": "(text) AS databricks_py_soundex(text)",
    "regexp_like": "(text, pattern) AS regexp_matches(text, pattern)",
    # DuckDB's function leaves a letter and its combining marks together.
    "reverse": "(text VARCHAR) AS CASE WHEN strlen(text) = length(text) THEN reverse(text) "
    "ELSE array_to_string(list_reverse(string_split(text, '')), '') END, (items) AS list_reverse(items)",
    "substr": "(text VARCHAR, position, count := 2147483647) AS CASE WHEN text IS NULL OR position IS NULL "
    "OR count IS NULL THEN NULL "
    "WHEN count + least(databricks__start(length(text), position) - 1, 0) <= 0 THEN '' "
    "ELSE substr(text, greatest(databricks__start(length(text), position), 1), "
    "count + least(databricks__start(length(text), position) - 1, 0)) END, "
    "(value BLOB, position, count := 1000000000) AS unhex(substr(hex(value), "
    "2 * greatest(databricks__start(octet_length(value), position), 1) - 1, 2 * count))",
    "_start": "(size, position) AS CASE WHEN position > 0 THEN position WHEN position = 0 THEN 1 "
    "ELSE size + position + 1 END",
    "url_encode": "(text) AS replace(replace(replace(url_encode(text), '%20', '+'), '%2A', '*'), '~', '%7E')",
    "url_decode": "(text) AS url_decode(replace(text, '+', ' '))",
    "try_url_decode": "(text) AS TRY(url_decode(replace(text, '+', ' ')))",
    "try_parse_url": "(url, part, key := NULL) AS CASE WHEN regexp_matches(url, '[\\s<>\"{}|^`\\\\]') THEN NULL "
    "ELSE databricks_parse_url(url, part, key) END",
    "regexp_substr": "(text, pattern) AS nullif(regexp_extract(text, pattern), '')",
    "sentences": "(text, language := 'en', country := 'US') AS list_transform(list_filter("
    "regexp_split_to_array(text, '[.!?]+\\s*'), lambda x: x <> ''), lambda x: regexp_extract_all(x, "
    "'[\\p{L}\\p{N}''_-]+'))",
    "parse_url": "(url, part, key := NULL) AS CASE upper(part) "
    "WHEN 'HOST' THEN nullif(regexp_extract(url, '^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]*)', 1), '') "
    "WHEN 'PROTOCOL' THEN nullif(regexp_extract(url, '^([a-zA-Z][a-zA-Z0-9+.-]*):', 1), '') "
    "WHEN 'PATH' THEN regexp_extract(url, '^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*([^?#]*)', 1) "
    "WHEN 'REF' THEN nullif(regexp_extract(url, '#(.*)$', 1), '') "
    "WHEN 'QUERY' THEN CASE WHEN key IS NULL THEN nullif(regexp_extract(url, '\\?([^#]*)', 1), '') "
    "ELSE nullif(regexp_extract(url, '[?&]' || regexp_escape(key) || '=([^&#]*)', 1), '') END "
    "WHEN 'AUTHORITY' THEN nullif(regexp_extract(url, '^[a-zA-Z][a-zA-Z0-9+.-]*://([^/?#]*)', 1), '') END",
    "split_part": "(text, delimiter, part) AS CASE WHEN delimiter = '' AND abs(part) <> 1 THEN '' "
    "ELSE split_part(text, delimiter, part) || repeat('', 1 // part) END",
    "startswith": "(value VARCHAR, part VARCHAR) AS starts_with(value, part), "
    "(value BLOB, part BLOB) AS starts_with(hex(value), hex(part))",
    "substring_index": "(text, delimiter, count) AS CASE WHEN text IS NULL OR delimiter IS NULL OR count IS NULL "
    "THEN NULL WHEN count = 0 OR delimiter = '' THEN '' WHEN count > 0 "
    "THEN array_to_string(string_split(text, delimiter)[:count], delimiter) "
    "ELSE array_to_string(string_split(text, delimiter)[greatest(len(string_split(text, delimiter)) + count + 1, 1):], "
    "delimiter) END",
    "translate": "(text, matching, replacement) AS translate(text, matching, replacement)",
    "overlay": "(text VARCHAR, replacement VARCHAR, start) AS "
    "left(text, start - 1) || replacement || substr(text, start + length(replacement)), "
    "(text VARCHAR, replacement VARCHAR, start, count) AS left(text, start - 1) || replacement || "
    "substr(text, start + CASE WHEN count < 0 THEN length(replacement) ELSE count END), "
    "(value BLOB, replacement BLOB, start) AS unhex(left(hex(value), (start - 1) * 2) || hex(replacement) || "
    "substr(hex(value), (start - 1) * 2 + length(hex(replacement)) + 1)), "
    "(value BLOB, replacement BLOB, start, count) AS unhex(left(hex(value), (start - 1) * 2) || hex(replacement) || "
    "substr(hex(value), (start - 1) * 2 + CASE WHEN count < 0 THEN length(hex(replacement)) ELSE count * 2 END + 1))",
    "mask": "(text, upper_ := 'X', lower_ := 'x', digit := 'n', other := NULL) AS "
    "CASE WHEN upper_ = 'X' AND lower_ = 'x' AND digit = 'n' AND other IS NULL "
    "THEN CASE WHEN strlen(text) = length(text) "
    f"THEN translate(text, '{ascii_uppercase}{ascii_lowercase}{digits}', '{'X' * 26}{'x' * 26}{'n' * 10}') "
    "ELSE regexp_replace(regexp_replace(regexp_replace(text, '\\p{Lu}', 'X', 'g'), '\\p{Ll}', 'x', 'g'), "
    "'\\p{Nd}', 'n', 'g') END "
    "ELSE array_to_string(list_transform(string_split(text, ''), lambda c: CASE "
    "WHEN regexp_full_match(c, '\\p{Lu}') THEN coalesce(upper_, c) "
    "WHEN regexp_full_match(c, '\\p{Ll}') THEN coalesce(lower_, c) "
    "WHEN regexp_full_match(c, '\\p{Nd}') THEN coalesce(digit, c) ELSE coalesce(other, c) END), '') END",
}


def _instr(node: exp.Anonymous) -> Expr:
    text, part, *others = node.expressions
    if not others:
        return call("databricks__position_of", text, part)
    count = others[1] if len(others) > 1 else exp.Literal.number(1)
    return call("databricks__nth_position", text, part, others[0], count)


def _try_to_binary(node: exp.Anonymous) -> Expr:
    text, *form = node.expressions
    functions = {
        "hex": "unhex",
        "utf-8": "encode",
        "utf8": "encode",
        "base64": "from_base64",
    }
    name = form[0].name.lower() if form else "hex"
    if name not in functions:
        return exp.null()
    return exp.Try(this=call(functions[name], text))


REWRITES: dict[str, Callable[[exp.Anonymous], Expr]] = {
    "instr": _instr,
    "try_to_binary": _try_to_binary,
}
NAMES = {
    "character_length": "char_length",
    "length": "len",
    "regexp": "regexp_like",
    "rlike": "regexp_like",
}
