"""Takes a model's reasoning out of its reply: what it writes before the answer is no part of the answer.

Most servers return it in a field of its own. One that does not know the model's markers returns it as text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from aiquery.errors import InvalidResponse, ReplyParseError

if TYPE_CHECKING:
    from aiquery.requests.request import Response

_MARKERS = {
    "<think>": "</think>",  # DeepSeek R1, Qwen3, QwQ, GLM, MiniMax, Nemotron
    "[think]": "[/think]",  # Magistral
    "<seed:think>": "</seed:think>",  # Seed-OSS
    "◁think▷": "◁/think▷",  # Kimi
    "<|begin_of_thought|>": "<|end_of_thought|>",  # OpenThinker, Sky-T1
    "<|start_thinking|>": "<|end_thinking|>",  # Command A
    "<|channel>thought": "<channel|>",  # Gemma
    "<unused94>thought": "<unused95>",  # MedGemma
    "<|channel|>analysis<|message|>": "<|channel|>final<|message|>",  # gpt-oss
    "<|start|>assistant<|channel|>analysis<|message|>": "<|channel|>final<|message|>",
}
"""The markers that models are trained to write, in small letters."""

_WORDS = {
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<reflection>": "</reflection>",
}
"""Markers that prompts ask for too. A reply without their end, or without a text after it, stays as it is."""

_UNOPENED = ("</think>", "[/think]", "</seed:think>", "◁/think▷")
"""Ends of reasoning whose beginning stands in the prompt: the chat template writes it."""

_AROUND_ANSWER = re.compile(
    r"\A<\|(?:begin_of_solution|start_response)\|>\s*|\s*<\|(?:end_of_solution|end_response|return|end)\|>\s*\Z",
    re.IGNORECASE,
)
_FIRST = frozenset(opening[0] for opening in (*_MARKERS, *_WORDS))
_SUSPECTS = _FIRST | set(" \t\r\n\ufeff")
_START = re.compile(r"[\s\ufeff]*")
_END_OF_UNOPENED = re.compile("|".join(map(re.escape, _UNOPENED)), re.IGNORECASE)


def read_answer(response: Response) -> Response:
    """Return a chat reply without the reasoning before its answer.

    Raises ``InvalidResponse`` for a refusal, and ``ReplyParseError`` if there is no answer: the limit of tokens was
    reached before it, or there is only reasoning.
    """
    if response.refusal:
        raise InvalidResponse(response.refusal)
    text = response.text
    answer = find_answer(text)
    if response.truncated and not response.repeats and not answer:
        raise ReplyParseError(
            "cut off at the token limit before an answer: the tokens were used up by reasoning; raise the endpoint's "
            "max_tokens, or that in modelParameters",
            repairable=False,
        )
    if answer is text:
        return response
    if not answer:
        raise ReplyParseError("the reply has only reasoning and no answer")
    return msgspec.structs.replace(response, text=answer)


def find_answer(text: str) -> str:
    """Return what follows the reasoning at the start of a text; the text itself if it has none.

    >>> find_answer("<think>Is it 4?</think> 4")
    '4'
    """
    if not (text[:1] in _SUSPECTS or "hink" in text or "HINK" in text):
        return text  # as nearly all
    found = _START.match(text)
    start = found.end() if found else 0
    if text[start : start + 1] in _FIRST:
        for opening, closing in _MARKERS.items():
            if _begins_with(text, opening, start):
                return _after(text, closing, start + len(opening))
        for opening, closing in _WORDS.items():
            if _begins_with(text, opening, start):
                return _after(text, closing, start + len(opening)) or text
    unopened = _END_OF_UNOPENED.search(text)
    return text if unopened is None else _trim(text[unopened.end() :])


def _begins_with(text: str, marker: str, start: int) -> bool:
    return text[start : start + len(marker)].lower() == marker


def _after(text: str, closing: str, start: int) -> str:
    """Return the answer after a marker; "" if there is no such marker."""
    found = re.compile(re.escape(closing), re.IGNORECASE).search(text, start)
    return _trim(text[found.end() :]) if found else ""


def _trim(answer: str) -> str:
    return _AROUND_ANSWER.sub("", answer.strip())
