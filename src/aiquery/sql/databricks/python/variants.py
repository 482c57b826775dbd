"""Changes of a VARIANT, which is JSON text here; a path is ``$.a['b c'][0]``."""

from __future__ import annotations

import json
import math
import re
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.sql.databricks.python.numbers import number_text

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DIGITS = 38
_DIGITS = Context(prec=MAX_DIGITS)
_ENCODER = msgspec.json.Encoder()

_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d+)\]|\[['"]([^'"]+)['"]\]""")


class InvalidPath(ValueError):
    """A path that is not one, or that leads through a value that has no parts."""


def decode(text: str) -> Any:
    """Return a value; numbers with a fraction stay exact."""
    return json.loads(text, parse_float=Decimal)


def encode(value: Any) -> str:
    """Return JSON without spaces."""
    if isinstance(value, dict):
        return (
            "{"
            + ",".join(f"{encode(key)}:{encode(one)}" for key, one in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(encode, value)) + "]"
    if isinstance(value, Decimal):
        return format(value, "f") if abs(value.adjusted()) < 30 else str(value)  # noqa: PLR2004
    return json.dumps(value, ensure_ascii=False)


def variant(text: str) -> str:
    """Return a JSON text as it is stored for a VARIANT: keys are sorted, and numbers have no further zeros.

    A DOUBLE has an exponent, so that it stays one. Text that is not JSON is returned as it is. The rules are those of
    Spark 4.3's ``VariantBuilder`` and ``Variant.toJson``.

    >>> variant('{"b": 20.00, "a": [1e3, 0.10]}')
    '{"a":[1E3,0.1],"b":20}'
    """
    return _rewrite(text, _with_exponent)


def variant_text(text: str) -> str:
    """Return the text of a VARIANT that is an object, an array or a number.

    >>> variant_text('{"a":[1E3,0.1],"b":20}')
    '{"a":[1000.0,0.1],"b":20}'
    """
    return _rewrite(text, number_text)


def _rewrite(text: str, write_double: Callable[[str], str]) -> str:
    def number(token: str) -> msgspec.Raw | str:
        exact = _exact(token)
        if exact is not None:
            return msgspec.Raw(exact.encode())
        value = float(token)
        if math.isinf(value):
            return "-Infinity" if value < 0 else "Infinity"
        return msgspec.Raw(write_double(repr(value)).encode())

    try:
        value = json.loads(text, parse_float=number, parse_int=number)
    except ValueError:
        return text
    return _ENCODER.encode(_sort(value)).decode()


def _with_exponent(text: str) -> str:
    """Return a number with an exponent, as ``1E3``."""
    number = Decimal(text)
    digits = str(number.scaleb(-number.adjusted()).normalize())
    return f"{digits}E{number.adjusted()}"


def _exact(text: str) -> str | None:
    """Return a number without an exponent and of at most 38 digits, without zeros at its end."""
    digits = text.lstrip("-").replace(".", "")
    if not digits.isdigit() or len(digits.lstrip("0")) > MAX_DIGITS:
        return None
    value = Decimal(text).normalize(_DIGITS)
    return format(value, "f") if value else "0"


def _sort(value: Any) -> Any:
    """Return a value whose objects have sorted keys, by the units of UTF-16 as Java does."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return {key: _sort(value[key]) for key in keys}
    return [_sort(one) for one in value] if isinstance(value, list) else value


def parse_path(path: str) -> list[str | int]:
    """Return the keys and positions of a path. Raises ``InvalidPath``."""
    steps: list[str | int] = []
    position = 1
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise InvalidPath(f"{path!r} is not a path: write $.key, $['key'] or $[0].")
        key, index, quoted = match.groups()
        steps.append(int(index) if index is not None else key or quoted)
        position = match.end()
    if not path.startswith("$"):
        raise InvalidPath(f"{path!r} is not a path: it must start with $.")
    return steps


def set_value(text: str, path: str, value: str, create: str) -> str:
    """Return JSON with a value at a path; ``create`` is 'true' if the parts of the path may be missing."""
    root = [decode(text)]
    _put(
        root,
        [0, *parse_path(path)],
        decode(value),
        create=create == "true",
        insert=False,
    )
    return encode(root[0])


def insert_value(text: str, path: str, value: str) -> str:
    """Return JSON with a further value: a new key, or before a position of an array."""
    root = [decode(text)]
    _put(root, [0, *parse_path(path)], decode(value), create=True, insert=True)
    return encode(root[0])


def append_value(text: str, path: str, value: str) -> str:
    """Return JSON with a value at the end of the array at a path; a missing path changes nothing."""
    root = decode(text)
    found, is_there = _find(root, parse_path(path))
    if not is_there:
        return encode(root)
    if not isinstance(found, list):
        raise InvalidPath(f"{path!r} is not an array.")
    found.append(decode(value))
    return encode(root)


def delete_values(text: str, path: str) -> str:
    """Return JSON without what is at a path."""
    root = decode(text)
    *parents, last = parse_path(path)
    parent, is_there = _find(root, parents)
    if is_there and _has(parent, last):
        del parent[last]
    return encode(root)


def strip_nulls(text: str, in_arrays: str) -> str:
    """Return JSON without keys whose value is null, and without nulls of arrays if ``in_arrays`` is 'true'."""
    return encode(_without_nulls(decode(text), in_arrays=in_arrays == "true"))


def explode(text: str) -> list[dict[str, Any]]:
    """Return the parts of an object or array: their positions, keys and values."""
    value = decode(text)
    if isinstance(value, dict):
        pairs = sorted(value.items())  # a VARIANT of Spark has its fields in this order
    else:
        pairs = [(None, one) for one in value] if isinstance(value, list) else []
    return [
        {"pos": number, "key": key, "value": encode(one)}
        for number, (key, one) in enumerate(pairs)
    ]


def _without_nulls(value: Any, *, in_arrays: bool) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_nulls(one, in_arrays=in_arrays)
            for key, one in value.items()
            if one is not None
        }
    if isinstance(value, list):
        return [
            _without_nulls(one, in_arrays=in_arrays)
            for one in value
            if one is not None or not in_arrays
        ]
    return value


def _has(parent: Any, step: str | int) -> bool:
    if isinstance(parent, list):
        return isinstance(step, int) and step < len(parent)
    return isinstance(parent, dict) and isinstance(step, str) and step in parent


def _find(value: Any, steps: list[str | int]) -> tuple[Any, bool]:
    found: Any = value
    for step in steps:
        if not _has(found, step):
            return None, False
        found = found[step]
    return found, True


def _put(
    parent: Any, steps: list[str | int], value: Any, *, create: bool, insert: bool
) -> None:
    step, *rest = steps
    if isinstance(step, int) != isinstance(parent, list) or not isinstance(
        parent, list | dict
    ):
        raise InvalidPath(
            f"the path leads through {encode(parent)}, which has no part {step!r}."
        )
    is_there = _has(parent, step)
    if not rest:
        _put_last(parent, step, value, create=create, insert=insert)
        return
    if not is_there:
        if not create:
            return
        _put_last(
            parent,
            step,
            [] if isinstance(rest[0], int) else {},
            create=True,
            insert=False,
        )
    part: Any = parent
    _put(part[step], rest, value, create=create, insert=insert)


def _put_last(
    parent: Any, step: Any, value: Any, *, create: bool, insert: bool
) -> None:
    is_there = _has(parent, step)
    if insert and is_there and isinstance(parent, dict):
        raise InvalidPath(f"the key {step!r} exists already.")
    if not is_there and not create:
        return
    if isinstance(parent, list) and not is_there:
        parent += [None] * (step - len(parent) + 1)
    elif insert and is_there:
        parent.insert(step, value)
        return
    parent[step] = value
