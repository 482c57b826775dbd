"""Checks an answer of a store: another process, or another version of this package, may have written it."""

from __future__ import annotations

from decimal import InvalidOperation
from typing import TYPE_CHECKING

from aiquery.errors import InvalidResponse
from aiquery.requests.coercion import coerce
from aiquery.requests.parsing import VectorParser

if TYPE_CHECKING:
    from aiquery.requests.request import RequestTemplate


def is_answer(value: object, template: RequestTemplate) -> bool:
    """Return True if ``value``, which was decoded from JSON, may be an answer to a request of ``template``."""
    if value is None:
        return True
    parser = template.parser
    if isinstance(parser, VectorParser):
        return isinstance(value, str) and _is_vector(value, parser)
    answer_type = template.answer_type
    if answer_type.name == "VARIANT":
        return True
    if answer_type.name == "STRING":
        return isinstance(value, str)
    try:
        return coerce(value, answer_type) == value
    except (ValueError, TypeError, InvalidOperation, RecursionError):
        return False


def _is_vector(packed: str, parser: VectorParser) -> bool:
    try:
        parser.check(packed)
    except InvalidResponse:
        return False
    return True
