"""Reads the text of a chat reply, which is a string or a list of parts."""

from __future__ import annotations

from typing import Any

import msgspec

_TEXT_TYPES = frozenset({"text", "output_text"})


def read_content(content: Any) -> tuple[str | None, str | None]:
    """Return the text of a message's content, and the text of a refusal in it; None for what it does not have.

    A part of another type, such as the model's reasoning, is no part of the answer.
    """
    if isinstance(content, str) or content is None:
        return content, None
    if isinstance(content, list):
        return _join_parts(content)
    if isinstance(content, dict):
        text, refusal = _join_parts([content])
        if text is not None or refusal is not None:
            return text, refusal
    return msgspec.json.encode(content).decode(), None


def _join_parts(parts: list[Any]) -> tuple[str | None, str | None]:
    texts: list[str] = []
    refusals: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            if isinstance(part.get("refusal"), str):
                refusals.append(part["refusal"])
            elif part.get("type", "text") in _TEXT_TYPES and isinstance(
                part.get("text"), str
            ):
                texts.append(part["text"])
    return "".join(texts) if texts else None, "".join(refusals) or None
