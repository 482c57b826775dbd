"""Whether an error says that every request would get it, until somebody changes the account or the configuration."""

from __future__ import annotations

from typing import Any

CODES = frozenset(
    {
        # no credit
        "insufficient_quota", "insufficient_credits", "insufficient_balance", "billing_hard_limit_reached",
        "billing_not_active", "billing_error", "credit_balance_too_low", "payment_required",
        # the key
        "invalid_api_key", "incorrect_api_key", "api_key_invalid", "api_key_expired", "authentication_error",
        "invalid_authentication", "unauthenticated", "account_deactivated", "organization_deactivated",
        # the model or deployment
        "model_not_found", "deploymentnotfound", "deployment_not_found", "model_decommissioned", "unknown_model",
    }
)  # fmt: skip
"""Codes of OpenAI, Azure, Anthropic, Google, Groq, Mistral, DeepSeek, OpenRouter and vLLM, in lower case."""

NAMES = frozenset({"code", "type", "status", "reason"})
"""Fields in which they stand."""

DEPTH = 6


def says_for_good(document: object, depth: int = DEPTH) -> bool:
    """Say whether a reply, decoded, has one of the codes in a field where codes stand."""
    if depth == 0:
        return False
    if isinstance(document, list):
        return any(says_for_good(item, depth - 1) for item in document)
    if not isinstance(document, dict):
        return False
    return any(
        _is_code(name, value) or says_for_good(value, depth - 1)
        for name, value in document.items()
    )


def _is_code(name: str, value: Any) -> bool:
    return name in NAMES and isinstance(value, str) and value.lower() in CODES
