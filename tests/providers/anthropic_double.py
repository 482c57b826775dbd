"""A server that answers as Anthropic's Messages API does, by its documentation of November 2026.

Where the documentation has no wording of an error, the wording is one that the API was reported to have sent.
It does not model streaming, server tools, batches, and the check of thinking blocks that come back.
"""


def words(text):
    return frozenset(text.split())


SAMPLING = words("temperature top_p top_k")
OLD = words("prefill_is_taken effort system_messages thinking")
ONE = words("temperature_with_top_p")
MODELS = {  # what each does not take; "thinking" is one that thinks unless it must not
    "claude-fable-5-2": SAMPLING | words("prefill forced_tools budget"),
    "claude-opus-5-5": SAMPLING | words("prefill forced_tools budget"),
    "claude-sonnet-5-5": SAMPLING | words("prefill forced_tools budget"),
    "claude-haiku-5-5": SAMPLING | words("prefill budget system_messages"),
    "claude-fable-5-1": SAMPLING | words("prefill forced_tools budget"),
    "claude-opus-5": SAMPLING | words("prefill budget"),
    "claude-sonnet-5": SAMPLING | words("prefill budget system_messages"),
    "claude-opus-4-8": SAMPLING | words("prefill budget unasked_thinking"),
}
