"""The JSON documents of the test endpoint's replies, in OpenAI's format."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec

from aiquery.providers.fake import CHARACTERS_PER_TOKEN, build_smallest_document

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
    if question.path.endswith("/tokenize"):
        count = _count_tokens(question.prompt)
        tokens = list(range(count))
        return {"count": count, "max_model_len": CONTEXT_WINDOW, "tokens": tokens}
    if question.path.endswith("/embeddings"):
        return _build_embeddings(question, dimensions)
    if question.path.endswith("/rerank"):
        return _build_scores(question)
    return _build_chat(question, answer, cached_tokens)


def _build_chat(
    question: Question, answer: Answer, cached_tokens: int
) -> dict[str, Any]:
    text = answer.text
    if text is None:
        text = _default_text(question)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": answer.finish_reason,
    }
    tokens_in = _count_tokens(question.prompt)
    tokens_out = _count_tokens(text)
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
        "choices": [choice],
        "usage": usage,
    }


def _default_text(question: Question) -> str:
    response_format = question.body.get("response_format") or {}
    if response_format.get("type") != "json_schema":
        return f"echo: {question.prompt}"
    document = build_smallest_document(response_format["json_schema"]["schema"])
    return msgspec.json.encode(document).decode()


def _build_embeddings(question: Question, dimensions: int) -> dict[str, Any]:
    data = []
    tokens = 0
    for i, text in enumerate(question.texts):
        vector = draw_vector(text, dimensions)
        data.append({"object": "embedding", "index": i, "embedding": vector})
        tokens += _count_tokens(text)
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
    tokens = sum(map(_count_tokens, documents))
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


def _count_tokens(text: str) -> int:
    return len(text) // CHARACTERS_PER_TOKEN + 1


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
