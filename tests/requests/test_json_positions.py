"""The places of the scalars of a JSON text."""

import json

from hypothesis import given
from hypothesis import strategies as st

from aiquery.requests.json_positions import find_scalars

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def walk(value, path=()):
    if isinstance(value, dict):
        for name, one in value.items():
            yield from walk(one, (*path, name))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from walk(one, (*path, index))
    else:
        yield path, value


@given(VALUES, st.sampled_from([None, 0, 2]), st.booleans())
def test_each_scalar_is_found_where_it_stands(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    spans = find_scalars(text)
    assert set(spans) == {path for path, _ in walk(value)}
    for path, scalar in walk(value):
        start, end = spans[path]
        part = text[start:end]
        assert json.loads(f'"{part}"' if isinstance(scalar, str) else part) == scalar
