"""Recognizes from an error which feature of a request a model does not take.

OpenAI names it in ``param``; the other servers in the message only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiquery.errors import RequestFailed, UnsupportedFeature

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiquery.providers.request_plan import RequestPlan
    from aiquery.requests.request import RequestTemplate

_LONG_NAME = 6
_FORBIDDEN = 403
"""With it OpenAI rejects log-probabilities, and others a key."""

_STATUSES = frozenset({400, _FORBIDDEN, 404, 405, 415, 422, 500, 501})
_REJECTION = re.compile(
    r"unsupported|unavailable|n[o']t.{0,20}support|unrecogni[sz]ed|unknown|unexpected|deprecated|only the default|"
    r"instead|not (?:permitted|allowed|enabled|available|implemented|one of|a valid)|extra (?:inputs|fields)|no such|"
    r"invalid (?:param|arg|field|value|schema|type|role)|must be (?:1|set|omitted)|must alternate|may only be|"
    r"can(?:not|'t) be|additional ?propert|is(?:n't| not) (?:supported|available|allowed)|incompatible|input should be|"
    r"does(?:n't| not) (?:accept|exist|have|take)|only user and assistant|cannot both|may not be enabled|"
    r"unimplemented|too many states",
    re.IGNORECASE,
)

JSON_SCHEMA = "json_schema"
STRICT = "strict json_schema"
TOOL = "tool"
JSON_OBJECT = "json_object"
SYSTEM = "system role"
STRUCTURES = (STRICT, JSON_SCHEMA, TOOL, JSON_OBJECT)
"""The ways to constrain a reply, the firmest first."""

SCHEMAS = frozenset({STRICT, JSON_SCHEMA})
_SCHEMA_ITSELF = re.compile(
    r"invalid schema|schema (?:is )?(?:too|invalid)|too many|exceeds? .{0,30}limit|nesting|recursi|circular|"
    r"for 'object'",
    re.IGNORECASE,
)
"""An endpoint that takes schemas says so of one that it does not take."""

_SCHEMA_WORDS = (
    r"response_?(?:format|(?:json_?)?schema)|json_?schema|json mode|structured|guided|grammar|schema|"
    r"output[_ ]?(?:config|format)|text\.format"
)
_WORDS = {
    STRICT: rf"strict|{_SCHEMA_WORDS}",
    JSON_SCHEMA: _SCHEMA_WORDS,
    TOOL: r"tools?|tool_choice|function(?:s|_call)?",
    JSON_OBJECT: r"response_?format|json_?object|json mode|response_mime",
    SYSTEM: r"system (?:role|message|prompt|instruction)s?|system_?instruction|developer instructions?|roles? must|"
    r"assistant roles|messages\W{0,3}\d+\W{0,3}role|['\"`]system['\"`]",
    "logprobs": r"(?:top_)?logprobs|log_?prob\w*",
    "max_tokens": r"max_tokens",
}
"""The words for a feature in an error; of a parameter it is the name."""


def raise_if_unsupported(
    error: RequestFailed, template: RequestTemplate, plan: RequestPlan
) -> None:
    """Raise ``UnsupportedFeature`` if an error rejects a feature of a request.

    An error about a parameter that stays is marked fatal: all requests of the template have it.
    """
    is_fatal = error.gives_up_after is not None and error.status != _FORBIDDEN
    if is_fatal or error.status not in _STATUSES:
        return  # the account, the key or the model; or nothing about the request
    feature = find_unsupported(error.message, error.parameter, plan.features)
    if feature in SCHEMAS and _SCHEMA_ITSELF.search(error.message):
        feature = name_schema(feature, template)
    if feature is not None:
        raise UnsupportedFeature(error.message, feature, error.status) from None
    if error.too_long is None and not error.retryable:
        for name in template.parameters:
            is_named = len(name) >= _LONG_NAME and _pattern(name).search(error.message)
            if name == error.parameter or is_named:
                error.mark_fatal()


def find_unsupported(
    message: str, parameter: str, features: Iterable[str]
) -> str | None:
    """Return the one of ``features``, which a request used, that its error rejects; None if it rejects none.

    ``parameter`` is the one that the endpoint names, or empty.
    """
    if not _REJECTION.search(message):
        return None
    ordered = sorted(features, key=_order)
    for text in filter(None, (parameter, message)):
        for feature in ordered:
            if _pattern(feature).search(text):
                return feature
    return None


def name_schema(way: str, template: RequestTemplate) -> str:
    """Return what the schema of a template is called, if it alone is rejected: the endpoint takes others."""
    return f"{way} of {template.digest.hex()[:12]}"


def _order(feature: str) -> tuple[bool, int, str]:
    """Parameters first: their names are exact. Of the structures the firmest first."""
    is_structure = feature in STRUCTURES
    rank = STRUCTURES.index(feature) if is_structure else -1
    return feature in _WORDS, rank, feature


def _pattern(feature: str) -> re.Pattern[str]:
    words = _WORDS.get(feature) or re.escape(feature)
    return re.compile(rf"(?<![a-z])(?:{words})(?![a-z])", re.IGNORECASE)
