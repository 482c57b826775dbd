"""The tokens of a reply in OpenAI's format, as the vendors that use it count them."""

from __future__ import annotations

import msgspec

from aiquery.requests.request import Usage


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None  # OpenRouter


class ReportedUsage(msgspec.Struct):
    """The fields that are read."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek
    cached_tokens: int | None = None  # Moonshot
    cache_creation_input_tokens: int | None = None  # LiteLLM, of Anthropic


def read_usage(usage: ReportedUsage | None) -> Usage:
    """Return the tokens of a reply; 0 where it names none.

    xAI and Gemini leave the tokens of the reasoning out of ``completion_tokens``, and bill them as output: they are
    what the total has more than its parts.
    """
    if usage is None:
        return Usage()
    cached = usage.prompt_cache_hit_tokens or usage.cached_tokens
    written = usage.cache_creation_input_tokens
    if usage.prompt_tokens_details is not None:
        cached = usage.prompt_tokens_details.cached_tokens or cached
        written = usage.prompt_tokens_details.cache_write_tokens or written
    tokens_out = usage.completion_tokens
    if usage.total_tokens and usage.prompt_tokens and tokens_out is not None:
        tokens_out = max(tokens_out, usage.total_tokens - usage.prompt_tokens)
    return Usage.from_reply(usage.prompt_tokens, cached, tokens_out, written)
