"""The examples in the docstrings of functions, extension points and the test endpoint run."""

import doctest
import importlib

import pytest

MODULES = [
    "aiquery.functions",
    "aiquery.functions.ai_mask",
    "aiquery.functions.map_reduce",
    "aiquery.interfaces",
    "aiquery.testing",
    "aiquery.testing.answer",
    "aiquery.testing.endpoint",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0
