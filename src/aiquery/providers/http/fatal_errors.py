"""Detects error replies that every request would get until a person fixes the cause.

The cause is the account, the key or the configuration.
"""

from __future__ import annotations

from typing import Any

CODES = frozenset(
    {
        # The account has no credit.
        "insufficient_quota",
        "insufficient_credits",
        "insufficient_balance",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "credit_balance_too_low",
        "payment_required",
        "enforced_spend_limit_reached",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        # The key is not valid.
        "invalid_api_key",
        "incorrect_api_key",
        "api_key_invalid",
        "api_key_expired",
        "authentication_error",
        "invalid_authentication",
        "unauthenticated",
        "account_deactivated",
        "organization_deactivated",
        # The model or the deployment does not exist.
        "model_not_found",
        "deploymentnotfound",
        "deployment_not_found",
        "model_decommissioned",
        "unknown_model",
    }
)
"""Codes in lower case.

They are of OpenAI, Azure, Anthropic, Google, Groq, Mistral, DeepSeek, OpenRouter and vLLM.
"""

FIELDS = frozenset({"code", "type", "status", "reason", "error_code"})
"""Fields of a reply that hold a code."""

MAX_DEPTH = 6


def has_fatal_code(document: object, max_depth: int = MAX_DEPTH) -> bool:
    """Return True if a decoded reply has one of the codes in one of the fields."""
    if max_depth == 0:
        return False
    if isinstance(document, list):
        return any(has_fatal_code(item, max_depth - 1) for item in document)
    if not isinstance(document, dict):
        return False
    if any(_is_fatal(name, value) for name, value in document.items()):
        return True
    return any(has_fatal_code(value, max_depth - 1) for value in document.values())


def _is_fatal(field: str, value: Any) -> bool:
    return field in FIELDS and isinstance(value, str) and value.lower() in CODES
