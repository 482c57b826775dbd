"""Version 2.1 of ai_extract: each scalar is an object with its value, its citations and its confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.functions.citations import Citations
from aiquery.functions.confidence import ScalarConfidences
from aiquery.functions.schema_values import fit_to_schema
from aiquery.requests.json_schema import build_validator
from aiquery.requests.parsing import (
    build_object_schema,
    find_json_in_reply,
    raise_if_invalid,
    raise_if_truncated,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiquery.requests.json_positions import Path
    from aiquery.requests.request import Request, Response

VERSION = "2.1"
QUOTE = (
    "Give the value of each field, and as its quote the words of the text that say it, copied exactly; null if the "
    "text does not say it.\n"
)
SECOND = "Read the text twice before you reply.\n"
"""A line of the second reading, which is another request about the same text."""

_QUOTE_SCHEMA = {"type": ["string", "null"]}


def with_quotes(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of replies that give a quote with each scalar."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [with_quotes(one) for one in schema["anyOf"]]}
    if "properties" in schema:
        fields = {
            name: with_quotes(field) for name, field in schema["properties"].items()
        }
        return {**schema, "properties": fields}
    if "items" in schema:
        return {**schema, "items": with_quotes(schema["items"])}
    if schema.get("type") == "null":
        return dict(schema)
    return build_object_schema({"value": dict(schema), "quote": _QUOTE_SCHEMA})


class DetailsParser:
    """Returns a document of the user's schema with details of each scalar, as the value of version 2.1."""

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        with_citations: bool,
        with_confidence: bool,
        mode: str = "",
    ) -> None:
        """Take the schema of the values, and the mode that the metadata shows unless it is ""."""
        self._schema = schema
        self.reply_schema = with_quotes(schema) if with_citations else schema
        self._validator = build_validator(self.reply_schema)
        self._with_citations = with_citations
        self._with_confidence = with_confidence
        self._mode = mode

    def read(self, response: Response, request: Request) -> object:
        """Return the value. Raises ``ReplyParseError``, which names the violation."""
        raise_if_truncated(response)
        found = find_json_in_reply(response.text)
        fitted = _with_quote if self._with_citations else None
        document = fit_to_schema(found.value, self._schema, fitted)
        raise_if_invalid(self._validator, document, response.text)
        citations = Citations(str(request.content))
        confidences = None
        if self._with_confidence:
            confidences = ScalarConfidences(response, found.text)
        reader = _ScalarReader(citations if self._with_citations else None, confidences)
        value: dict[str, Any] = {
            "response": fit_to_schema(document, self._schema, reader.read),
            "error_message": None,
            "metadata": {"version": VERSION},
        }
        metadata = value["metadata"]
        if self._mode:
            metadata["mode"] = self._mode
        if self._with_citations:
            metadata["chunk_type"] = "span"
            metadata["citations"] = citations.to_values()
        return value


def _with_quote(value: Any, _path: Path) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"value": value.get("value"), "quote": value.get("quote")}
    return {"value": value, "quote": None}  # the model left the quote out


class _ScalarReader:
    """Adds the details to the scalars of one document."""

    def __init__(
        self, citations: Citations | None, confidences: ScalarConfidences | None
    ) -> None:
        self._citations = citations
        self._confidences = confidences

    def read(self, value: Any, path: Path) -> dict[str, Any]:
        quote = None
        if self._citations is not None:
            quote = value.get("quote") if isinstance(value, dict) else None
            value = value.get("value") if isinstance(value, dict) else value
            path = (*path, "value")
        made: dict[str, Any] = {"value": value}
        if self._citations is not None:
            made["citation_ids"] = [] if value is None else self._citations.cite(quote)
        if self._confidences is not None:
            made["confidence_score"] = self._confidences.of(path)
        return made


def combine(first: Any, second: Any) -> Any:
    """Return two answers of version 2.1 about one text as one: with what both say, and the citations that it has."""
    response = compare(first["response"], second["response"])
    metadata = dict(first["metadata"])
    if "citations" in metadata:
        used = set(_find_ids(response))
        metadata["citations"] = [
            one for one in metadata["citations"] if one["id"] in used
        ]
    return {"response": response, "error_message": None, "metadata": metadata}


def _find_ids(value: Any) -> Iterator[int]:
    if isinstance(value, list):
        for item in value:
            yield from _find_ids(item)
    elif isinstance(value, dict):
        if _is_scalar(value):
            yield from value.get("citation_ids", ())
        else:
            yield from _find_ids(list(value.values()))


def _is_scalar(value: dict[str, Any]) -> bool:
    """Return True for the object of a scalar: a user's field of the name has an object itself."""
    return "value" in value and not isinstance(value["value"], dict | list)


def compare(first: Any, second: Any) -> Any:
    """Return the first of two readings of a text, with null for each scalar on which they differ.

    The confidence of a scalar is the mean of both. Arrays of other lengths differ as a whole.
    """
    if isinstance(first, dict) and isinstance(second, dict):
        if _is_scalar(first) and _is_scalar(second):
            return _compare_scalars(first, second)
        return {name: compare(one, second.get(name)) for name, one in first.items()}
    if isinstance(first, list) and isinstance(second, list):
        if len(first) != len(second):
            return None
        return [compare(one, two) for one, two in zip(first, second, strict=True)]
    return None


def _compare_scalars(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    made = dict(first)
    if _normalize(first["value"]) != _normalize(second["value"]):
        made["value"] = None
        if "citation_ids" in made:
            made["citation_ids"] = []
    if "confidence_score" in made:
        scores = [one.get("confidence_score") for one in (first, second)]
        known = [score for score in scores if score is not None]
        made["confidence_score"] = round(sum(known) / len(known), 6) if known else None
    return made


def _normalize(value: object) -> object:
    return " ".join(value.casefold().split()) if isinstance(value, str) else value
