"""Version 2.1 of ai_classify: an object for each label, with its confidence and its rationale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.errors import ReplyParseError, excerpt
from aiquery.functions.chat_parsers import ChoiceParser
from aiquery.functions.confidence import ScalarConfidences, compute_confidence
from aiquery.requests.parsing import (
    build_object_schema,
    find_json_in_reply,
    raise_if_truncated,
    to_response_format,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiquery.requests.json_positions import Path
    from aiquery.requests.json_search import Found
    from aiquery.requests.request import Request, Response

VERSION = "2.1"


class DetailsParser(ChoiceParser):
    """Returns the label, or all labels, as the value of version 2.1."""

    def __init__(
        self,
        labels: Sequence[str],
        *,
        is_multilabel: bool,
        with_confidence: bool,
        with_rationales: bool,
    ) -> None:
        """``with_rationales`` asks for the reason before the label: a model decides better so."""
        super().__init__(labels)
        self._labels = list(labels)
        self._is_multilabel = is_multilabel
        self.with_confidence = with_confidence
        self._with_rationales = with_rationales

    def build_response_format(self) -> dict[str, Any]:
        """Return the ``response_format`` that constrains the model to the labels."""
        label: dict[str, Any] = {"type": "string", "enum": self._labels}
        item = {"label": label}
        if self._with_rationales:
            item = {"rationale": {"type": "string"}, "label": label}
        if not self._is_multilabel:
            return to_response_format(build_object_schema(item))
        items = build_object_schema(item) if self._with_rationales else label
        labels = {"type": "array", "items": items, "maxItems": len(self._labels)}
        return to_response_format(build_object_schema({"labels": labels}))

    def read(self, response: Response, request: Request) -> object:
        """Return the labels in the order of the argument, each once. Raises ``ReplyParseError``."""
        raise_if_truncated(response)
        found = self._read_items(response, request)
        ordered = sorted(found, key=self._labels.index)
        return {
            "response": [found[label] for label in ordered],
            "error_message": None,
            "metadata": {"version": VERSION},
        }

    def _read_items(
        self, response: Response, request: Request
    ) -> dict[str, dict[str, Any]]:
        if not self._is_multilabel and "{" not in response.text:
            label = str(super().read(response, request))
            return {
                label: self._detail(label, None, compute_confidence(label, response))
            }
        json_found = find_json_in_reply(response.text)
        confidences = ScalarConfidences(response, json_found.text)
        items: dict[str, dict[str, Any]] = {}
        for item, path in self._list_items(json_found, response.text):
            named = item.get(self.field) if isinstance(item, dict) else item
            label = self.match_choice(named, response.text)
            score = confidences.of(
                (*path, self.field) if isinstance(item, dict) else path
            )
            if score is None:
                score = compute_confidence(label, response)
            rationale = item.get("rationale") if isinstance(item, dict) else None
            items.setdefault(label, self._detail(label, rationale, score))
        return items

    def _list_items(self, found: Found, reply: str) -> list[tuple[Any, Path]]:
        """Return the items of a reply with their paths in it."""
        document = found.value
        if not self._is_multilabel:
            return [(document, ())]
        named = document.get("labels") if isinstance(document, dict) else document
        if not isinstance(named, list):
            raise ReplyParseError(
                f"the reply has no list of labels: {excerpt(reply)!r}"
            )
        path: Path = ("labels",) if isinstance(document, dict) else ()
        return [(item, (*path, index)) for index, item in enumerate(named)]

    def _detail(
        self, label: str, rationale: object, score: float | None
    ) -> dict[str, Any]:
        detail: dict[str, Any] = {"value": label}
        if self.with_confidence:
            detail["confidence_score"] = score
        if self._with_rationales:
            detail["rationale"] = None if rationale is None else str(rationale)
        return detail
