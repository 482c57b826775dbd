"""Error messages of endpoints: the text is too long, or the error has another reason."""

import pytest

from aiquery.providers.http.too_long import find_fitting_share

SHARES = {
    "This model's maximum context length is 8192 tokens, however you requested 9001 tokens (9001 in your prompt; 0 for "
    "the completion).": 8192 / 9001,
    "This model's maximum context length is 8192 tokens. However, you requested 16384 tokens in the input for "
    "embedding generation. Please reduce the length of the input.": 0.5,
    "Input validation error: `inputs` must have less than 512 tokens. Given: 1024": 0.5,
    "The input (9001 tokens) is longer than the model's context length (8192 tokens).": 8192 / 9001,
    "input (640 tokens) is too large to process. increase the physical batch size (current batch size: 512)": 0.8,
    "too many tokens: total number of tokens in the prompt cannot exceed 4,081 - received 8,162.": 0.5,
    "prompt is too long: 205000 tokens > 200000 maximum": 200 / 205,
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).": 1048576 / 1200000,
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length": 0.8192,
    "This model's maximum prompt length is 131072 but the request contains 150000 tokens.": 131072 / 150000,
    "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192": 8192 / 9000,
    "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it": 0.8192,
}
UNKNOWN = [
    "Invalid 'input': maximum input length is 8192 tokens.",
    "the request exceeds the available context size",
    "Input is too long for requested model.",
    "text-embedding-3-large-20240229: maximum context length exceeded (request id req_7781 at 2026-11-26T08:00:12Z)",
    "model e5-mistral-7b-4096: input too long; request 20261126 host 10.0.12.77:8080",
    "the maximum input length is 512 tokens; trace 99999999999999",
    "Please reduce the length of the messages or completion.",
    "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 100 `max_new_tokens`",
    "Input Tokens Exceeded: Number of input tokens exceeds maximum length. Please update the input to try again.",
    "Requested token count exceeds the model's maximum context length of 131072 tokens.",
    "The number of tokens to keep from the initial prompt is greater than the context length.",
    "litellm.ContextWindowExceededError: litellm.BadRequestError: AnthropicError - prompt is too long",
    "Range of input length should be [1, 30720]",
]
NOT_THE_TEXT = [
    "max_tokens is too large: 100000. This model supports at most 16384 completion tokens, you provided 100000.",
    "'max_tokens' or 'max_completion_tokens' is too large: 100000. This model's maximum context length is 8192 tokens.",
    "max_output_tokens must be at least 16",
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "temperature must be between 0 and 2",
    "temperature exceeds the limit 2",
    "Expected maximum length 64 for 'user'",
    "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens for the model",
]


@pytest.mark.parametrize("message", SHARES)
def test_the_numbers_of_the_message_give_the_share_that_fits(message):
    assert find_fitting_share(400, message) == pytest.approx(0.95 * SHARES[message])


@pytest.mark.parametrize("message", UNKNOWN)
def test_a_half_if_the_message_has_no_numbers(message):
    assert find_fitting_share(400, message) == 0.5


@pytest.mark.parametrize("message", NOT_THE_TEXT)
def test_the_text_is_not_too_long(message):
    assert find_fitting_share(400, message) is None


def test_the_status_decides_if_the_message_is_read():
    assert find_fitting_share(413, "Payload Too Large") == 0.5
    assert find_fitting_share(404, "maximum context length") is None


def test_servers_that_say_it_with_http_500():
    message = "input (640 tokens) is too large to process. increase the physical batch size (current batch size: 512)"
    assert find_fitting_share(500, message) == pytest.approx(0.76)
    assert find_fitting_share(500, "the input length exceeds maximum context length") == 0.5
    for other in ("context canceled", "failed to process context", "max connections limit exceeded", "out of tokens"):
        assert find_fitting_share(500, other) is None
