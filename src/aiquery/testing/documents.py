"""The JSON documents of the test endpoint's replies, in OpenAI's format."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any
from zlib import crc32

from aiquery.providers.fake import CHARACTERS_PER_TOKEN
from aiquery.testing.formats import (
    build_converse_reply,
    build_generated_content,
    build_messages_reply,
    build_response,
    count_tokens,
    find_forced_tool,
    find_text,
)

if TYPE_CHECKING:
    from aiquery.testing.answer import Answer, Question

BLOCK_TOKENS = 16
BLOCK_CHARACTERS = BLOCK_TOKENS * CHARACTERS_PER_TOKEN
CONTEXT_WINDOW = 8192
MODELS = {"object": "list", "data": [{"id": "test", "object": "model"}]}


def build_error(answer: Answer) -> dict[str, Any]:
    """Return the error object of a status other than 200."""
    message = answer.text or f"scripted {answer.status}"
    return {"error": {"message": message, "code": answer.status}}


def build_document(
    question: Question, answer: Answer, cached_tokens: int, dimensions: int
) -> dict[str, Any]:
    """Return the document of a good reply.

    cached_tokens   tokens of the prompt that count as cached
    dimensions      length of an embedding
    """
    path = question.path.partition("?")[0]
    if path.endswith("/tokenize"):
        count = count_tokens(question.prompt)
        tokens = list(range(count))
        return {"count": count, "max_model_len": CONTEXT_WINDOW, "tokens": tokens}
    if path.endswith("/count_tokens"):
        return {"input_tokens": count_tokens(question.prompt)}
    if path.endswith("/embeddings"):
        return _build_embeddings(question, dimensions)
    if path.endswith("/rerank"):
        return _build_scores(question)
    for end, build in _FORMATS.items():
        if path.endswith(end):
            return build(question, answer)
    return _build_chat(question, answer, cached_tokens)


_FORMATS = {
    "/messages": build_messages_reply,
    "/responses": build_response,
    ":generateContent": build_generated_content,
    "/converse": build_converse_reply,
}
"""Formats other than OpenAI's chat completions, by the end of their path."""


def _build_chat(
    question: Question, answer: Answer, cached_tokens: int
) -> dict[str, Any]:
    text = find_text(question, answer)
    message: dict[str, Any] = {"role": "assistant", "content": text}
    reason = answer.finish_reason
    tool = find_forced_tool(question.body)
    if tool is not None:
        function = {"name": tool[0], "arguments": text}
        call = {"id": f"call_{question.number}", "type": "function"}
        message = {
            **message,
            "content": None,
            "tool_calls": [{**call, "function": function}],
        }
        reason = "tool_calls"
    count = question.body.get("n") or 1
    choices = [
        {"index": i, "message": message, "finish_reason": reason} for i in range(count)
    ]
    tokens_in = count_tokens(question.prompt)
    tokens_out = count_tokens(text)
    usage = {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
        "prompt_tokens_details": {"cached_tokens": min(cached_tokens, tokens_in)},
    }
    return {
        "id": f"chatcmpl-{question.number}",
        "object": "chat.completion",
        "model": question.body.get("model"),
        "created": 0,
        "choices": choices,
        "usage": usage,
    }


def _build_embeddings(question: Question, dimensions: int) -> dict[str, Any]:
    data = []
    tokens = 0
    for i, text in enumerate(question.texts):
        vector = draw_vector(text, dimensions)
        data.append({"object": "embedding", "index": i, "embedding": vector})
        tokens += count_tokens(text)
    return {
        "object": "list",
        "model": question.body.get("model"),
        "data": data,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _build_scores(question: Question) -> dict[str, Any]:
    """Return a score per document: the share of the words of the query that are in it. The best one is the first."""
    words = set(str(question.body.get("query")).lower().split())
    documents = [str(text) for text in question.body.get("documents", [])]
    results = []
    for i, document in enumerate(documents):
        found = words & set(document.lower().split())
        results.append({"index": i, "relevance_score": len(found) / len(words)})
    results.sort(key=lambda result: -float(result["relevance_score"]))
    tokens = sum(map(count_tokens, documents))
    return {
        "model": question.body.get("model"),
        "results": results,
        "usage": {"total_tokens": tokens},
    }


def draw_vector(text: str, dimensions: int) -> list[float]:
    """Return the embedding of a text: random numbers, the same for equal texts."""
    seed = crc32(text.encode("utf-8", "replace"))
    source = random.Random(seed)  # noqa: S311  not a secret
    numbers = [source.uniform(-1, 1) for _ in range(dimensions)]
    return [round(number, 6) for number in numbers]


def hash_blocks(prompt: str) -> list[int]:
    """Return one number per block of 16 tokens, which identifies it and everything before it."""
    ends = range(BLOCK_CHARACTERS, len(prompt) + BLOCK_CHARACTERS, BLOCK_CHARACTERS)
    return [hash(prompt[:end]) for end in ends]


def count_common_characters(a: str, b: str) -> int:
    """Return the length of the longest common prefix."""
    low = 0
    high = min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
